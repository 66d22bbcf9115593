"""Clusters to measure: nodes of Jackfield over one NATS server, servers of NATS with routes between them,
and routers of Crossbar with a link. Subscribers connect to chosen nodes, the publisher to the first one."""

from __future__ import annotations

import re
import time
from pathlib import Path

import servers
from servers import Failed, Places, Server

# The first port of the nodes; NATS has those behind it.
PORT = 40
# Time limit for the nodes to know each other.
PATIENCE = 20.0


class Cluster:
    """Several servers that are measured as one. `jackfield bench` reports the CPU time of each."""

    def __init__(self, nodes: list[Server], engine: Server | None) -> None:
        self.nodes, self.engine = nodes, engine
        self.kind, self.url = nodes[0].kind, nodes[0].url
        self.shown = " & ".join(server.shown for server in self.all())

    def all(self) -> list[Server]:
        return [*([self.engine] if self.engine else []), *self.nodes]

    def pids(self) -> list[int]:
        return [pid for server in self.all() for pid in server.pids()]

    def roles(self) -> dict[str, str]:
        """Returns the names of the processes."""
        names = {str(node.process.pid): f"node {n}" for n, node in enumerate(self.nodes, 1)}
        if self.engine:
            names[str(self.engine.process.pid)] = "NATS"
        return names

    def check(self) -> None:
        for server in self.all():
            server.check()

    def stop(self) -> None:
        # The nodes say goodbye through the engine.
        for server in reversed(self.all()):
            server.stop()


def started(starts: list) -> list[Server]:
    """Starts servers; ends those that have started if one fails."""
    running: list[Server] = []
    try:
        for start in starts:
            running.append(start())
    except Failed:
        for server in running:
            server.stop()
        raise
    return running


def jackfield(places: Places, nats: str, count: int) -> Cluster:
    site = servers.bench_site(places)
    plain = servers.free_port(servers.FIRST_PORT + PORT + 10)
    binary = [nats, "-a", "127.0.0.1", "-p", str(plain)]

    def node(number: int):
        config = servers.LIMITS + (
            "data: off\n"
            f"control: {{ socket: {places.work / f'node-{number}.sock'} }}\n"
            f"cluster: {{ node: n{number}, nats: {{ urls: ['nats://127.0.0.1:{plain}'] }} }}\n"
        )
        name = f"node-{number}"
        return lambda: servers.jackfield(places, site, config, name, offset=PORT + number)

    engine = lambda: Server(places, servers.Kind("nats of a cluster"), binary, plain)  # noqa: E731
    running = started([engine, *(node(number) for number in range(1, count + 1))])
    cluster = Cluster(running[1:], running[0])
    # A node serves when it has joined; the first ones learn of the last within a second.
    until(cluster, lambda: all(joined(server) >= count - 1 for server in cluster.nodes))
    return cluster


def joined(server: Server) -> int:
    """Returns the number of other nodes that a node has joined with, by its log."""
    lines = server.log.read_text(errors="replace").splitlines()
    at_start = [line for line in lines if "a node of the cluster" in line]
    peers = sum("a node has joined" in line for line in lines)
    return max(peers, 0 if at_start else -1)


def until(cluster: Cluster, is_ready) -> None:
    end = time.monotonic() + PATIENCE
    while not is_ready():
        if time.monotonic() > end:
            cluster.stop()
            raise Failed(f"{cluster.kind.name}: the nodes did not find each other")
        time.sleep(0.05)


def nats(places: Places, binary: str, count: int) -> Cluster:
    """Servers of NATS, each with routes to the others."""
    offset = servers.FIRST_PORT + PORT + 20
    routes = [servers.free_port(offset + number) for number in range(count)]

    def server(number: int):
        port = servers.free_port(offset + 10 + number)
        plain = servers.free_port(offset + 110 + number)
        others = ", ".join(f'"nats://127.0.0.1:{it}"' for it in routes)
        config = (
            f'listen: "127.0.0.1:{plain}"\n'
            f'websocket {{ listen: "127.0.0.1:{port}", no_tls: true, compression: false }}\n'
            f'cluster {{ name: bench, listen: "127.0.0.1:{routes[number]}", routes: [{others}] }}\n'
            "max_connections: 30000\n"
        )
        file = servers.write(places.work / f"nats-{number}.conf", config)
        return lambda: Server(places, servers.NATS, [binary, "-c", file], port)

    cluster = Cluster(started([server(number) for number in range(count)]), None)
    connected = "Route connection created"
    until(
        cluster,
        lambda: count == 1 or all(connected in it.log.read_text() for it in cluster.nodes),
    )
    # Routes exchange their subscriptions.
    time.sleep(0.5)
    return cluster


def crossbar(places: Places, binary: Path) -> Cluster:
    """Two routers of Crossbar; the second one has a link to the first, which forwards events both ways."""
    first, second = (servers.free_port(servers.FIRST_PORT + PORT + 40 + it) for it in range(2))
    folder = places.work / "crossbar-2"
    if not (folder / "key.pub").exists():
        # The first start of a node makes its key.
        config = servers.crossbar_config(second)
        servers.crossbar_node(places, binary, folder.name, config, second).stop()
    key = re.search(r"public-key-ed25519: (\w+)", (folder / "key.pub").read_text())
    if not key:
        raise Failed("Crossbar: the key of a node cannot be read")
    link = {
        "id": "link",
        "realm": "realm1",
        "authid": "second",
        "transport": {
            "type": "websocket",
            "url": f"ws://127.0.0.1:{first}/",
            "endpoint": {"type": "tcp", "host": "127.0.0.1", "port": first},
            "serializers": ["cbor"],
        },
    }
    keyed = servers.crossbar_config(first, keys={"second": key.group(1)})
    linked = servers.crossbar_config(second, link=link)
    nodes = started(
        [
            lambda: servers.crossbar_node(places, binary, "crossbar-1", keyed, first),
            lambda: servers.crossbar_node(places, binary, folder.name, linked, second),
        ]
    )
    # The link is made after the port is open, and the log of this level does not tell.
    time.sleep(5)
    return Cluster(nodes, None)
