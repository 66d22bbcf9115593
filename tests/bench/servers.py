"""Servers to measure: the start of each with a configuration of its own, its processes, and its end
by its own process ids. Independent of the load."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

# Time limit for a server to listen: Crossbar imports for some seconds.
PATIENCE = 60.0
# The same for a server that compiles a thousand plugins.
COMPILING = 900.0
# The first port, if it is free: so that the printed commands can be repeated unchanged.
FIRST_PORT = 19080


class Failed(Exception):
    """A failed measurement; the text is the reason, for the page."""


@dataclass
class Places:
    """Paths: the files that cargo has built, and the folder of all generated files."""

    target: Path
    work: Path

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)

    @property
    def jackfield(self) -> Path:
        return self.target / "release/jackfield"

    def shown(self, path: Path) -> str:
        """Returns a path as written from the repository's directory."""
        for base, name in ((self.target, "target"), (ROOT, "")):
            if path.is_relative_to(base):
                return str(Path(name) / path.relative_to(base))
        return str(path)


@dataclass(frozen=True)
class Kind:
    """The kind of a server, as `jackfield bench` needs it."""

    name: str
    protocol: str = "wamp2"
    serializers: tuple[str, ...] = ("json",)
    # The line that the server prints when it serves, if an open port is not enough.
    ready: str = ""


class Server:
    """A running server."""

    def __init__(
        self,
        places: Places,
        kind: Kind,
        command: list[str],
        port: int,
        patience: float = PATIENCE,
        **options,
    ) -> None:
        self.kind, self.patience = kind, patience
        self.url = f"ws://127.0.0.1:{port}/"
        self.command = [str(part) for part in command]
        self.log = (
            places.work / "logs" / f"{re.sub('[^a-z0-9]+', '-', kind.name.lower())}-{port}.log"
        )
        self.log.parent.mkdir(exist_ok=True)
        self.shown = shlex.join(
            places.shown(Path(part)) if part.startswith("/") else part for part in self.command
        )
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                **options,
            )
        try:
            self._wait_for(port)
        except Failed:
            self.stop()
            raise

    def pids(self) -> list[int]:
        """Returns the process and all processes that it has started."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = Path(f"/proc/{entry}/stat").read_text()
                except OSError:
                    continue
                parents[int(entry)] = int(stat.rsplit(")", 1)[1].split()[1])
        family = [self.process.pid]
        for member in family:
            family.extend(pid for pid, parent in parents.items() if parent == member)
        return family

    def check(self) -> None:
        """Fails if the server has ended by itself."""
        if self.process.poll() is not None:
            raise Failed(f"{self.kind.name} had ended: {self._last_words()}")

    def stop(self) -> None:
        family = self.pids() if self.process.poll() is None else []
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in family[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process.stdin:
            self.process.stdin.close()

    def _wait_for(self, port: int) -> None:
        until = time.monotonic() + self.patience
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failed(f"{self.kind.name} did not start: {self._last_words()}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                if self.kind.ready in self.log.read_text(errors="replace"):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise Failed(
            f"{self.kind.name} did not listen within {self.patience:.0f} s: {self._last_words()}"
        )

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:]) or "it said nothing"


def free_port(wanted: int) -> int:
    """Returns the wanted port, or any other if it is in use."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise Failed("no port is free")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# --- Jackfield ------------------------------------------------------------------------------------

JACKFIELD = Kind(
    "Jackfield", serializers=("json", "msgpack", "cbor"), ready="listening on ws://"
)

# The line of its clients of WAMP v1, beside servers that speak no other.
JACKFIELD_V1 = "Jackfield (WAMP v1)"

# The limits that the measurements need; other settings are the defaults, but for the memory of plugins.
LIMITS = """limits:
  connections: 30000
  address_connections: 30000
  subscriptions: 200000
  client_percent: 100
  connection_rate: { enabled: false }
  address_connection_rate: { enabled: false }
  message_rate: { enabled: false }
  byte_rate: { enabled: false }
"""

BENCH_ROUTE = """\
bench:
    channel: 'bench.t{n}'
    handler: { callback: 'broadcast' }
    requirements: { n: '\\d+' }
"""
HOOK_ROUTE = """\
hook:
    channel: 'hook.t{n}'
    handler: { callback: 'versioned' }
    requirements: { n: '\\d+' }
"""


def jackfield(
    places: Places,
    site: Path,
    config: str = LIMITS,
    name: str = "jackfield",
    offset: int = 0,
    cores: int = 0,
    patience: float = PATIENCE,
) -> Server:
    port = free_port(FIRST_PORT + offset)
    # A thousand plugins need more memory than the default.
    plugins = f"plugins: {{ cache: {places.work / 'cache'}, instance_memory: 4GiB }}\n"
    file = write(places.work / f"{name}.yml", config + plugins)
    command = [places.jackfield, "serve", site, "--config", file, "--listen", f"127.0.0.1:{port}"]
    return Server(places, JACKFIELD, [*on_cores(cores), *command], port, patience)


