"""Figures to measure: the points of each, in the order of one round. `measure` runs them, `plots`
draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cluster
import peers
import servers
from peers import Peer
from servers import Places, Server

# A source address has 28 000 ports, some of which are still in use after the previous run.
SOURCES = [f"127.0.0.{number}" for number in range(1, 9)]
MANY = 4_000
# An interpreter has one thread: more subscribers than this only take longer to connect.
MOST_FOR_INTERPRETERS = 1_000


# Loads with few events in flight.
LIGHT = {
    "1 → 100, 1 in flight": {"topics": 1, "subscribers": 100, "window": 1},
    "200 topics of 1 → 1, 4 in flight each": {"topics": 200, "subscribers": 1, "window": 4},
}


@dataclass(frozen=True)
class Settings:
    """Duration and number of the runs, and their points."""

    name: str
    rounds: int
    seconds: float
    warm_up: float
    subscribers: tuple[int, ...]
    topics: tuple[int, ...]
    routes: tuple[int, ...]
    connections: tuple[int, ...]
    rates: tuple[int, ...]
    # Publishes per second to one subscriber at another node, for its CPU time, and for its latency.
    cluster_rates: tuple[int, int] = (5_000, 500)
    # Subscribers that are divided among nodes, and publishes per second to all of them.
    cluster_subscribers: int = 300
    cluster_fan_out_rate: int = 100
    # Publishes per second to all topics together, if the number of topics varies.
    topics_rate: int = 20_000
    payloads: tuple[int, ...] = (64,)
    publishers: tuple[int, ...] = (1, 2)
    plugins: tuple[int, ...] = (1, 2)
    # Whether missing peers are downloaded.
    fetch: bool = False


FULL = Settings(
    "full",
    rounds=3,
    seconds=2.0,
    warm_up=0.5,
    subscribers=(1, 10, 100, 1_000, 10_000),
    topics=(1, 10, 100, 1_000, 10_000, 100_000),
    routes=(1, 10, 100, 1_000, 10_000),
    connections=(1_000, 5_000, 10_000, 19_900),
    rates=(250, 500, 1_000, 2_000, 3_000),
    payloads=(64, 256, 1_024, 4_096, 16_384, 65_536),
    publishers=(1, 2, 4, 8, 16),
    plugins=(1, 10, 100, 1_000),
    fetch=True,
)
QUICK = Settings(
    "quick",
    rounds=1,
    seconds=0.6,
    warm_up=0.2,
    subscribers=(1, 100, 1_000),
    topics=(1, 1_000, 10_000),
    routes=(1, 100, 10_000),
    connections=(1_000, 5_000),
    rates=(500, 2_000),
    payloads=(64, 4_096, 65_536),
    publishers=(1, 16),
    plugins=(1, 100),
)
# Checks only that everything works together; the figures mean nothing.
SMOKE = Settings(
    "smoke",
    rounds=1,
    seconds=0.1,
    warm_up=0.0,
    subscribers=(1, 2),
    topics=(1, 4),
    routes=(1, 2),
    connections=(2,),
    rates=(100,),
    cluster_rates=(100, 50),
    cluster_subscribers=3,
    cluster_fan_out_rate=50,
    topics_rate=100,
)


@dataclass
class Point:
    """One short run, repeated in each round."""

    # The line or bar of the point, and its position there.
    series: str
    x: float | str
    # The server: points with the same key share one process, except `fresh` ones.
    key: str
    start: Callable[[], Server]
    work: str
    options: dict
    # Additional seconds for setup and end.
    extra: float = 5.0
    fresh: bool = False


@dataclass
class Figure:
    name: str
    points: list[Point] = field(default_factory=list)


def all_figures(places: Places, own: Peer, others: list[Peer], settings: Settings) -> list[Figure]:
    present = [peer for peer in [own, *others] if peer.start]
    return [
        fan_out(present, settings),
        topics(present, settings),
        routes(places, settings),
        connections(present, settings),
        serializers(own, settings),
        handlers(places, own, settings),
        calls(places, own, settings),
        payloads(present, settings),
        publishers(present, settings),
        plugins(places, settings),
        cores(places, present, settings),
        tls(places, present, settings),
        light(present, settings),
        latency(present, settings),
        across_nodes(places, present, settings),
    ]


def is_compiled(peer: Peer) -> bool:
    compiled = (servers.JACKFIELD, servers.NATS, servers.FLOOR)
    return peer.kind in (*compiled, servers.BUN_WAMP1, servers.BUN_TOPICS)


def named(present: Iterable[Peer], *kinds: servers.Kind) -> list[Peer]:
    return [peer for peer in present if peer.kind in kinds]


def timed(settings: Settings, **options) -> dict:
    return {**options, "seconds": settings.seconds, "warm_up": settings.warm_up}


def point(peer: Peer, x: float | str, work: str, options: dict, series: str = "", **more) -> Point:
    name = peer.kind.name
    return Point(series or name, x, name, peer.start, work, options, **more)


def points(peer: Peer, x: float | str, work: str, options: dict, **more) -> list[Point]:
    """Returns the point of a server; for Jackfield also that of its clients of WAMP v1."""
    own = [point(peer, x, work, options, **more)]
    if peer.kind == servers.JACKFIELD:
        options = {**options, "protocol": "wamp1"}
        own.append(point(peer, x, work, options, series=servers.JACKFIELD_V1, **more))
    return own


def fan_out(present: list[Peer], settings: Settings) -> Figure:
    """One topic with an increasing number of subscribers."""
    figure = Figure("fan-out")
    for subscribers in settings.subscribers:
        for peer in present:
            if subscribers > MOST_FOR_INTERPRETERS and not is_compiled(peer):
                continue
            options = timed(settings, topics=1, subscribers=subscribers)
            if subscribers > MANY:
                options["source"] = SOURCES
            figure.points += points(peer, subscribers, "fan-out", options, extra=subscribers / 100)
    return figure


def topics(present: list[Peer], settings: Settings) -> Figure:
    """An increasing number of topics with one subscriber each, at a constant total rate."""
    figure = Figure("topics")
    for count in settings.topics:
        for peer in named(present, servers.JACKFIELD, servers.NATS):
            options = timed(
                settings,
                topics=count,
                subscribers=1,
                publishers=1,
                rate=settings.topics_rate,
                # At most a thousand connections have all of the subscriptions.
                subscriptions_per_connection=max(1, count // 1_000),
            )
            figure.points.append(point(peer, count, "fan-out", options, extra=count / 1_000))
    return figure


def routes(places: Places, settings: Settings) -> Figure:
    """An increasing number of routes in the site, without subscribers."""
    figure = Figure("routes")
    offset = 10
    for count in settings.routes:
        for variables in (False, True):
            offset += 1
            series = "with variables" if variables else "literal"

            def start(
                count: int = count, variables: bool = variables, offset: int = offset
            ) -> Server:
                site = servers.routes_site(places, count, variables)
                return servers.jackfield(places, site, offset=offset)

            options = timed(settings, publishers=1, topics=1)
            figure.points.append(
                Point(series, count, f"{series} {count}", start, "publish", options)
            )
    return figure


def connections(present: list[Peer], settings: Settings) -> Figure:
    """An increasing number of connections with one subscription each, to a new server."""
    figure = Figure("connections")
    for count in settings.connections:
        for peer in present:
            if count > 5 * MOST_FOR_INTERPRETERS and not is_compiled(peer):
                continue
            options = {
                "connections": count,
                "seconds": min(settings.seconds, 1.0),
                "source": SOURCES,
            }
            figure.points += points(
                peer, count, "connect", options, extra=count / 100, fresh=True
            )
    return figure


DIALECTS = (
    ("v1 JSON", {"protocol": "wamp1"}),
    ("v2 JSON", {"serializer": "json"}),
    ("v2 MessagePack", {"serializer": "msgpack"}),
    ("v2 CBOR", {"serializer": "cbor"}),
)


def serializers(own: Peer, settings: Settings) -> Figure:
    """The protocols and serializers of clients, side by side."""
    figure = Figure("serializers")
    for subscribers in (1, 100):
        for name, dialect in DIALECTS:
            options = timed(settings, topics=1, subscribers=subscribers, **dialect)
            figure.points.append(point(own, subscribers, "fan-out", options, series=name))
    return figure


def handlers(places: Places, own: Peer, settings: Settings) -> Figure:
    """The same publication with and without a plugin and a hook."""
    figure = Figure("handlers")

    def unrouted() -> Server:
        site = places.work / "sites/empty"
        site.mkdir(parents=True, exist_ok=True)
        config = servers.LIMITS + "unrouted: broadcast\n"
        return servers.jackfield(places, site, config, name="unrouted", offset=6)

    ways = (
        ("no route (unrouted: broadcast)", "unrouted", unrouted, "bench.t"),
        ("the plugin broadcast, no hook", own.kind.name, own.start, "bench.t"),
        ("an on_publish hook in Rust", own.kind.name, own.start, "hook.t"),
    )
    for subscribers in (0, 100):
        for series, key, start, topic in ways:
            if subscribers:
                options = timed(settings, topics=1, subscribers=subscribers, topic=topic)
                work = "fan-out"
            else:
                options = timed(settings, publishers=1, topics=1, topic=topic)
                work = "publish"
            figure.points.append(Point(series, subscribers, key, start, work, options))
    return figure


# Procedures of a handler and of a client: the options of `jackfield bench call`.
CALLED = {
    "a handler in Rust": {"procedure": "sample/echo"},
    "a client": {"procedure": "bench.echo", "callee": True},
}


def calls(places: Places, own: Peer, settings: Settings) -> Figure:
    """Calls of procedures that return their argument, of a handler and of another client."""
    figure = Figure("calls")

    def start() -> Server:
        site = servers.calls_site(places)
        config = servers.LIMITS + servers.CALL_RULES
        return servers.jackfield(places, site, config, name="calls", offset=8)

    for window in (32, 1):
        for series, options in CALLED.items():
            options = timed(settings, window=window, **options)
            figure.points.append(Point(series, window, "calls", start, "call", options))
    return figure


def payloads(present: list[Peer], settings: Settings) -> Figure:
    """One topic with a hundred subscribers, and events of an increasing size."""
    figure = Figure("payloads")
    for size in settings.payloads:
        for peer in filter(is_compiled, present):
            options = timed(settings, topics=1, subscribers=100, payload=size)
            figure.points += points(peer, size, "fan-out", options)
    return figure


# Topics of several publishers, and the subscribers of each.
SHARED_TOPICS = {"topics": 16, "subscribers": 10}


def publishers(present: list[Peer], settings: Settings) -> Figure:
    """The same topics and subscribers, with an increasing number of publishers."""
    figure = Figure("publishers")
    for count in settings.publishers:
        for peer in filter(is_compiled, present):
            # A server without a protocol has one topic.
            if peer.kind.protocol != "raw":
                options = timed(settings, publishers=count, **SHARED_TOPICS)
                figure.points += points(peer, count, "fan-out", options)
    return figure


def plugins(places: Places, settings: Settings) -> Figure:
    """An increasing number of plugins with a hook, which are called in turn."""
    figure = Figure("plugins")
    for offset, count in enumerate(settings.plugins):

        def start(count: int = count, offset: int = offset) -> Server:
            site = servers.plugins_site(places, count)
            return servers.jackfield(
                places, site, name="plugins", offset=60 + offset, patience=servers.COMPILING
            )

        options = timed(settings, publishers=1, topics=count, topic="plugin.t")
        figure.points.append(Point("a hook", count, f"plugins {count}", start, "publish", options))
    return figure


# Loads for one and two cores.
CORES = {
    "1 → 100": {"topics": 1, "subscribers": 100},
    "200 topics of 1 → 1": {"topics": 200, "subscribers": 1, "window": 4},
}


def cores(places: Places, present: list[Peer], settings: Settings) -> Figure:
    """The same load with a server that may use one core, and two."""
    figure = Figure("cores")

    def jackfield(cores: int) -> Server:
        site = servers.bench_site(places, f"bench-{cores}")
        return servers.jackfield(places, site, name=f"cores-{cores}", cores=cores)

    starts = {servers.JACKFIELD: jackfield}
    if named(present, servers.NATS):
        binary = peers.nats_binary()
        starts[servers.NATS] = lambda cores: servers.nats(places, binary, cores=cores)
    for name, options in CORES.items():
        for count in (1, 2):
            for kind, start in starts.items():

                def pinned(start=start, count=count) -> Server:
                    return start(count)

                series = f"{kind.name}, {count} {'core' if count == 1 else 'cores'}"
                figure.points.append(
                    Point(series, name, series, pinned, "fan-out", timed(settings, **options))
                )
    return figure


# Loads with TLS and without.
ENCRYPTED = {
    "1 → 100": {"topics": 1, "subscribers": 100},
    "1 → 100, 1 in flight": {"topics": 1, "subscribers": 100, "window": 1},
    "1 → 100, 4 KiB": {"topics": 1, "subscribers": 100, "payload": 4_096},
}


def tls(places: Places, present: list[Peer], settings: Settings) -> Figure:
    """The same load with TLS and without, of clients of WAMP v1."""
    figure = Figure("tls")
    both = [peer for peer in present if peer.start_tls]
    if not both:
        return figure
    authority = str(servers.certificate_file(places))
    for name, load in ENCRYPTED.items():
        options = timed(settings, protocol="wamp1", **load)
        for peer in both:
            kind = peer.kind.name
            figure.points += [
                Point(kind, name, kind, peer.start, "fan-out", options),
                Point(
                    f"{kind}, TLS",
                    name,
                    f"{kind}, TLS",
                    peer.start_tls,
                    "fan-out",
                    {**options, "ca": authority},
                ),
            ]
    return figure


def light(present: list[Peer], settings: Settings) -> Figure:
    """Few events in flight: a server wakes up for each one, or for a few."""
    figure = Figure("light")
    for x, options in LIGHT.items():
        for peer in filter(is_compiled, present):
            # A server without a protocol has one topic.
            if options["topics"] == 1 or peer.kind.protocol != "raw":
                figure.points += points(peer, x, "fan-out", timed(settings, **options))
    return figure


def latency(present: list[Peer], settings: Settings) -> Figure:
    """A hundred subscribers, at an increasing rate of publications."""
    figure = Figure("latency")
    for rate in settings.rates:
        for peer in filter(is_compiled, present):
            if peer.kind != servers.FLOOR:
                options = timed(settings, topics=1, subscribers=100, rate=rate)
                figure.points += points(peer, rate, "fan-out", options)
    return figure


def across_nodes(places: Places, present: list[Peer], settings: Settings) -> Figure:
    """A cluster: subscribers at the publisher's node and at others, beside servers of NATS with routes."""
    figure = Figure("cluster")
    binary = peers.nats_binary()
    if not binary:
        return figure
    kinds = [(servers.JACKFIELD, cluster.jackfield)]
    if named(present, servers.NATS):
        kinds.append((servers.NATS, cluster.nats))
    load, calm = settings.cluster_rates
    spread = settings.cluster_subscribers
    points = [
        *((x, nodes, load, 1) for x, nodes in (("here", [1]), ("there", [2]))),
        *((x, nodes, calm, 1) for x, nodes in (("here, calm", [1]), ("there, calm", [2]))),
        *(
            (f"fan-out {n}", list(range(1, n + 1)), settings.cluster_fan_out_rate, spread)
            for n in (1, 2, 3)
        ),
    ]
    for kind, start in kinds:
        for x, nodes, rate, subscribers in points:
            options = timed(
                settings, topics=1, subscribers=subscribers, rate=rate, subscribe_at_nodes=nodes
            )
            figure.points.append(
                Point(
                    kind.name,
                    x,
                    f"{kind.name}, cluster",
                    lambda start=start: start(places, binary, 3),
                    "fan-out",
                    options,
                )
            )
    # Crossbar is too slow for the other rates.
    for peer in named(present, servers.CROSSBAR):
        for x, nodes in (("here, calm", [1]), ("there, calm", [2])):
            options = timed(
                settings, topics=1, subscribers=1, rate=calm, subscribe_at_nodes=nodes
            )
            start = lambda peer=peer: cluster.crossbar(places, peer.binary)  # noqa: E731
            key = f"{servers.CROSSBAR.name}, cluster"
            figure.points.append(Point(servers.CROSSBAR.name, x, key, start, "fan-out", options))
    return figure
