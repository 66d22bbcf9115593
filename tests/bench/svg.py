"""Charts as SVG: lines over a logarithmic or linear axis, and bars. Knows nothing of what is drawn;
`plots` does. Colours follow the reader's scheme, light or dark, and the ground is painted, so that
a chart is readable wherever it is shown."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape

WIDTH = 760
FONT = "font-family='ui-sans-serif, system-ui, Segoe UI, Helvetica, Arial, sans-serif'"

# In the order in which they are given out; told apart also by who does not see red or green, and by
# the mark on each point.
COLOURS = ["#0b66c3", "#c2410c", "#0f766e", "#7e22ce", "#a16207", "#be185d"]
DARK_COLOURS = ["#6cb2ff", "#ff9d5c", "#4fd1c0", "#c79bff", "#e6c04a", "#ff8ec0"]
# The floor is no server.
MUTED, DARK_MUTED = "#6b7280", "#9aa4b2"

MARKS = ["circle", "square", "diamond", "triangle", "circle", "square"]


def style() -> str:
    light = "".join(f".s{i}{{--c:{c}}}" for i, c in enumerate(COLOURS)) + f".sm{{--c:{MUTED}}}"
    dark = (
        "".join(f".s{i}{{--c:{c}}}" for i, c in enumerate(DARK_COLOURS))
        + f".sm{{--c:{DARK_MUTED}}}"
    )
    return (
        "<style>"
        ":root{--ground:#fff;--ink:#1f2328;--soft:#59636e;--grid:#e4e8ec;--axis:#8b949e}"
        f"{light}"
        "@media(prefers-color-scheme:dark){"
        ":root{--ground:#0d1117;--ink:#e6edf3;--soft:#9aa4b2;--grid:#262c34;--axis:#6b7683}"
        f"{dark}"
        "}"
        ".ground{fill:var(--ground)}.ink{fill:var(--ink)}.soft{fill:var(--soft)}"
        ".grid{stroke:var(--grid);stroke-width:1}.axis{stroke:var(--axis);stroke-width:1}"
        ".line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
        ".dash{stroke-dasharray:5 4}.mark{fill:var(--c)}"
        ".hollow{fill:var(--ground);stroke:var(--c);stroke-width:2}"
        ".name{fill:var(--c);font-weight:600}"
        "</style>"
    )


@dataclass
class Line:
    """A series of points; `None` as y leaves a gap."""

    name: str
    points: list[tuple[float, float | None]]
    # Which colour: a number, or None for what is only there to compare with.
    colour: int | None = 0
    dashed: bool = False
    marks: bool = True

    @property
    def css(self) -> str:
        return "sm" if self.colour is None else f"s{self.colour % len(COLOURS)}"


@dataclass
class Axis:
    title: str
    log: bool = True
    # How a value is written at its tick.
    text: object = None
    # Linear axes begin here; logarithmic ones where the data do.
    least: float | None = None
    ticks: list[float] | None = None

    def write(self, value: float) -> str:
        return self.text(value) if self.text else number(value)


@dataclass
class LineChart:
    title: str
    subtitle: str
    x: Axis
    y: Axis
    lines: list[Line] = field(default_factory=list)
    height: int = 400

    def draw(self) -> str:
        shown = [line for line in self.lines if any(y is not None for _, y in line.points)]
        xs = [x for line in shown for x, y in line.points if y is not None] or [1, 10]
        ys = [y for line in shown for _, y in line.points if y is not None] or [1, 10]
        # Names stand behind the ends of their lines.
        right = 20 + max([text_width(line.name, 13) for line in shown] or [0])
        left, top, bottom = 64, 86, self.height - 52
        x_scale = Scale(self.x, min(xs), max(xs), left, WIDTH - right - 14, tight=True)
        y_scale = Scale(self.y, min(ys), max(ys), bottom, top)
        parts = [head(self.title, self.subtitle, self.height)]
        for value in y_scale.ticks:
            y = y_scale(value)
            parts.append(segment("grid", left, y, x_scale.end, y))
            parts.append(text(left - 8, y + 4, self.y.write(value), "soft", 12, "end"))
        for value in x_scale.ticks:
            x = x_scale(value)
            parts.append(segment("axis", x, bottom, x, bottom + 5))
            parts.append(text(x, bottom + 20, self.x.write(value), "soft", 12, "middle"))
        parts.append(segment("axis", left, bottom, x_scale.end, bottom))
        parts.append(text(left - 48, top - 16, self.y.title, "soft", 12))
        parts.append(
            text((left + x_scale.end) / 2, bottom + 42, self.x.title, "soft", 12, "middle")
        )
        ends = []
        for order, line in enumerate(shown):
            parts.extend(draw_line(line, order, x_scale, y_scale))
            last = [point for point in line.points if point[1] is not None][-1]
            ends.append((y_scale(last[1]), x_scale(last[0]), line))
        parts.extend(name_ends(ends, top, bottom))
        return close(parts)


@dataclass
class Bar:
    name: str
    value: float
    colour: int | None = 0
    # Behind the value, softer.
    note: str = ""

    @property
    def css(self) -> str:
        return "sm" if self.colour is None else f"s{self.colour % len(COLOURS)}"


@dataclass
class BarChart:
    """Horizontal bars in groups, each group with its own heading."""

    title: str
    subtitle: str
    groups: list[tuple[str, list[Bar]]]
    # How a value is written.
    text: object = None

    def draw(self) -> str:
        bars = [bar for _, group in self.groups for bar in group]
        most = max([bar.value for bar in bars] or [1]) or 1
        left = 24 + max([text_width(bar.name, 13) for bar in bars] or [0])
        room = max([text_width(self.write(bar.value) + "  " + bar.note, 12) for bar in bars] or [0])
        length = WIDTH - left - room - 32
        height = 84 + sum((30 if name else 8) + 26 * len(group) for name, group in self.groups)
        parts, y = [head(self.title, self.subtitle, height)], 70
        for name, group in self.groups:
            if name:
                parts.append(text(16, y + 16, name, "soft", 12))
            y += 30 if name else 8
            for bar in group:
                width = max(2.0, bar.value / most * length)
                parts.append(text(left - 10, y + 15, bar.name, "ink", 13, "end"))
                parts.append(
                    f"<rect class='mark {bar.css}' x='{left}' y='{y + 3}' width='{width:.1f}' "
                    "height='17' rx='2'/>"
                )
                value, at = self.write(bar.value), left + width + 8
                parts.append(text(at, y + 16, value, "ink", 12))
                if bar.note:
                    parts.append(
                        text(at + text_width(value + "  ", 12), y + 16, bar.note, "soft", 12)
                    )
                y += 26
        return close(parts)

    def write(self, value: float) -> str:
        return self.text(value) if self.text else number(value)


class Scale:
    """From values to pixels, with ticks at round values."""

    def __init__(
        self, axis: Axis, least: float, most: float, start: float, end: float, tight=False
    ):
        self.log, self.start, self.end = axis.log, start, end
        if axis.log:
            self.low, self.high = (least, most) if tight else log_bounds(least, most)
            if self.low == self.high:
                self.high = self.low * 10
            self.ticks = axis.ticks or log_ticks(self.low, self.high)
        else:
            self.low = axis.least if axis.least is not None else least
            self.high = most if most > self.low else self.low + 1
            step = round_step((self.high - self.low) / 5)
            if not tight:
                self.high = math.ceil(self.high * 1.04 / step) * step
            first = math.ceil(self.low / step)
            count = math.floor(self.high / step + 1e-9) - first + 1
            self.ticks = axis.ticks or [(first + index) * step for index in range(count)]

    def __call__(self, value: float) -> float:
        place = (
            (math.log(max(value, 1e-12)) - math.log(self.low))
            / (math.log(self.high) - math.log(self.low))
            if self.log
            else (value - self.low) / (self.high - self.low)
        )
        return self.start + place * (self.end - self.start)


def log_bounds(least: float, most: float) -> tuple[float, float]:
    """Around the data, at 1, 2 or 5 times a power of ten."""
    steps = [m * 10.0**e for e in range(-6, 13) for m in (1, 2, 5)]
    low = max(step for step in steps if step <= least * 1.0001)
    high = min(step for step in steps if step >= most * 0.9999)
    return (low, high) if low < high else (low, low * 10)


def log_ticks(low: float, high: float) -> list[float]:
    wide = high / low > 200
    factors = (1,) if wide else (1, 2, 5)
    ticks = [f * 10.0**e for e in range(-6, 13) for f in factors]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]


def round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= step * 0.999)


def number(value: float) -> str:
    """As a person writes it: 20 000, 1.5, 0.25."""
    if value >= 1000:
        return f"{round(value):,}".replace(",", "\u202f")
    return f"{value:.3g}"


def draw_line(line: Line, order: int, x_scale: Scale, y_scale: Scale) -> list[str]:
    runs, points = [], []
    for x, y in line.points:
        if y is None:
            runs, points = runs + [points], []
        else:
            points.append((x_scale(x), y_scale(y)))
    parts = []
    for run in [*runs, points]:
        if len(run) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            dash = " dash" if line.dashed else ""
            parts.append(f"<polyline class='line {line.css}{dash}' points='{path}'/>")
        if line.marks:
            parts.extend(mark(MARKS[order % len(MARKS)], line, x, y) for x, y in run)
    return parts


def mark(shape: str, line: Line, x: float, y: float) -> str:
    css = f"{'hollow' if line.dashed else 'mark'} {line.css}"
    if shape == "circle":
        return f"<circle class='{css}' cx='{x:.1f}' cy='{y:.1f}' r='3.6'/>"
    if shape == "square":
        return f"<rect class='{css}' x='{x - 3.3:.1f}' y='{y - 3.3:.1f}' width='6.6' height='6.6'/>"
    corners = {
        "diamond": ((0, -4.6), (4.6, 0), (0, 4.6), (-4.6, 0)),
        "triangle": ((0, -4.4), (4.2, 3.4), (-4.2, 3.4)),
    }[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f"<polygon class='{css}' points='{points}'/>"


def name_ends(ends: list[tuple[float, float, Line]], top: float, bottom: float) -> list[str]:
    """Each name behind its line's end, moved apart where they would touch."""
    ends = sorted(ends, key=lambda end: end[0])
    places = [y for y, _, _ in ends]
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + 16)
    over = (places[-1] - bottom) if places else 0
    if over > 0:
        places[-1] -= over
        for index in range(len(places) - 2, -1, -1):
            places[index] = min(places[index], places[index + 1] - 16)
    parts = []
    for place, (_, x, line) in zip(places, ends, strict=True):
        parts.append(
            f"<text class='name {line.css}' x='{x + 11:.1f}' y='{max(place, top) + 4.5:.1f}' "
            f"font-size='13'>{escape(line.name)}</text>"
        )
    return parts


def head(title: str, subtitle: str, height: int) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' "
        f"height='{height}' role='img' aria-label='{escape(title, quote=True)}' {FONT}>"
        f"{style()}<rect class='ground' width='{WIDTH}' height='{height}' rx='6'/>"
        + text(16, 26, title, "ink", 16, weight=600)
        + text(16, 45, subtitle, "soft", 12)
    )


def text(
    x: float, y: float, what: str, css: str, size: int, anchor: str = "start", weight: int = 400
) -> str:
    return (
        f"<text class='{css}' x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' "
        f"font-weight='{weight}'>{escape(what)}</text>"
    )


def segment(css: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<line class='{css}' x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}'/>"


def text_width(what: str, size: int) -> float:
    """A generous guess, as the reader's font is not known."""
    return len(what) * size * 0.58


def close(parts: list[str]) -> str:
    return "\n".join([*parts, "</svg>", ""])
