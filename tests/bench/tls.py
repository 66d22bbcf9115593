"""The cost of TLS: idle memory of a connection and CPU time of a delivery, for a plain listener, for a
listener with TLS, and for nginx that terminates TLS in front of a plain listener.

    python3 tests/bench/tls.py [SUBSCRIBERS] [PUBLICATIONS]

Run it after `cargo build --release -p jackfield`. It needs openssl and nginx. The CPU time is that of the
server and of nginx together; the clients do not count. Each way has a server of its own. The publications
have a pause between them, so that each one is delivered by itself.
"""

import asyncio
import json
import os
import pathlib
import resource
import ssl
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
JACKFIELD = ROOT / "target/release/jackfield"
ROUTES = "open: { channel: 'open/{name}', handler: { callback: 'broadcast' } }\n"
# The sizes of a text in an event, and the pause between two publications.
SIZES = (100, 4_000)
PAUSE = 0.02


def free_port():
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def cpu(pids):
    """CPU seconds of processes."""
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pids):
    """Private resident bytes of processes."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1]) * 1024
    return total


def frame(text):
    """A masked text frame; the mask is zero."""
    payload = text.encode()
    length = len(payload)
    head = struct.pack("!BB", 0x81, 0x80 | length) if length < 126 else struct.pack("!BBH", 0x81, 0xFE, length)
    return head + b"\0\0\0\0" + payload


async def connect(port, tls):
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
    )
    writer.write(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: wamp\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    head = await reader.readexactly(2)
    await reader.readexactly(head[1])
    return reader, writer


class Way:
    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.tls, self.plain = free_port(), free_port()
        site = folder / "site"
        plugin = ROOT / "target/demo/site"
        (site / "open").mkdir(parents=True, exist_ok=True)
        found = next(iter(sorted(ROOT.glob("target/plugins/**/release/jackfield_broadcast.wasm"))), None)
        if found is None:
            raise SystemExit(f"no jackfield_broadcast.wasm below target/plugins: run `make plugins` ({plugin})")
        (site / "open/websocket_routing.yml").write_text(ROUTES)
        (site / "open/broadcast.wasm").write_bytes(found.read_bytes())
        config = folder / "jackfield.yml"
        config.write_text(
            f"listen: 127.0.0.1:{self.plain}\n"
            f"listeners: [{{ address: '127.0.0.1:{self.tls}', tls: {{ certificate: cert.pem, key: key.pem }} }}]\n"
            "keepalive: { interval: 10m }\nhealth: { probe: { enabled: false } }\n"
            "control: { socket: off }\ndata: off\n"
            "limits: { address_connections: 100000, connections: 100000, connection_rate: { enabled: false },"
            " address_connection_rate: { enabled: false }, message_rate: { enabled: false },"
            " byte_rate: { enabled: false } }\n"
        )
        self.server = subprocess.Popen(
            [JACKFIELD, "serve", site, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.server.stdout.readline()
        self.pids, self.nginx = [self.server.pid], None
        self.port = self.tls if name == "tls" else self.plain
        if name == "nginx":
            self.port = free_port()
            (folder / "nginx.conf").write_text(
                f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
                "events { worker_connections 20000; }\nhttp { access_log off; server {\n"
                f"listen 127.0.0.1:{self.port} ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;\n"
                f"location / {{ proxy_pass http://127.0.0.1:{self.plain}; proxy_http_version 1.1;\n"
                "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 1h;\n"
                "proxy_buffering off; } } }\n"
            )
            self.nginx = subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-p", folder])

    def find_workers(self):
        if self.nginx:
            children = pathlib.Path(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children").read_text()
            self.pids = [self.server.pid, *map(int, children.split())]

    def stop(self):
        for process in filter(None, (self.nginx, self.server)):
            process.terminate()
            process.wait()


async def measure(name, subscribers, publications):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        subprocess.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost "
            "-addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem".split(),
            cwd=folder, check=True, capture_output=True,
        )
        way = Way(folder, name)
        try:
            await asyncio.sleep(0.5)
            way.find_workers()
            tls = None if name == "plain" else ssl.create_default_context(cafile=folder / "cert.pem")
            result = {"way": name}
            warm = [await connect(way.port, tls) for _ in range(50)]
            before = memory(way.pids)
            began = cpu(way.pids)
            clients = [await connect(way.port, tls) for _ in range(subscribers)]
            for _, writer in clients:
                writer.write(frame('[5,"open/a"]'))
            await asyncio.sleep(1)
            result["connect_us"] = (cpu(way.pids) - began) / subscribers * 1e6
            result["idle_bytes"] = (memory(way.pids) - before) / subscribers
            seen = [0]

            async def count(reader):
                while data := await reader.read(1 << 16):
                    seen[0] += len(data)

            readers = [asyncio.create_task(count(reader)) for reader, _ in clients]
            _, publisher = await connect(way.plain, None)
            for size in SIZES:
                text = json.dumps([7, "open/a", "x" * size], separators=(",", ":"))
                event = len(json.dumps([8, "open/a", "x" * size], separators=(",", ":")))
                expected = (event + (2 if event < 126 else 4)) * subscribers
                began = cpu(way.pids)
                for _ in range(publications):
                    before_bytes = seen[0]
                    publisher.write(frame(text))
                    while seen[0] - before_bytes < expected:
                        await asyncio.sleep(0)
                    await asyncio.sleep(PAUSE)
                result[f"delivery_us_{size}"] = (cpu(way.pids) - began) / (publications * subscribers) * 1e6
            for task in readers:
                task.cancel()
            for _, writer in warm + clients:
                writer.transport.abort()
            return result
        finally:
            way.stop()


def main():
    subscribers = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    publications = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name in ("plain", "tls", "nginx"):
        result = asyncio.run(measure(name, subscribers, publications))
        print(json.dumps({key: round(it, 2) if isinstance(it, float) else it for key, it in result.items()}), flush=True)


if __name__ == "__main__":
    main()
