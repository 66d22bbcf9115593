"""Measurements of Jackfield beside its peers on this machine: `make bench`, which installs
matplotlib.

Writes the data, the charts and the measured parts of docs/performance.md. In reading order:
`figures` has the measured points, `servers` and `peers` the servers, `measure` and `load` run the
measurements, `plots` draws the charts, `page` writes the page.

With --quick there are fewer points and shorter runs, and everything is written below target/bench
instead of docs. With --draw nothing is measured: the recorded data is drawn again."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from pathlib import Path

import figures
import machine
import measure
import page
import peers
import plots
from servers import ROOT, Failed, Places


def main() -> int:
    options = parse()
    # SIGTERM also ends the servers that were started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    target = options.target.resolve()
    places = Places(target, (options.work or target / "bench").resolve())
    if options.draw is not None:
        return draw(options.draw, options.out or ROOT / "docs")
    full = not options.smoke and not options.quick
    settings = figures.FULL if full else figures.QUICK if options.quick else figures.SMOKE
    if options.rounds:
        settings = dataclasses.replace(settings, rounds=options.rounds)
    out = options.out or (ROOT / "docs" if full else places.work / settings.name)
    if options.fetch_only:
        return report_missing(peers.find(places, fetch=True))

    machine.raise_descriptors()
    facts = machine.facts()
    others = (
        [peers.floor(places)]
        if options.smoke
        else [*peers.find(places, settings.fetch), peers.floor(places)]
    )
    report_missing(others)
    try:
        own = peers.jackfield(places)
    except Failed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    planned = figures.all_figures(places, own, others, settings)
    chosen = [figure for figure in planned if not options.only or figure.name in options.only]
    if not chosen:
        print(
            f"error: --only knows {', '.join(figure.name for figure in planned)}", file=sys.stderr
        )
        return 2
    store = measure.Store(places.work / f"{settings.name}.jsonl", options.resume)
    data = load(out, "data.json") or {}
    began = time.monotonic()
    for figure in chosen:
        print(f"{figure.name}:", file=sys.stderr, flush=True)
        measure.measure(places, figure, settings, store)
        # Written after each figure, so that an interruption keeps the results so far.
        data.setdefault("figures", {})[figure.name] = measure.summary(figure, store)
        when = {key: facts[key] for key in ("date", "load_before")}
        data.setdefault("measured", {})[figure.name] = when
        data["machine"] = facts
        data["settings"] = {
            key: getattr(settings, key) for key in ("name", "rounds", "seconds", "warm_up")
        }
        data["versions"] = {peer.kind.name: peer.version for peer in [own, *others] if peer.start}
        data["missing"] = {peer.kind.name: peer.missing for peer in others if peer.missing}
        if options.bars and options.bars.exists():
            data["bars"] = json.loads(options.bars.read_text())
        write(out, {"data.json": json.dumps(data, indent=1, ensure_ascii=False)})
    failed = sum("errors" in point for figure in chosen for point in data["figures"][figure.name])
    took = time.monotonic() - began
    written = out / "performance.md"
    print(f"measured in {took:.0f} s; {failed} points failed; see {written}", file=sys.stderr)
    # A failure of Jackfield is an error; a failure of a peer is a remark on the page.
    names = {peer.kind.name for peer in others}
    measured = [point for figure in chosen for point in data["figures"][figure.name]]
    # A series may name a variant: "nats-server, 1 core".
    own = [it for it in measured if it["series"].split(", ")[0] not in names]
    return 0 if all("median" in it for it in own) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/bench", description="Measures Jackfield beside its peers."
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--quick", action="store_true", help="fewer points and shorter runs, written below target/"
    )
    length.add_argument(
        "--smoke", action="store_true", help="whether everything fits together; measures nothing"
    )
    parser.add_argument(
        "--only", action="append", metavar="FIGURE", help="only this figure; may be repeated"
    )
    parser.add_argument("--rounds", type=int, help="how often each point is measured")
    parser.add_argument(
        "--resume", action="store_true", help="keep the runs that were done before an interruption"
    )
    parser.add_argument(
        "--fetch-only", action="store_true", help="fetch the peers, and measure nothing"
    )
    parser.add_argument("--bars", type=Path, help="what `make bars` measured, as JSON")
    parser.add_argument("--target", type=Path, default=ROOT / "target", help="where cargo builds")
    parser.add_argument(
        "--work", type=Path, help="instead of TARGET/bench: where sites, logs and peers go"
    )
    parser.add_argument(
        "--out", type=Path, help="instead of docs: where performance.md and performance/ go"
    )
    parser.add_argument(
        "--draw",
        metavar="REPORT",
        nargs="?",
        const="",
        help="draw the recorded data again, after adding the soak.json of `make soak` or the "
        "isolation.json of `make isolation`; measure nothing",
    )
    return parser.parse_args()


def report_missing(found: list[peers.Peer]) -> int:
    missing = [peer for peer in found if peer.missing]
    for peer in missing:
        print(f"{peer.kind.name} is left out: {peer.missing}", file=sys.stderr)
    return 1 if missing else 0


def load(out: Path, name: str) -> dict | None:
    """Reads the recorded data: figures that are not measured now stay on the page."""
    file = out / "performance" / name
    return json.loads(file.read_text()) if file.exists() else None


def draw(file: str, out: Path) -> int:
    """Draws the recorded data again, with a new report if there is one."""
    report = {Path(file).name: json.dumps(json.loads(Path(file).read_text()))} if file else {}
    write(out, report)
    return 0


def write(out: Path, files: dict[str, str]) -> None:
    """Records the files beside the page, then draws the charts and fills the page from all data."""
    folder = out / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n")
    reports = {name: load(out, f"{name}.json") for name in ("soak", "isolation")}
    data = {**(load(out, "data.json") or {}), **reports}
    for name, drawn in plots.charts(data).items():
        (folder / name).write_text(drawn)
    text = (ROOT / "docs/performance.md").read_text()
    (out / "performance.md").write_text(page.fill(text, data))


if __name__ == "__main__":
    sys.exit(main())
