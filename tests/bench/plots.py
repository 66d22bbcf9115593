"""Charts of docs/performance.md: the measured medians, drawn by matplotlib as SVG.

Text stays text, and equal data produce equal files. Colours follow the reader's scheme, light or
dark, and the background is painted, so a chart is readable on every page."""

from __future__ import annotations

import io
import itertools
import os
import sys
from dataclasses import dataclass

import servers

# matplotlib keeps a list of fonts: in the virtual environment, not in the user's home.
os.environ.setdefault("MPLCONFIGDIR", sys.prefix)

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

# In points: 72 points are 96 pixels in a browser.
WIDTH = 570

GROUND, INK, SOFT = "#ffffff", "#1f2328", "#59636e"
GRID, AXIS, MUTED = "#e4e8ec", "#8b949e", "#6b7280"
# Distinguishable without red and green; each point also has a mark.
COLOURS = ["#0b66c3", "#c2410c", "#0f766e", "#7e22ce", "#a16207", "#be185d", "#4d7c0f"]
MARKS = "osD^vP"
# The colours of the dark scheme, in the same order.
DARK = dict(
    zip(
        [GROUND, INK, SOFT, GRID, AXIS, MUTED, *COLOURS],
        ["#0d1117", "#e6edf3", "#9aa4b2", "#262c34", "#6b7683", "#9aa5b3"]
        + ["#6cb2ff", "#ff9d5c", "#4fd1c0", "#c79bff", "#e6c04a", "#ff8ec0", "#a3d65c"],
        strict=True,
    )
)
# Each server has the same colour in every chart; the floor, which is not a broker, is grey.
SERVERS = [
    servers.JACKFIELD,
    servers.NATS,
    servers.CROSSBAR,
    servers.FOX_WAMP,
    servers.WAMP_IO,
    servers.BUN_WAMP1,
    servers.BUN_TOPICS,
]
COLOUR_OF = {
    **{server.name: colour for server, colour in zip(SERVERS, COLOURS, strict=True)},
    servers.JACKFIELD_V1: COLOURS[0],
    servers.FLOOR.name: MUTED,
}
# Lines beside those of the servers: another protocol of one, and the floor.
DASHED = (servers.JACKFIELD_V1, servers.FLOOR.name)
# For several lines of Jackfield.
OWN = [COLOURS[0], COLOURS[5]]

matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "jackfield",
        # matplotlib ships the first font, so the layout is the same on every machine.
        "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
        "font.size": 9,
        "figure.dpi": 72,
        "figure.facecolor": GROUND,
        "text.color": INK,
        "axes.facecolor": "none",
        "axes.edgecolor": AXIS,
        "axes.labelcolor": SOFT,
        "axes.titlecolor": SOFT,
        "axes.titlelocation": "left",
        "axes.titlesize": 9,
        "axes.titlepad": 9,
        "axes.labelpad": 6,
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.xmargin": 0.02,
        "grid.color": GRID,
        "xtick.color": AXIS,
        "xtick.labelcolor": SOFT,
        "ytick.labelcolor": SOFT,
        "ytick.left": False,
        "lines.markersize": 5,
    }
)


@dataclass
class Line:
    """A series of points; `None` as y leaves a gap."""

    name: str
    points: list[tuple[float, float | None]]
    colour: str
    dashed: bool = False
    marks: bool = True


@dataclass
class Axis:
    """An axis, logarithmic or linear from zero."""

    title: str
    log: bool = True
    ticks: list[float] | None = None


def charts(data: dict) -> dict[str, str]:
    """Returns file names and their SVG, for all measured figures and the soak test."""
    figures = data.get("figures", {})
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
    files = {
        file: draw(figures[name])
        for file, (name, draw) in drawn.items()
        if any("median" in point for point in figures.get(name, []))
    }
    return files | ({"soak.svg": soak(data["soak"])} if data.get("soak") else {})


def value(point: dict, *path: str) -> float | None:
    found = point.get("median", {})
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def number(value: float | str, _position: int | None = None) -> str:
    """Formats a number, and ticks: 20 000, 1.5 or 0.25. A position with a name keeps it."""
    if isinstance(value, str):
        return value
    if value >= 1000:
        return f"{round(value):,}".replace(",", "\u202f")
    return f"{value:.3g}"


