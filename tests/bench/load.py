"""Run of `jackfield bench` against a server, and its results."""

from __future__ import annotations

import json
import shlex
import subprocess

from servers import Failed, Places, Server

# Additional time for opening and closing thousands of connections.
GRACE = 60.0

BY_PROCESS = "server_cpu_us_per_publish_by_process"


def run(places: Places, server: Server, work: str, options: dict, seconds: float) -> dict:
    """Returns the results of the run, and under `repeat` the command that repeats it."""
    # Points of a cluster name the nodes of the subscribers by their numbers.
    options = dict(options)
    if at := options.pop("subscribe_at_nodes", None):
        options["subscribe_at"] = [server.nodes[number - 1].url for number in at]
    pids = server.pids()
    command = [places.jackfield, "bench", work, server.url, *arguments(server, options)]
    measured = [*command, *(part for pid in pids for part in ("--pid", str(pid))), "--json"]
    try:
        done = subprocess.run(
            [str(part) for part in measured],
            capture_output=True,
            text=True,
            timeout=seconds + GRACE,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"jackfield bench {work} did not end within {error.timeout:.0f} s") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()).removeprefix("error: ")[:300]
        raise Failed(said or f"jackfield bench {work} ended with {done.returncode}")
    try:
        values = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise Failed(f"jackfield bench {work} printed no JSON: {error}") from error
    # Processes have other ids in each run.
    by_process = values.pop(BY_PROCESS, {})
    names = server.roles() if hasattr(server, "roles") else {}
    roles = {names[pid]: cpu for pid, cpu in by_process.items() if pid in names}
    if roles:
        values["server_cpu_us_by_role"] = roles
    values["repeat"] = {
        "server": server.shown,
        "bench": shlex.join([places.shown(places.jackfield), *(str(part) for part in command[1:])]),
    }
    return values


def arguments(server: Server, options: dict) -> list[str]:
    """Returns `{"warm_up": 1, "bare": True}` as `--warm-up 1 --bare`."""
    given = []
    if server.kind.protocol != "wamp2" and "protocol" not in options:
        given += ["--protocol", server.kind.protocol]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            given.append(option)
        elif isinstance(value, (list, tuple)):
            given += [part for item in value for part in (option, str(item))]
        elif value is not None and value is not False:
            given += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    return given