def jackfield_tls(places: Places, site: Path, offset: int = 9) -> Server:
    """Starts a server whose clients connect with TLS."""
    port, (certificate, key) = free_port(FIRST_PORT + offset), certificates(places.work)
    tls = f"{{ certificate: {certificate}, key: {key} }}"
    config = f"{LIMITS}listeners: [{{ address: '127.0.0.1:{port}', tls: {tls} }}]\n"
    server = jackfield(places, site, config, name="tls", offset=offset + 1)
    server.url = f"wss://127.0.0.1:{port}/"
    return server


def certificate_file(places: Places) -> Path:
    """Returns the path of the certificate, which the first server with TLS makes."""
    return places.work / "tls/certificate.pem"


@functools.cache
def certificates(work: Path) -> tuple[Path, Path]:
    """Creates a certificate of 127.0.0.1 with a key of P-256, once in a run; it is its own authority."""
    folder = work / "tls"
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
        "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE "
        f"-keyout {key.name} -out {certificate.name}"
    )
    try:
        done = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True)
    except OSError as error:
        raise Failed(f"openssl is missing: apt-get install openssl ({error})") from error
    if done.returncode:
        raise Failed(f"openssl made no certificate: {done.stderr.strip()[-300:]}")
    return certificate, key


def on_cores(cores: int) -> list[str]:
    """Returns the command that lets a server use so many cores only; none for 0."""
    return ["taskset", "--cpu-list", f"0-{cores - 1}"] if cores else []


def bench_site(places: Places, name: str = "bench") -> Path:
    """Creates open topics: `bench.t0`, `bench.t1` … without a hook, `hook.t0` … with one. Servers that run at
    the same time need sites of their own."""
    site = places.work / "sites" / name
    bundle(site / "bench", BENCH_ROUTE, component(places, "broadcast"))
    bundle(site / "hook", HOOK_ROUTE, component(places, "versioned"))
    return site


# Everyone may call and register the procedure of `--callee`.
CALL_RULES = """rules:
  - { uri: bench.echo, allow: { call: everyone, register: everyone } }
"""


def calls_site(places: Places) -> Path:
    """Creates the procedure `sample/echo`, which returns its arguments."""
    site = places.work / "sites/calls"
    routes = "sample: { channel: 'sample/{method}', handler: { callback: 'methods' } }\n"
    bundle(site / "methods", routes, component(places, "methods"))
    return site


def plugins_site(places: Places, count: int) -> Path:
    """Creates `count` plugins with a hook, each with a handler of its own name and the topic `plugin.t`
    with its number."""
    site = places.work / f"sites/plugins-{count}"
    code = component(places, "versioned").read_bytes()
    for number in range(count):
        # A name of the same length.
        name = f"v{number:08}"
        folder = site / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.wasm").write_bytes(code.replace(b"versioned", name.encode()))
        route = f"channel: 'plugin.t{number}', handler: {{ callback: {name} }}"
        write(folder / "websocket_routing.yml", f"{name}: {{ {route} }}\n")
    return site


def routes_site(places: Places, count: int, variables: bool) -> Path:
    """Creates `count` routes, of which the last one has the topics of the publications."""
    site = places.work / f"sites/routes-{'variables' if variables else 'literal'}-{count}"
    routes = []
    for number in range(count - 1):
        channel = f"area{number}/{{user}}/{{room}}" if variables else f"area/{number}/news"
        routes.append(
            f"r{number}: {{ channel: '{channel}', handler: {{ callback: broadcast }} }}\n"
        )
    last = (
        BENCH_ROUTE
        if variables
        else "bench: { channel: 'bench.t0', handler: { callback: broadcast } }\n"
    )
    bundle(site / "bench", "".join(routes) + last, component(places, "broadcast"))
    return site


def component(places: Places, name: str) -> Path:
    places_of = {
        "broadcast": "plugins/wasm32-wasip2/release/jackfield_broadcast.wasm",
        "versioned": "guests/wasm32-wasip2/release/guest_versioned.wasm",
        "methods": "guests/wasm32-wasip2/release/guest_methods.wasm",
    }
    path = places.target / places_of[name]
    if not path.exists():
        raise Failed(f"{places.shown(path)} is not built: `make bench` does it")
    return path


