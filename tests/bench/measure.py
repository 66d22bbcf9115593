"""Runner of a figure's points in interleaved rounds. Each result is stored at once: a failing peer
affects its own points only, and an interruption keeps the results so far."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import load
from figures import Figure, Point, Settings
from servers import Failed, Places, Server

# After this many failures, a line is skipped for this figure.
FAILURES = 2


class Store:
    """Results of all runs, one line of JSON each."""

    def __init__(self, path: Path, keep: bool) -> None:
        self.path, self.runs = path, []
        if keep and path.exists():
            self.runs = [json.loads(line) for line in path.read_text().splitlines()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(run) + "\n" for run in self.runs))

    def add(self, run: dict) -> None:
        self.runs.append(run)
        with open(self.path, "a") as file:
            file.write(json.dumps(run) + "\n")

    def has(self, figure: str, point: Point, turn: int) -> bool:
        """Returns whether the point has a result; failed points are tried again."""
        return any(
            (run["figure"], run["series"], run["x"], run["round"])
            == (figure, point.series, point.x, turn)
            and "values" in run
            for run in self.runs
        )


def measure(places: Places, figure: Figure, settings: Settings, store: Store) -> None:
    running: dict[str, Server] = {}
    failures: dict[str, int] = {}
    began = time.monotonic()
    try:
        for turn in range(settings.rounds):
            for point in figure.points:
                if store.has(figure.name, point, turn) or failures.get(point.series, 0) >= FAILURES:
                    continue
                run = {"figure": figure.name, "series": point.series, "x": point.x, "round": turn}
                try:
                    run["values"] = once(places, point, settings, running)
                except Failed as failure:
                    run["error"] = str(failure)
                    failures[point.series] = failures.get(point.series, 0) + 1
                    # The next point begins with a new server.
                    stop(running, point.key)
                store.add(run)
                show(run, time.monotonic() - began)
    finally:
        for key in list(running):
            stop(running, key)


def once(places: Places, point: Point, settings: Settings, running: dict[str, Server]) -> dict:
    if point.fresh:
        stop(running, point.key)
    if point.key not in running:
        running[point.key] = point.start()
    server = running[point.key]
    server.check()
    seconds = settings.seconds + settings.warm_up + point.extra
    try:
        return load.run(places, server, point.work, point.options, seconds)
    finally:
        if point.fresh:
            stop(running, point.key)


def stop(running: dict[str, Server], key: str) -> None:
    server = running.pop(key, None)
    if server:
        server.stop()


def show(run: dict, seconds: float) -> None:
    """Prints a line of progress."""
    if "error" in run:
        what = f"failed: {run['error']}"
    else:
        values = run["values"]
        known = (
            "server_cpu_us_per_delivery",
            "server_cpu_us_per_publish",
            "server_cpu_us_per_connect",
            "server_cpu_us_per_call",
        )
        main = next(
            (f"{values[key]:.2f} µs CPU {key.rsplit('_', 1)[1]}" for key in known if key in values),
            "",
        )
        tail = f", p99 {values['latency_us']['p99']:.0f} µs" if "latency_us" in values else ""
        bound = ", the generator was the limit" if values.get("generator_bound") else ""
        what = main + tail + bound
    which = f"{run['series']} {run['x']}, round {run['round'] + 1}"
    print(f"  {seconds:4.0f} s  {which}: {what}", file=sys.stderr, flush=True)


def summary(figure: Figure, store: Store) -> list[dict]:
    """Returns the medians of each point's rounds, in the order of the figure."""
    points = []
    for point in figure.points:
        runs = [
            run
            for run in store.runs
            if (run["figure"], run["series"], run["x"]) == (figure.name, point.series, point.x)
        ]
        good = [run["values"] for run in runs if "values" in run]
        entry = {"series": point.series, "x": point.x, "rounds": len(good)}
        if good:
            entry["median"] = median(good)
            entry["repeat"] = good[-1]["repeat"]
            entry["each"] = {
                key: [values[key] for values in good if key in values]
                for key in good[-1]
                if key.startswith("server_cpu_us_per_")
            }
        # An error is removed if a retry has succeeded.
        done = {run["round"] for run in runs if "values" in run}
        errors = sorted({run["error"] for run in runs if run["round"] not in done})
        if errors:
            entry["errors"] = errors
        points.append(entry)
    return points


def median(runs: list[dict]) -> dict:
    """Returns the median of each figure separately, one level deep."""
    result = {}
    for key, first in runs[0].items():
        values = [run[key] for run in runs if key in run]
        if isinstance(first, bool):
            result[key] = any(values)
        elif isinstance(first, (int, float)):
            result[key] = round(statistics.median(values), 4)
        elif isinstance(first, dict) and key != "repeat":
            result[key] = median(values)
    return result