def series(points: list[dict], *path: str, factor: float = 1.0) -> list[Line]:
    """Returns a line for each series, in the order of their first points."""
    lines: dict[str, Line] = {}
    for point in points:
        name = point["series"]
        if name not in lines:
            colour = COLOUR_OF.get(name, OWN[len(lines) % len(OWN)])
            lines[name] = Line(name, [], colour, dashed=name in DASHED)
        y = value(point, *path)
        lines[name].points.append((point["x"], y * factor if y else None))
    return list(lines.values())


def fan_out(points: list[dict]) -> str:
    return line_chart(
        "Fan-out: server CPU per delivery",
        "one topic, one publisher, 128 bytes, 32 events in flight; lower is better",
        Axis("subscribers"),
        Axis("µs of CPU per delivery"),
        series(points, "server_cpu_us_per_delivery"),
        height=322,
    )


def topics(points: list[dict]) -> str:
    rate = next(
        (point["median"]["rate"] for point in points if "rate" in point.get("median", {})), 0
    )
    return line_chart(
        "Many topics: server CPU per delivery",
        f"one subscriber a topic, {number(rate)} events a second over all topics in turn",
        Axis("topics"),
        Axis("µs of CPU per delivery", log=False),
        series(points, "server_cpu_us_per_delivery"),
    )


def routes(points: list[dict]) -> str:
    return line_chart(
        "Many routes: server CPU per publish",
        "acknowledged, no subscribers; the topic's route is the last of the site",
        Axis("routes in the site"),
        Axis("µs of CPU per publish", log=False),
        series(points, "server_cpu_us_per_publish"),
    )


def memory(points: list[dict]) -> str:
    return line_chart(
        "Memory of an idle connection",
        "resident memory of the server, a subscription each; lower is better",
        Axis("open connections"),
        Axis("KiB per connection"),
        series(points, "server_bytes_per_connection", factor=1 / 1024),
    )


def connects(points: list[dict]) -> str:
    return line_chart(
        "Connecting: server CPU",
        "handshake, session and one subscription; lower is better",
        Axis("connections opened"),
        Axis("µs of CPU per connection"),
        series(points, "server_cpu_us_per_connect"),
    )


def serializers(points: list[dict]) -> str:
    return bar_chart(
        "Protocols and serializers: server CPU per delivery",
        "Jackfield, one topic, 128 bytes, 32 events in flight; shorter is better",
        points,
        "server_cpu_us_per_delivery",
        {1: "one subscriber", 100: "a hundred subscribers"},
    )


def handlers(points: list[dict]) -> str:
    return bar_chart(
        "Handlers: server CPU per publish",
        "Jackfield, WAMP v2 with JSON, 128 bytes, 32 in flight; shorter is better",
        points,
        "server_cpu_us_per_publish",
        {0: "no subscribers, acknowledged", 100: "a hundred subscribers"},
    )


def latency(points: list[dict]) -> str:
    lines = []
    for key, dashed in (("p50", False), ("p99", True)):
        for line in series(points, "latency_us", key):
            line.name, line.dashed = f"{line.name} {key}", dashed
            lines.append(line)
    return line_chart(
        "Latency from due to delivered, at a fixed rate",
        "one topic, a hundred subscribers, 128 bytes; full lines p50, dashed p99",
        Axis("publishes a second", ticks=sorted({point["x"] for point in points})),
        Axis("µs"),
        lines,
        height=322,
    )


def soak(report: dict) -> str:
    """Memory over time, with the trend line that the soak test checks."""
    mib = [sample / 2**20 for sample in report["rss_anon_bytes"]]
    lines = [Line("memory", list(enumerate(mib)), COLOURS[0], marks=False)]
    trend = report.get("trend")
    if trend:
        first, last = len(mib) // 3, len(mib) - 1
        ends = [(first, trend["from_bytes"] / 2**20), (last, trend["to_bytes"] / 2**20)]
        lines.append(Line("its trend", ends, MUTED, dashed=True, marks=False))
    minutes = len(mib) / 60
    return line_chart(
        f"The soak: memory over {minutes:.0f} minutes",
        f"{number(report['visits'])} connections, {report['reloads']} reloads, "
        f"{number(report['publications'])} publications",
        Axis("seconds", log=False),
        Axis("MiB of anonymous memory", log=False),
        lines,
        height=255,
    )


