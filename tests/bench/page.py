"""Measured parts of docs/performance.md: the text between `<!-- measured: NAME -->` and
`<!-- end -->` is generated from the data; all other text is written by hand and kept."""

from __future__ import annotations

import re
from collections.abc import Callable

import servers
from figures import LIGHT
from plots import number, value

BLOCK = re.compile(r"(<!-- measured: ([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

# The performance targets, with the figure of `make bars` for each, in milliseconds.
PROMISES = (
    (
        "publish → event through a handler in Rust, 1 000 subscribers idle, median",
        "under 1 ms",
        "round_trip_ms",
    ),
    (
        "a changed plugin of 68 KB is loaded after its file was closed, median",
        "under 500 ms",
        "reload_ms",
    ),
    ("start with the stock plugins from a warm compile cache, median", "under 1 s", "start_ms"),
)
# The connections of the target for memory.
IDLE_CONNECTIONS = 10_000


def fill(page: str, data: dict) -> str:
    """Returns the page with every block generated again; blocks without data stay."""

    def block(found: re.Match) -> str:
        name = found.group(2)
        written = BLOCKS[name](data) if name in BLOCKS else None
        return (
            found.group(0)
            if written is None
            else found.group(1) + written.strip("\n") + "\n" + found.group(3)
        )

    return BLOCK.sub(block, page)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def machine(data: dict) -> str | None:
    facts = data.get("machine")
    if not facts:
        return None
    kind = "virtual machine" if facts["virtual"] else "machine"
    settings = data["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    missing = "".join(f" {name} was not measured: {why}." for name, why in data["missing"].items())
    return (
        f"Measured on {facts['date']} on a {kind} with {facts['cores']} cores ({facts['cpu']}, "
        f"{facts['memory_gib']:.0f} GiB, {facts['system']}, Linux {facts['kernel']}); load "
        f"average at the start: {facts['load_before']}. Each point is the median of "
        f"{settings['rounds']} runs of {settings['seconds']:g} s after {settings['warm_up']:g} s "
        f"of warm-up; the servers took turns. "
        f"Versions: {versions}.{missing}\n"
    )


def promises(data: dict) -> str | None:
    bars = data.get("bars")
    if not bars:
        return None
    rows = []
    for what, promise, key in PROMISES:
        measured = bars.get(key)
        if measured is not None:
            rows.append([what, promise, f"{measured:.3g} ms"])
    for point in data.get("figures", {}).get("connections", []):
        idle = value(point, "server_bytes_per_connection")
        if idle and (point["series"], point["x"]) == (servers.JACKFIELD.name, IDLE_CONNECTIONS):
            what = f"memory of an idle connection with one subscription, {number(IDLE_CONNECTIONS)} open"
            rows.append([what, "under 4.5 KiB", f"{idle / 1024:.2f} KiB"])
    return table(["measurement", "target", "measured"], rows)


# The columns of the comparison, and its rows: title, figure, x, path of the value, divisor, unit.
BESIDE = (servers.NATS, servers.BUN_WAMP1, servers.BUN_TOPICS, servers.FLOOR)
COMPARED = (
    ("server CPU per delivery, 1 → 1", "fan-out", 1, ("server_cpu_us_per_delivery",), 1, "µs"),
    ("server CPU per delivery, 1 → 10", "fan-out", 10, ("server_cpu_us_per_delivery",), 1, "µs"),
    ("server CPU per delivery, 1 → 100", "fan-out", 100, ("server_cpu_us_per_delivery",), 1, "µs"),
    (
        "server CPU per delivery, 1 → 1 000",
        "fan-out",
        1_000,
        ("server_cpu_us_per_delivery",),
        1,
        "µs",
    ),
    (
        "server CPU per delivery, 1 → 10 000",
        "fan-out",
        10_000,
        ("server_cpu_us_per_delivery",),
        1,
        "µs",
    ),
    (
        "server CPU per delivery, 100 000 topics",
        "topics",
        100_000,
        ("server_cpu_us_per_delivery",),
        1,
        "µs",
    ),
    *(
        (f"server CPU per delivery, {x}", "light", x, ("server_cpu_us_per_delivery",), 1, "µs")
        for x in LIGHT
    ),
    (
        "memory per connection, 10 000 open",
        "connections",
        10_000,
        ("server_bytes_per_connection",),
        1024,
        "KiB",
    ),
    (
        "server CPU per connect, 10 000 opened",
        "connections",
        10_000,
        ("server_cpu_us_per_connect",),
        1,
        "µs",
    ),
    ("latency p50, 1 → 100 at 1 000 a second", "latency", 1_000, ("latency_us", "p50"), 1, "µs"),
    ("latency p99, 1 → 100 at 1 000 a second", "latency", 1_000, ("latency_us", "p99"), 1, "µs"),
)


def beside(data: dict) -> str | None:
    """Returns ratios to fast brokers and to the floor: above 1, Jackfield uses more."""
    measured = {point["series"] for points in data.get("figures", {}).values() for point in points}
    others = [kind.name for kind in BESIDE if kind.name in measured]
    rows = []
    for what, figure, x, path, divisor, unit in COMPARED:
        points = {
            p["series"]: value(p, *path)
            for p in data.get("figures", {}).get(figure, [])
            if p["x"] == x
        }
        own = points.get(servers.JACKFIELD.name)
        if own is None:
            continue
        row = [what, f"{number(own / divisor)} {unit}"]
        for other in others:
            theirs = points.get(other)
            row.append(
                f"{number(theirs / divisor)} {unit} ({own / theirs:.2f} ×)" if theirs else "–"
            )
        rows.append(row)
    if not rows:
        return None
    return table(["", "Jackfield", *others], rows)


def by_x(
    figure: str, first: str, *path: str, unit: str, divisor: float = 1.0
) -> Callable[[dict], str | None]:
    """Returns a table with a row for each x, and a column for each series."""

    def write(data: dict) -> str | None:
        points = data.get("figures", {}).get(figure)
        if not points:
            return None
        names = list(dict.fromkeys(point["series"] for point in points))
        rows = []
        for x in dict.fromkeys(point["x"] for point in points):
            here = {point["series"]: point for point in points if point["x"] == x}
            rows.append([number(x), *(cell(here.get(name), path, divisor) for name in names)])
        text = table([f"{first}; {unit}", *names], rows) + errors(points)
        return text + (GENERATOR if "†" in text else "")

    return write


# Marks rates that the load generator limited.
GENERATOR = "\n† The load generator used a whole core: the server could do more.\n"


def cell(point: dict | None, path: tuple[str, ...], divisor: float) -> str:
    if point is None:
        return "–"
    found = value(point, *path)
    if found is None:
        return "failed" if point.get("errors") else "–"
    lost, unsent = value(point, "lost"), value(point, "unsent")
    bound = path[-1].endswith("_per_second") and value(point, "generator_bound")
    return (
        number(found / divisor)
        + (f" ({number(lost)} lost)" if lost else "")
        + (f" ({number(unsent)} not sent in time)" if unsent else "")
        + ("†" if bound else "")
    )


def errors(points: list[dict]) -> str:
    """Returns the errors of the points, as the load generator reported them."""
    seen = dict.fromkeys(
        f"\n{point['series']} at {number(point['x'])}: {error}\n"
        for point in points
        for error in point.get("errors", [])
    )
    return "".join(seen)


def topmost(data: dict) -> str | None:
    points = data.get("figures", {}).get("connections")
    if not points:
        return None
    most = max(point["x"] for point in points)
    descriptors = data["machine"]["file_descriptors"]
    return (
        f"{number(most)} is the highest number tried: a process may open {number(descriptors)} files "
        "here, and both the server and the load generator need one for each connection.\n"
    )


def repeat(figure: str, pick: Callable[[list[dict]], list[dict]]) -> Callable[[dict], str | None]:
    """Returns the commands that measure single points by hand."""

    def write(data: dict) -> str | None:
        points = [point for point in data.get("figures", {}).get(figure, []) if "repeat" in point]
        if not points:
            return None
        lines = []
        for point in pick(points):
            commands = point["repeat"]
            lines += [f"{commands['server']} &", "sleep 1", f"{commands['bench']} --pid $!"]
            lines.append("kill $!")
        return "```sh\n" + "\n".join(lines) + "\n```\n"

    return write


def of_series(*names: str, x: float | None = None) -> Callable[[list[dict]], list[dict]]:
    def pick(points: list[dict]) -> list[dict]:
        chosen = []
        for name in names:
            own = [point for point in points if point["series"] == name]
            chosen += [point for point in own if point["x"] == x][:1] or own[-1:]
        return chosen

    return pick


def mib(bytes_: float) -> str:
    return f"{bytes_ / 2**20:.1f} MiB"


def soak(data: dict) -> str | None:
    report = data.get("soak")
    if not report:
        return None
    trend = report.get("trend") or {}
    verdict = (
        "It passed."
        if not report["complaints"]
        else "It failed: " + "; ".join(report["complaints"][:3])
    )
    return (
        f"The last run took {report['seconds'] / 60:.0f} minutes: {number(report['visits'])} "
        f"connections, {number(report['publications'])} publications, "
        f"{number(report['counted_deliveries'])} deliveries counted one by one, "
        f"{number(report['reloads'])} reloads and {number(report['refused_reloads'])} that were "
        f"refused, {number(report['cut_off'])} slow readers disconnected, "
        f"{number(report['handler_faults'])} calls of a handler that panics. After the first "
        f"third, the trend of memory went from {mib(trend.get('from_bytes', 0))} to "
        f"{mib(trend.get('to_bytes', 0))}. {verdict}\n"
    )


def isolation(data: dict) -> str | None:
    report = data.get("isolation")
    if not report:
        return None
    rows = [
        [it["beside"], number(it["alone_p99_us"]), number(it["p99_us"]), f"{it['p99_ratio']:.2f} ×"]
        for it in report["beside"]
    ]
    start = report["start"]
    return table(["beside it", "p99 alone, µs", "p99, µs", "ratio"], rows) + (
        f"\n{number(start['bundles'])} bundles started in {start['cold_seconds']:.0f} s with nothing "
        f"compiled, and in {start['warm_seconds']:.1f} s with the cache of the first start.\n"
    )


def cluster_points(data: dict) -> dict[tuple[str, str], dict]:
    points = data.get("figures", {}).get("cluster") or []
    return {(point["series"], point["x"]): point for point in points if "median" in point}


def cluster_latency(data: dict) -> str | None:
    """Returns the latency at the publisher's node and at another one, in the same run."""
    points = cluster_points(data)
    if not points:
        return None
    rows = []
    for name in dict.fromkeys(series for series, _ in points):
        for load in ("", ", calm"):
            here, there = points.get((name, f"here{load}")), points.get((name, f"there{load}"))
            if not here or not there:
                continue
            row = [f"{name}, {number(here['median']['rate'])} a second"]
            for quantile in ("p50", "p99"):
                one, two = (value(point, "latency_us", quantile) for point in (here, there))
                row += [number(one), f"{number(two)} ({two / one:.1f} ×)"]
            rows.append(row)
    # It may be measured alone, after the other figures.
    when = data.get("measured", {}).get("cluster")
    said = (
        f"Measured on {when['date']}; load average at the start: {when['load_before']}.\n\n"
        if when
        else ""
    )
    head = ["one subscriber; µs", "same node, p50", "another node, p50", "same node, p99", "another node, p99"]
    return said + table(head, rows)


def cluster_cpu(data: dict) -> str | None:
    """Returns the CPU time of each process for a publication."""
    points = cluster_points(data)
    if not points:
        return None
    roles = ["node 1", "node 2", "node 3", "NATS"]
    rows = []
    for (name, x), point in points.items():
        if "calm" in x:
            continue
        used = point["median"].get("server_cpu_us_by_role", {})
        what = {"here": "1 subscriber at node 1", "there": "1 subscriber at node 2"}.get(x)
        if what is None:
            nodes = int(x.rpartition(" ")[2])
            receivers = round(point["median"]["deliveries"] / point["median"]["publishes"])
            what = f"{receivers} subscribers at {nodes} node{'s' if nodes > 1 else ''}"
        cells = [number(used[role]) if role in used else "–" for role in roles]
        rows.append([f"{name}: {what}", *cells, number(sum(used.values()))])
    return table(["µs of CPU per publish", *roles, "together"], rows)


def plugins(data: dict) -> str | None:
    """Returns the cost of a publication, and the memory of the server, by the number of plugins."""
    points = data.get("figures", {}).get("plugins")
    if not points:
        return None
    head = ["plugins", "µs of server CPU per publish", "MiB of the server"]
    rows = [
        [
            number(point["x"]),
            cell(point, CPU_PUBLISH, 1),
            cell(point, ("server_rss_bytes",), 2**20),
        ]
        for point in points
    ]
    return table(head, rows) + errors(points)


CPU_DELIVERY, CPU_PUBLISH = ("server_cpu_us_per_delivery",), ("server_cpu_us_per_publish",)

BLOCKS: dict[str, Callable[[dict], str | None]] = {
    "machine": machine,
    "promises": promises,
    "beside": beside,
    "fan-out": by_x("fan-out", "subscribers", *CPU_DELIVERY, unit="µs of server CPU per delivery"),
    "fan-out-rate": by_x(
        "fan-out", "subscribers", "deliveries_per_second", unit="deliveries a second"
    ),
    "fan-out-repeat": repeat("fan-out", of_series("Jackfield", "nats-server", "the floor", x=100)),
    "topics": by_x("topics", "topics", *CPU_DELIVERY, unit="µs of server CPU per delivery"),
    "topics-repeat": repeat("topics", of_series("Jackfield", x=100_000)),
    "routes": by_x("routes", "routes", *CPU_PUBLISH, unit="µs of server CPU per publish"),
    "routes-repeat": repeat("routes", of_series("with variables")),
    "connections": by_x(
        "connections",
        "connections",
        "server_bytes_per_connection",
        unit="KiB per connection",
        divisor=1024,
    ),
    "connects": by_x(
        "connections",
        "connections",
        "server_cpu_us_per_connect",
        unit="µs of server CPU per connect",
    ),
    "connections-most": topmost,
    "connections-repeat": repeat("connections", of_series("Jackfield")),
    "serializers": by_x(
        "serializers", "subscribers", *CPU_DELIVERY, unit="µs of server CPU per delivery"
    ),
    "serializers-repeat": repeat("serializers", of_series("v2 CBOR", x=100)),
    "handlers": by_x("handlers", "subscribers", *CPU_PUBLISH, unit="µs of server CPU per publish"),
    "calls": by_x(
        "calls", "calls in flight", "server_cpu_us_per_call", unit="µs of server CPU per call"
    ),
    "calls-repeat": repeat("calls", of_series("a client", x=32)),
    "payloads": by_x("payloads", "bytes", *CPU_DELIVERY, unit="µs of server CPU per delivery"),
    "publishers": by_x("publishers", "publishers", *CPU_DELIVERY, unit="µs of server CPU per delivery"),
    "plugins": plugins,
    "tls": by_x("tls", "load", *CPU_DELIVERY, unit="µs of server CPU per delivery"),
    "cores": by_x("cores", "load", *CPU_DELIVERY, unit="µs of server CPU per delivery"),
    "cores-rate": by_x("cores", "load", "deliveries_per_second", unit="deliveries a second"),
    "handlers-repeat": repeat("handlers", of_series("an on_publish hook in Rust", x=0)),
    "light": by_x("light", "events in flight", *CPU_DELIVERY, unit="µs of server CPU per delivery"),
    "latency": by_x("latency", "publishes a second", "latency_us", "p50", unit="µs, p50"),
    "latency-p99": by_x("latency", "publishes a second", "latency_us", "p99", unit="µs, p99"),
    "latency-cpu": by_x(
        "latency",
        "publishes a second",
        "server_cpu_us_per_delivery",
        unit="µs of server CPU per delivery",
    ),
    "latency-repeat": repeat("latency", of_series("Jackfield", x=1_000)),
    "cluster-latency": cluster_latency,
    "cluster-cpu": cluster_cpu,
    "soak": soak,
    "isolation": isolation,
}
