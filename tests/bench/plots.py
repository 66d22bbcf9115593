"""The figures of docs/performance.md as charts, from the measured medians. `svg` draws them."""

from __future__ import annotations

import servers
from svg import Axis, Bar, BarChart, Line, LineChart, number

# A server has its colour in every chart; the floor has none.
COLOURS = {
    servers.JACKFIELD.name: 0,
    servers.NATS.name: 1,
    servers.CROSSBAR.name: 2,
    servers.FOX_WAMP.name: 3,
    servers.WAMP_IO.name: 4,
    servers.FLOOR.name: None,
}
# For several lines of Jackfield's own.
OWN = [0, 5]


def charts(data: dict) -> dict[str, str]:
    """File names and their SVG, of all figures that were measured."""
    figures = data["figures"]
    drawn = {
        "fan-out.svg": ("fan-out", fan_out),
        "topics.svg": ("topics", topics),
        "routes.svg": ("routes", routes),
        "memory.svg": ("connections", memory),
        "connects.svg": ("connections", connects),
        "serializers.svg": ("serializers", serializers),
        "handlers.svg": ("handlers", handlers),
        "latency.svg": ("latency", latency),
    }
    return {
        file: draw(figures[name])
        for file, (name, draw) in drawn.items()
        if any("median" in point for point in figures.get(name, []))
    }


def value(point: dict, *path: str) -> float | None:
    found = point.get("median", {})
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def series(points: list[dict], *path: str, factor: float = 1.0) -> list[Line]:
    """A line for each series, in the order of their first points."""
    lines: dict[str, Line] = {}
    for point in points:
        name = point["series"]
        if name not in lines:
            colour = COLOURS.get(name, OWN[len(lines) % len(OWN)])
            lines[name] = Line(name, [], colour, dashed=colour is None)
        y = value(point, *path)
        lines[name].points.append((point["x"], y * factor if y else None))
    return list(lines.values())


def fan_out(points: list[dict]) -> str:
    return LineChart(
        "Fan-out: server CPU per delivery",
        "one topic, one publisher, 128 bytes, 32 events in flight; lower is better",
        Axis("subscribers"),
        Axis("µs of CPU per delivery"),
        series(points, "server_cpu_us_per_delivery"),
        height=430,
    ).draw()


def topics(points: list[dict]) -> str:
    rate = next(
        (point["median"]["rate"] for point in points if "rate" in point.get("median", {})), 0
    )
    return LineChart(
        "Many topics: server CPU per delivery",
        f"one subscriber a topic, {number(rate)} events a second over all topics in turn",
        Axis("topics"),
        Axis("µs of CPU per delivery", log=False, least=0),
        series(points, "server_cpu_us_per_delivery"),
        height=360,
    ).draw()


def routes(points: list[dict]) -> str:
    return LineChart(
        "Many routes: server CPU per publish",
        "acknowledged, no subscribers; the topic's route is the last of the site",
        Axis("routes in the site"),
        Axis("µs of CPU per publish", log=False, least=0),
        series(points, "server_cpu_us_per_publish"),
        height=360,
    ).draw()


def memory(points: list[dict]) -> str:
    return LineChart(
        "Memory of an idle connection",
        "resident memory of the server, a subscription each; lower is better",
        Axis("open connections"),
        Axis("KiB per connection"),
        series(points, "server_bytes_per_connection", factor=1 / 1024),
        height=380,
    ).draw()


def connects(points: list[dict]) -> str:
    return LineChart(
        "Connecting: server CPU",
        "handshake, session and one subscription; lower is better",
        Axis("connections opened"),
        Axis("µs of CPU per connection"),
        series(points, "server_cpu_us_per_connect"),
        height=380,
    ).draw()


def serializers(points: list[dict]) -> str:
    return grouped(
        points,
        "Protocols and serializers: server CPU per delivery",
        "Jackfield, one topic, 128 bytes, 32 events in flight; shorter is better",
        "server_cpu_us_per_delivery",
        {1: "one subscriber", 100: "a hundred subscribers"},
    )


def handlers(points: list[dict]) -> str:
    return grouped(
        points,
        "Handlers: server CPU per publish",
        "Jackfield, WAMP v2 with JSON, 128 bytes, 32 in flight; shorter is better",
        "server_cpu_us_per_publish",
        {0: "no subscribers, acknowledged", 100: "a hundred subscribers"},
    )


def grouped(points: list[dict], title: str, subtitle: str, key: str, names: dict) -> str:
    groups: dict[float, list[Bar]] = {}
    for point in points:
        y = value(point, key)
        if y is not None:
            group = groups.setdefault(point["x"], [])
            group.append(Bar(point["series"], y))
    named = [(names.get(x, str(x)), group) for x, group in groups.items()]
    return BarChart(title, subtitle, named, text=lambda y: f"{y:.2f} µs").draw()


def latency(points: list[dict]) -> str:
    lines = []
    for key, dashed in (("p50", False), ("p99", True)):
        for line in series(points, "latency_us", key):
            line.name, line.dashed = f"{line.name} {key}", dashed
            lines.append(line)
    return LineChart(
        "Latency from due to delivered, at a fixed rate",
        "one topic, a hundred subscribers, 128 bytes; full lines p50, dashed p99",
        Axis("publishes a second", ticks=sorted({point["x"] for point in points})),
        Axis("µs"),
        lines,
        height=430,
    ).draw()


def soak(report: dict) -> str:
    """Memory over time, with the line that is judged."""
    mib = [sample / 2**20 for sample in report["rss_anon_bytes"]]
    lines = [Line("memory", list(enumerate(mib)), 0, marks=False)]
    trend = report.get("trend")
    if trend:
        first, last = len(mib) // 3, len(mib) - 1
        ends = [(first, trend["from_bytes"] / 2**20), (last, trend["to_bytes"] / 2**20)]
        lines.append(Line("its trend", ends, None, dashed=True, marks=False))
    minutes = len(mib) / 60
    return LineChart(
        f"The soak: memory over {minutes:.0f} minutes",
        f"{number(report['visits'])} connections, {report['reloads']} reloads, "
        f"{number(report['publications'])} publications",
        Axis("seconds", log=False, least=0),
        Axis("MiB of anonymous memory", log=False, least=0),
        lines,
        height=340,
    ).draw()