def line_chart(
    title: str, subtitle: str, x: Axis, y: Axis, lines: list[Line], height: int = 280
) -> str:
    figure = frame(title, subtitle, height)
    axes = figure.add_subplot()
    axes.set_xlabel(x.title)
    axes.set_title(y.title)
    names = []
    for line, mark in zip(lines, itertools.cycle(MARKS)):
        measured = [point for point in line.points if point[1] is not None]
        if not measured:
            continue
        axes.plot(
            *zip(*line.points),
            color=line.colour,
            linestyle="--" if line.dashed else "-",
            marker=mark if line.marks else "",
            markerfacecolor=GROUND if line.dashed else line.colour,
        )
        # The name is at the end of the line, in place of a legend.
        name = axes.annotate(line.name, measured[-1], (8, 0), textcoords="offset points")
        name.set(color=line.colour, weight="bold", va="center")
        names.append(name)
    axes.set(xscale="log" if x.log else "linear", yscale="log" if y.log else "linear")
    for axis, shown, set_limit in ((axes.xaxis, x, axes.set_xlim), (axes.yaxis, y, axes.set_ylim)):
        low, high = axis.get_view_interval()
        if shown.log:
            axis.set_major_locator(LogLocator(subs=(1,) if high > 200 * low else (1, 2, 5)))
            axis.set_minor_locator(NullLocator())
        else:
            set_limit(0, 1.04 * high)
        if shown.ticks:
            axis.set_ticks(shown.ticks)
        axis.set_major_formatter(number)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    spread(names, axes.transData)
    return svg(figure, title)


def spread(names: list, place: matplotlib.transforms.Transform) -> None:
    """Moves names upwards if they would overlap."""
    free = 0.0
    for name in sorted(names, key=lambda name: name.xy[1]):
        at = place.transform(name.xy)[1]
        name.xyann = (8, max(0.0, free - at))
        free = max(at, free) + 12


def bar_chart(title: str, subtitle: str, points: list[dict], key: str, names: dict) -> str:
    """Horizontal bars in groups, one for each x; `names` has the heading of each group."""
    groups: dict[float, dict[str, float]] = {}
    for point in points:
        group, y = groups.setdefault(point["x"], {}), value(point, key)
        if y is not None:
            group[point["series"]] = y
    bars = [max(1, len(group)) for group in groups.values()]
    figure = frame(title, subtitle, 56 + sum(26 + 20 * count for count in bars))
    rows = figure.subplots(len(groups), sharex=True, squeeze=False, height_ratios=bars)
    for axes, (x, group) in zip(rows.flat, groups.items(), strict=True):
        drawn = axes.barh(range(len(group)), list(group.values()), 0.65, color=COLOURS[0])
        axes.set_yticks(range(len(group)), list(group))
        axes.bar_label(drawn, fmt="%.2f µs", padding=5)
        axes.set_title(names.get(x, str(x)))
        axes.tick_params("y", labelcolor=INK)
        axes.spines[:].set_visible(False)
        axes.xaxis.set_visible(False)
        axes.yaxis.grid(False)
        axes.invert_yaxis()
    return svg(figure, title)


def frame(title: str, subtitle: str, height: int) -> Figure:
    """A figure with its title; the layout keeps the axes below it."""
    figure = Figure((WIDTH / 72, height / 72), layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 38 / height), w_pad=1 / 6, h_pad=1 / 9)
    figure.text(12 / WIDTH, 1 - 20 / height, title, size=12, weight="bold")
    figure.text(12 / WIDTH, 1 - 35 / height, subtitle, color=SOFT)
    return figure


def svg(figure: Figure, title: str) -> str:
    file = io.StringIO()
    unneeded = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", metadata={"Title": title, **unneeded})
    dark = "".join(
        f"[style*='{part}: {light}']{{{part}:{colour}!important}}"
        for light, colour in DARK.items()
        for part in ("fill", "stroke")
        if f"{part}: {light}" in file.getvalue()
    )
    dark = f"@media(prefers-color-scheme:dark){{{dark}}}</style>"
    return file.getvalue().replace("</style>", dark, 1)
