"""The cost of a storm: clients of WAMP v2 that return at once, and recover the events that they have
missed.

    python3 tests/bench/storm.py [CLIENTS] [limits]

Run it after `cargo build --release -p jackfield`, `make plugins`. Each client has three topics, and has
missed five events of each. With `limits`, the limits of new connections are those of the defaults: a client
that is refused comes back after the time that the server names. The CPU time is that of the server alone.
"""

import asyncio
import json
import os
import pathlib
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
JACKFIELD = ROOT / "target/release/jackfield"
ROUTES = "log: { channel: 'log/{name}', handler: { callback: broadcast }, history: { events: 100 } }\n"
TOPICS = ("log/a", "log/b", "log/c")
MISSED = 5
# Clients that connect at the same time: the measuring process is one of two cores.
PARALLEL = 200
NO_RATES = ", connection_rate: { enabled: false }, address_connection_rate: { enabled: false }"
HELLO = [1, "realm1", {"roles": {"subscriber": {}, "publisher": {}}}]


def cpu(pid):
    """CPU seconds of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    """Private resident MiB of a process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024


def frame(message):
    """A masked text frame; the mask is zero."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    length = len(payload)
    head = struct.pack("!BB", 0x81, 0x80 | length) if length < 126 else struct.pack("!BBH", 0x81, 0xFE, length)
    return head + b"\0\0\0\0" + payload


class Refused(Exception):
    """The answer to a handshake with status 503, and the seconds to wait."""


class Client:
    async def connect(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n"
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        if " 101 " not in head:
            assert " 503 " in head, head
            self.writer.transport.abort()
            after = next(line for line in head.split("\r\n") if line.lower().startswith("retry-after:"))
            raise Refused(int(after.split(":")[1]))
        self.writer.write(frame(HELLO))
        assert (await self.message())[0] == 2

    async def message(self):
        head = await self.reader.readexactly(2)
        length = head[1]
        if length == 126:
            length = struct.unpack("!H", await self.reader.readexactly(2))[0]
        return json.loads(await self.reader.readexactly(length))

    async def subscribe(self, positions):
        """Subscribes to all topics, and reads the answers. Returns the positions, and whether all events
        were recovered."""
        for number, topic in enumerate(TOPICS, 1):
            self.writer.write(frame([32, number, {"_since": positions.get(topic, {})}, topic]))
        after, recovered = {}, True
        for topic in TOPICS:
            assert (await self.message())[0] == 33
            stream = (await self.message())[3]["_stream"]
            recovered &= stream["recovered"] and stream["replayed"] == MISSED
            for _ in range(stream["replayed"]):
                assert "_offset" in (await self.message())[3]
            after[topic] = {"epoch": stream["epoch"], "offset": stream["offset"]}
        return after, recovered


async def measure(count, has_limits):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        site = folder / "site"
        (site / "log").mkdir(parents=True)
        found = next(iter(sorted(ROOT.glob("target/plugins/**/release/jackfield_broadcast.wasm"))), None)
        if found is None:
            raise SystemExit("no jackfield_broadcast.wasm below target/plugins: run `make plugins`")
        (site / "log/websocket_routing.yml").write_text(ROUTES)
        (site / "log/broadcast.wasm").write_bytes(found.read_bytes())
        rates = "" if has_limits else NO_RATES
        (folder / "jackfield.yml").write_text(
            "listen: 127.0.0.1:0\nkeepalive: { interval: 10m }\ndata: off\ncontrol: { socket: off }\n"
            "limits: { address_connections: 100000, connections: 100000" + rates + " }\n"
        )
        server = subprocess.Popen(
            [JACKFIELD, "serve", site, "--config", folder / "jackfield.yml"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        try:
            port = int(server.stdout.readline().strip().rstrip("/").rpartition(":")[2])
            first = Client()
            await first.connect(port)
            positions, _ = await first.subscribe({})
            publisher = Client()
            await publisher.connect(port)
            for topic in TOPICS:
                for number in range(MISSED):
                    publisher.writer.write(frame([16, number + 1, {"acknowledge": True}, topic, [number]]))
                    await publisher.message()
            # The first client has been replayed nothing; its frames are the ones that are kept.
            limit, refusals, lost, clients = asyncio.Semaphore(PARALLEL), [0], [0], []

            async def come_back():
                while True:
                    client = Client()
                    try:
                        async with limit:
                            await client.connect(port)
                            _, recovered = await client.subscribe(positions)
                    except Refused as refused:
                        refusals[0] += 1
                        # The server's time is random already; clients add a part of a second.
                        await asyncio.sleep(refused.args[0] + random.random())
                        continue
                    lost[0] += not recovered
                    clients.append(client)
                    return

            before, began, used = memory(server.pid), time.monotonic(), cpu(server.pid)
            await asyncio.gather(*(come_back() for _ in range(count)))
            result = {
                "clients": count,
                "limits": has_limits,
                "seconds": time.monotonic() - began,
                "cpu_us_per_client": (cpu(server.pid) - used) / count * 1e6,
                "memory_kib_per_client": (memory(server.pid) - before) / count * 1024,
                "refusals": refusals[0],
                "not_recovered": lost[0],
            }
            for client in clients:
                client.writer.transport.abort()
            return result
        finally:
            server.terminate()
            server.wait()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    result = asyncio.run(measure(count, "limits" in sys.argv[2:]))
    print(json.dumps({key: round(it, 2) if isinstance(it, float) else it for key, it in result.items()}))


if __name__ == "__main__":
    main()
