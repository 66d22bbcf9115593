"""Other servers beside which Jackfield is measured: whether each is installed, its download, and
its version. A missing server is reported with the command that installs it; it is never omitted
silently."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import servers
from servers import HERE, ROOT, Places, Server


@dataclass
class Peer:
    """A server that can be started, or the reason why it cannot."""

    kind: servers.Kind
    version: str = ""
    start: Callable[[], Server] | None = None
    # The same server with TLS, if it is measured.
    start_tls: Callable[[], Server] | None = None
    # The program of a server that is started in several ways.
    binary: Path | None = None
    missing: str = ""


def find(places: Places, fetch: bool) -> list[Peer]:
    """Returns all peers; downloads missing ones only if that is allowed."""
    return [
        nats(places, fetch),
        crossbar(places, fetch),
        fox_wamp(places, fetch),
        wamp_io(places),
        *bun(places, fetch),
    ]


def jackfield(places: Places) -> Peer:
    version = say([places.jackfield, "--version"]).removeprefix("jackfield ")
    revision = say(["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"])
    site = servers.bench_site(places)
    return Peer(
        servers.JACKFIELD,
        f"{version} ({revision})" if revision else version,
        lambda: servers.jackfield(places, site),
        lambda: servers.jackfield_tls(places, servers.bench_site(places, "bench-tls")),
    )


def floor(places: Places) -> Peer:
    return Peer(servers.FLOOR, "of this repository", lambda: servers.floor(places))


def nats_binary() -> str | None:
    return shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")


def nats(places: Places, fetch: bool) -> Peer:
    peer = Peer(servers.NATS)
    binary = nats_binary()
    if not binary and fetch and os.geteuid() == 0:
        run(["apt-get", "update", "-qq"], {"DEBIAN_FRONTEND": "noninteractive"})
        run(
            ["apt-get", "install", "-qq", "-y", "nats-server"],
            {"DEBIAN_FRONTEND": "noninteractive"},
        )
        binary = nats_binary()
    if not binary:
        peer.missing = "not installed: apt-get install nats-server"
        return peer
    peer.version = say([binary, "--version"]).removeprefix("nats-server:").strip()
    peer.start = lambda: servers.nats(places, binary)
    return peer


def crossbar(places: Places, fetch: bool) -> Peer:
    peer = Peer(servers.CROSSBAR)
    folder, pins = places.work / "peers/crossbar", HERE / "peers/crossbar.txt"
    stamp = folder / "stamp"
    if not fresh(stamp, pins) and fetch:
        shutil.rmtree(folder, ignore_errors=True)
        made = run([sys.executable, "-m", "venv", folder]) and run(
            [
                folder / "bin/python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
                pins,
            ]
        )
        if made:
            stamp.touch()
    if not fresh(stamp, pins):
        peer.missing = (
            "not installed: make bench-peers (it builds some of its parts with a C compiler)"
        )
        return peer
    peer.version = pinned(pins.read_text(), "crossbar==")
    peer.binary = folder / "bin/crossbar"
    peer.start = lambda: servers.crossbar(places, peer.binary)
    return peer


def fox_wamp(places: Places, fetch: bool) -> Peer:
    peer = Peer(servers.FOX_WAMP)
    folder, peer.missing = from_npm(places, "fox-wamp", fetch)
    if not peer.missing:
        peer.version = pinned((folder / "package.json").read_text(), '"fox-wamp": "')
        peer.start = lambda: servers.fox_wamp(places, folder)
    return peer


def bun(places: Places, fetch: bool) -> list[Peer]:
    """Returns both servers on Bun, whose WebSockets are those of uWebSockets."""
    scripts = {servers.BUN_WAMP1: "wamp1.js", servers.BUN_TOPICS: "topics.js"}
    folder, missing = from_npm(places, "bun", fetch)
    # npm installs the package of this machine's processor alone.
    binary = next(folder.glob("node_modules/@oven/*/bin/bun"), None)
    if not binary:
        missing = missing or "there is no package of Bun for this machine"
        return [Peer(kind, missing=missing) for kind in scripts]
    version = say([binary, "--version"])
    found = [
        Peer(
            kind,
            version,
            lambda kind=kind, script=script: servers.bun(places, kind, binary, folder / script),
        )
        for kind, script in scripts.items()
    ]
    found[0].start_tls = lambda: servers.bun_tls(places, binary, folder / "wamp1.js")
    return found


def from_npm(places: Places, name: str, fetch: bool) -> tuple[Path, str]:
    """Returns the folder with the files of a peer and its modules, and the reason if it has none."""
    folder, source = places.work / "peers" / name, HERE / "peers" / name
    stamp, lock = folder / "stamp", source / "package-lock.json"
    if not shutil.which("npm"):
        return folder, "not installed: it needs Node 20 with npm"
    if not fresh(stamp, lock) and fetch:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        if run(["npm", "ci", "--silent", "--prefer-offline"], cwd=folder):
            stamp.touch()
    if not fresh(stamp, lock):
        return folder, "not installed: make bench-peers"
    shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder, ""


def wamp_io(places: Places) -> Peer:
    peer = Peer(servers.WAMP_IO)
    modules = places.target / "peers/node/node_modules"
    if not (modules / "wamp.io").is_dir() or not shutil.which("node"):
        peer.missing = "not installed: make peers"
        return peer
    pins = (ROOT / "tests/peers/node/package.json").read_text()
    peer.version = pinned(pins, '"wamp.io": "')
    peer.start = lambda: servers.wamp_io(places, modules)
    return peer


def fresh(stamp: Path, source: Path) -> bool:
    """Returns whether the folder is complete and current: its stamp is written last."""
    return stamp.exists() and stamp.stat().st_mtime >= source.stat().st_mtime


def pinned(text: str, before: str) -> str:
    found = re.search(re.escape(before) + r"([0-9][0-9A-Za-z.]*)", text)
    return found.group(1) if found else ""


def run(command: list, environment: dict | None = None, cwd: Path | None = None) -> bool:
    """Runs a command, and shows its output to the user. Returns whether it succeeded."""
    command = [str(part) for part in command]
    print(f"  {' '.join(command)}", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdout=sys.stderr,
            timeout=900,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"  {error}", file=sys.stderr)
        return False
    return done.returncode == 0


def say(command: list) -> str:
    """Returns the first line that a command prints, or nothing."""
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else ""
