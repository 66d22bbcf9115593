"""Shows the sandbox to a test, and grows with each call."""

import encodings.idna  # noqa: F401
import random
import socket
import uuid
from functools import partial

from jackfield_plugin import Event, Plugin, Refusal, broadcast, log, now, store

plugin = Plugin("probe-py", "1.0.0", schema=7)
probe = plugin.handler("probe", stateless=True)
kept = []


def outcomes(tries):
    """The result of each attempt, or "refused"."""
    found = []
    for attempt in tries:
        try:
            found.append(str(attempt()))
        except OSError:
            found.append("refused")
    return found


class Commands:
    """The commands by their names."""

    def grow(self, size):
        """Counts its calls in the store and in memory."""
        kept.append("x" * size)
        return [store.increment("calls"), len(kept)]

    def random(self):
        return [random.random(), random.random(), str(uuid.uuid4())]

    def echo(self, *values):
        return values

    def clock(self):
        return [int(now().timestamp() * 1000)]

    def stored(self, key):
        store.set(key, {"big": 9007199254740993})
        found = store.get(key)["big"]
        return [found, len(store.entries(key, 10)), store.delete(key), store.get(key)]

    def full(self):
        store.set("x" * 2000, 1)

    def sum(self):
        store.set("number", "x")
        store.increment("number")

    def log(self):
        print("from print")
        log.warn("from the log \ud800")
        return []

    def refuse(self):
        raise Refusal("acme.error.refused", "Refused.")

    def fail(self):
        store.set("failed", True)
        return [{}["missing"]]

    def failed(self):
        return [store.get("failed")]

    def wrong(self):
        return [store.increment("calls", "1")]

    def files(self):
        """The outcomes of reading and writing files of the machine."""
        names = [("/etc/passwd", "r"), ("/proc/self/environ", "r"), ("/tmp/jackfield", "w")]
        return outcomes([partial(open, name, mode) for name, mode in names])

    def network(self):
        """The outcomes of opening sockets and resolving names."""
        tries = [
            lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
            lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM),
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            lambda: socket.getaddrinfo("localhost", 80),
            lambda: socket.create_connection(("127.0.0.1", 1)),
        ]
        return outcomes(tries)


@probe.configure
def configure(route):
    if (route.args or {}).get("refused"):
        raise ValueError("handler.args: refused by the plugin")


@probe.on_publish
def publish(request, event):
    return broadcast().eligible([])


@probe.on_call
def call(request, event):
    return Event.of(getattr(Commands(), request.attribute("command"))(*event.args))