def bundle(folder: Path, routes: str, plugin: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(plugin, folder / plugin.name)
    write(folder / "websocket_routing.yml", routes)


# --- The floor ------------------------------------------------------------------------------------

FLOOR = Kind("the floor", protocol="raw", serializers=())


def floor(places: Places, offset: int = 1) -> Server:
    binary = places.target / "release/floor"
    if not binary.exists():
        raise Failed(f"{places.shown(binary)} is not built: `make bench` does it")
    port = free_port(FIRST_PORT + offset)
    return Server(places, FLOOR, [binary, f"127.0.0.1:{port}"], port)


# --- Others ---------------------------------------------------------------------------------------

NATS = Kind("nats-server", protocol="nats", serializers=())
CROSSBAR = Kind("Crossbar", serializers=("json", "msgpack", "cbor"))
FOX_WAMP = Kind("fox-wamp")
WAMP_IO = Kind("wamp.io (WAMP v1)", protocol="wamp1", serializers=())
# uWebSockets, as Bun has it: the smallest broker of WAMP v1, and its topics without a protocol.
BUN_WAMP1 = Kind("Bun (WAMP v1)", protocol="wamp1", serializers=())
BUN_TOPICS = Kind("Bun (topics)", protocol="raw", serializers=())


def nats(places: Places, binary: str, offset: int = 2, cores: int = 0) -> Server:
    port, plain = free_port(FIRST_PORT + offset), free_port(FIRST_PORT + offset + 100)
    config = (
        f'listen: "127.0.0.1:{plain}"\n'
        f'websocket {{ listen: "127.0.0.1:{port}", no_tls: true, compression: false }}\n'
        "max_connections: 30000\n"
    )
    file = write(places.work / "nats.conf", config)
    return Server(places, NATS, [*on_cores(cores), binary, "-c", file], port)


def crossbar(places: Places, binary: Path, offset: int = 3) -> Server:
    port = free_port(FIRST_PORT + offset)
    return crossbar_node(places, binary, "crossbar", crossbar_config(port), port)


def crossbar_config(port: int, link: dict | None = None, keys: dict | None = None) -> dict:
    """Returns a router that everyone may use. A node with one of the `keys`, by names, may link to it, and
    it has the `link` itself."""
    everything = {"call": True, "register": True, "publish": True, "subscribe": True}
    # A link only forwards events with their publishers.
    disclose = {"disclose": {"caller": True, "publisher": True}} if link or keys else {}
    permissions = [{"uri": "", "match": "prefix", "allow": everything, **disclose}]
    roles = ["anonymous", *(["rlink"] if keys else [])]
    realm = {
        "name": "realm1",
        "roles": [{"name": role, "permissions": permissions} for role in roles],
        **({"rlinks": [link]} if link else {}),
    }
    principals = {
        name: {"realm": "realm1", "role": "rlink", "authorized_keys": [key]}
        for name, key in (keys or {}).items()
    }
    auth = {
        "anonymous": {"type": "static", "role": "anonymous"},
        **({"cryptosign": {"type": "static", "principals": principals}} if principals else {}),
    }
    transport = {
        "type": "websocket",
        "endpoint": {"type": "tcp", "port": port, "interface": "127.0.0.1", "backlog": 4096},
        "auth": auth,
    }
    return {
        "version": 2,
        "workers": [{"type": "router", "realms": [realm], "transports": [transport]}],
    }


def crossbar_node(places: Places, binary: Path, name: str, config: dict, port: int) -> Server:
    folder = places.work / name
    write(folder / "config.json", json.dumps(config, indent=2) + "\n")
    # Left behind by an earlier run.
    (folder / "node.pid").unlink(missing_ok=True)
    command = [binary, "start", "--cbdir", folder, "--loglevel", "warn"]
    return Server(places, CROSSBAR, command, port, env={**os.environ, "PYTHONWARNINGS": "ignore"})


def fox_wamp(places: Places, folder: Path, offset: int = 4) -> Server:
    port = free_port(FIRST_PORT + offset)
    command = ["node", folder / "router.cjs", str(port)]
    return Server(places, FOX_WAMP, command, port)


def wamp_io(places: Places, modules: Path, offset: int = 5) -> Server:
    port = free_port(FIRST_PORT + offset)
    environment = {**os.environ, "JACKFIELD_NODE_PEERS": str(modules)}
    return Server(
        places, WAMP_IO, ["node", HERE / "peers/wamp-io.mjs", str(port)], port, env=environment
    )


def bun(places: Places, kind: Kind, binary: Path, script: Path, offset: int = 7) -> Server:
    port = free_port(FIRST_PORT + offset)
    return Server(places, kind, [binary, script, str(port)], port)


def bun_tls(places: Places, binary: Path, script: Path, offset: int = 11) -> Server:
    port = free_port(FIRST_PORT + offset)
    command = [binary, script, str(port), *certificates(places.work)]
    server = Server(places, BUN_WAMP1, command, port)
    server.url = f"wss://127.0.0.1:{port}/"
    return server
