"""A test double of the server. It drives a plugin without building a component::

    from jackfield_plugin import Event
    from jackfield_plugin.testing import Harness

    from plugin import plugin

    site = Harness(plugin)
    site.route("acme/shout/{room}", "acme.shout")
    ann = site.join("ann")
    site.subscribe(ann, "acme/shout/kitchen")
    site.publish(site.join(), "acme/shout/kitchen", Event("hello"))
    assert site.received(ann) == [("acme/shout/kitchen", Event("HELLO"))]

It ignores ``requirements``, has no limits of time and memory, and keeps variables of modules.
``jackfield test`` runs the component in the real sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

from . import _host
from ._event import Event
from ._json import parse, stringify
from ._plugin import Plugin, Route
from ._refusal import Refusal, StoreError
from ._verdict import PublishVerdict

_START = datetime(2026, 1, 1, tzinfo=timezone.utc)
#: The host's limit of effects of a hook.
_MAX_EFFECTS = 1000
_MAX_KEY = 1024
_MAX_VALUE = 1024 * 1024


@dataclass
class _Member:
    authid: str
    roles: list[str]
    authmethod: str
    claims: str
    inbox: list[tuple[str, Event]] = field(default_factory=list)
    closed: tuple[str, str] | None = None


class _Store:
    """The store of the plugin, with the clock of the test."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[bytes, datetime | None]] = {}
        self.time = _START
        self.is_full = False

    def get(self, key: str) -> bytes | None:
        value, until = self.values.get(key, (None, None))
        return value if until is None or self.time < until else None

    def set(self, key: str, value: bytes, ttl: int | None) -> None:
        self._put(key, value, None if ttl is None else self.time + timedelta(milliseconds=ttl))

    def delete(self, key: str) -> bool:
        was = self.get(key) is not None
        self.values.pop(key, None)
        return was

    def increment(self, key: str, by: int) -> int:
        before = self.get(key)
        until = None if before is None else self.values[key][1]
        try:
            total = int(before or b"0") + by
        except ValueError as error:
            raise StoreError("not-a-number", key) from error
        if not -(2**63) <= total < 2**63:
            raise StoreError("not-a-number", key)
        self._put(key, str(total).encode(), until)
        return total

    def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, ttl: int | None
    ) -> bool:
        if self.get(key) != expected:
            return False
        if value is None:
            self.delete(key)
        else:
            self.set(key, value, ttl)
        return True

    def entries(self, prefix: str, limit: int) -> list[tuple[str, bytes]]:
        keys = sorted(key for key in self.values if key.startswith(prefix))
        found = [(key, value) for key in keys if (value := self.get(key)) is not None]
        return found[:limit]

    def _put(self, key: str, value: bytes, until: datetime | None) -> None:
        if self.is_full or len(key.encode()) > _MAX_KEY or len(value) > _MAX_VALUE:
            raise StoreError("full", key)
        self.values[key] = (value, until)


class Harness:
    """A server for one plugin. A refusal of the plugin is raised as a ``Refusal``."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._routes: list[tuple[re.Pattern[str], Route, str]] = []
        self._members: list[_Member] = []
        self._audience: dict[str, set[int]] = {}
        self._store = _Store()
        self._effects: list[Callable[[], None]] = []
        self._lines: list[tuple[str, str]] = []

    def route(self, channel: str, handler: str, args: Any = None) -> None:
        """Adds a route, with its channel as its name. Raises what ``configure`` raises."""
        text = stringify(args)
        with self._hosting():
            route = self._plugin._configured(handler, channel, channel, text)
        self._routes.append((_pattern(channel), route, text))

    def join(
        self,
        authid: str | None = None,
        *,
        roles: Iterable[str] | None = None,
        authmethod: str | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> int:
        """Opens a session. Without ``authid``, an anonymous one."""
        is_anonymous = authid is None
        member = _Member(
            authid=authid or "anonymous",
            roles=list(roles if roles is not None else ["anonymous"] * is_anonymous),
            authmethod=authmethod or ("anonymous" if is_anonymous else "ticket"),
            claims=stringify(dict(claims or {})),
        )
        self._members.append(member)
        return len(self._members)

    def leave(self, session: int) -> None:
        """Ends the session and its subscriptions."""
        for topic in [topic for topic, ids in self._audience.items() if session in ids]:
            self.unsubscribe(session, topic)

    def subscribe(self, session: int, topic: str) -> None:
        """Subscribes the session. A second subscription has no effect."""
        if self.is_subscribed(session, topic):
            return
        route, functions = self._ask(session, topic)
        if self._has(route, "on_subscribe"):
            verdict = self._run(lambda: self._plugin._subscribe(route, functions))
            if verdict.refusal is not None:
                self._settle(verdict.refusal)
        self._subscribers(topic).add(session)
        self._settle()

    def unsubscribe(self, session: int, topic: str) -> None:
        """Unsubscribes the session."""
        if not self.is_subscribed(session, topic):
            return
        self._subscribers(topic).remove(session)
        route, functions = self._ask(session, topic)
        if self._has(route, "on_unsubscribe"):
            self._run(lambda: self._plugin._notify(route, functions, "on_unsubscribe"))
        self._settle()

    def publish(self, session: int | None, topic: str, event: Event) -> None:
        """Publishes to all subscribers except the publisher. ``None`` publishes as the server."""
        route, functions = self._ask(session, topic, event)
        verdict = PublishVerdict("broadcast")
        if self._has(route, "on_publish"):
            verdict = self._run(lambda: self._plugin._publish(route, functions))
        if verdict.kind in ("broadcast", "deliver"):
            excluded = [*verdict.excluded, *([] if session is None else [session])]
            self._deliver(topic, verdict.event or event, excluded, verdict.only)
        self._settle(verdict.refusal)

    def call(self, session: int, topic: str, event: Event | None = None) -> Event:
        """Calls the topic as a procedure."""
        route, functions = self._ask(session, topic, event)
        if not self._has(route, "on_call"):
            raise Refusal.no_such_procedure(topic)
        answer = self._run(lambda: self._plugin._answer(route, functions))
        self._settle(answer if isinstance(answer, Refusal) else None)
        return answer

    def timer(self, topic: str) -> None:
        """Runs the timer hook of the topic once."""
        route, functions = self._ask(None, topic)
        if self._has(route, "on_timer"):
            self._run(lambda: self._plugin._notify(route, functions, "on_timer"))
        self._settle()

    def advance(self, time: timedelta) -> None:
        """Moves the clock of ``now()`` and of the store. It starts at 1 January 2026, 00:00 UTC."""
        self._store.time += time

    def received(self, session: int) -> list[tuple[str, Event]]:
        """Takes the topics and events that the session has received since the last call."""
        member = self._member(session)
        taken, member.inbox = member.inbox, []
        return taken

    def is_subscribed(self, session: int, topic: str) -> bool:
        """Whether the session is subscribed to the topic."""
        return session in self._subscribers(topic)

    def closed(self, session: int) -> tuple[str, str] | None:
        """Reason and message, if the plugin ended the session."""
        return self._member(session).closed

    def stored(self, key: str) -> Any:
        """The value of a key in the plugin's store."""
        found = self._store.get(key)
        return None if found is None else parse(found)

    def logged(self) -> list[tuple[str, str]]:
        """Takes the levels and lines that the plugin has logged since the last call."""
        taken, self._lines = self._lines, []
        return taken

    def set_store_full(self, full: bool) -> None:
        """Makes the store refuse writes, or accept them again."""
        self._store.is_full = full

    def _ask(self, session: int | None, topic: str, event: Event | None = None) -> tuple[Route, Any]:
        """The route of a topic, and the functions of the contract about a call."""
        for pattern, route, _args in self._routes:
            if match := pattern.fullmatch(topic):
                break
        else:
            raise LookupError(f"no route matches {topic}")
        member = _Member("", [], "", "{}") if session is None else self._member(session)
        event = event or Event.empty()
        if self._plugin.stateless:
            # A stateless handler keeps no state of a route from call to call.
            self._renew()
        values = {
            "topic": topic,
            "attributes": list(match.groupdict().items()),
            "subscribers": len(self._subscribers(topic)),
            "session": session,
            "authid": member.authid,
            "authrole": next(iter(member.roles), ""),
            "roles": member.roles,
            "authmethod": member.authmethod,
            "claims": member.claims,
            "args": event.args_json,
            "kwargs": event.kwargs_json,
        }
        functions = {name: lambda value=value: value for name, value in values.items()}
        return route, SimpleNamespace(**functions)

    def _run(self, body: Callable[[], Any]) -> Any:
        """Calls the plugin. An exception undoes everything and makes the states of the routes anew."""
        before = dict(self._store.values)
        try:
            with self._hosting():
                answer = body()
            if len(self._effects) > _MAX_EFFECTS:
                raise RuntimeError(f"more than {_MAX_EFFECTS} effects")
            return answer
        except BaseException:
            self._store.values = before
            self._effects.clear()
            self._renew()
            raise

    def _renew(self) -> None:
        with self._hosting():
            for _pattern, route, args in self._routes:
                fresh = self._plugin._configured(route.handler, route.name, route.channel, args)
                route.state = fresh.state

    @contextmanager
    def _hosting(self) -> Iterator[None]:
        outside = _host.exchange(self._host())
        try:
            yield
        finally:
            _host.exchange(outside)

    def _host(self) -> Any:
        effect = self._effects.append

        def publish(topic: str, texts: tuple[str, str], exclude: Any, eligible: Any) -> None:
            effect(lambda: self._deliver(topic, Event.from_json(*texts), exclude, eligible))

        def send(session: int, topic: str, texts: tuple[str, str]) -> None:
            effect(lambda: self._deliver(topic, Event.from_json(*texts), [], [session]))

        topics = SimpleNamespace(
            publish=publish,
            subscribers=lambda topic: sorted(self._subscribers(topic)),
            count=lambda topic: len(self._subscribers(topic)),
        )
        sessions = SimpleNamespace(
            send=send,
            unsubscribe=lambda session, topic: effect(lambda: self.unsubscribe(session, topic)),
            close=lambda session, *why: effect(lambda: self._close(session, why)),
        )
        log = SimpleNamespace(log=lambda level, line: self._lines.append((level, line)))
        now = lambda: self._store.time  # noqa: E731
        return SimpleNamespace(topics=topics, sessions=sessions, store=self._store, log=log, now=now)

    def _settle(self, refusal: Refusal | None = None) -> None:
        """Applies the effects of the last hook in order, and then raises its refusal."""
        effects, self._effects = self._effects, []
        for act in effects:
            act()
        if refusal is not None:
            raise refusal

    def _close(self, session: int, why: tuple[str, str]) -> None:
        if 0 < session <= len(self._members) and self._member(session).closed is None:
            self._member(session).closed = why
            self.leave(session)

    def _deliver(self, topic: str, event: Event, exclude: Any, eligible: Any) -> None:
        for session in sorted(self._subscribers(topic)):
            if session not in exclude and (eligible is None or session in eligible):
                self._member(session).inbox.append((topic, event))

    def _has(self, route: Route, hook: str) -> bool:
        return hook in self._plugin.handlers[route.handler].hooks

    def _subscribers(self, topic: str) -> set[int]:
        return self._audience.setdefault(topic, set())

    def _member(self, session: int) -> _Member:
        return self._members[session - 1]


def _pattern(channel: str) -> re.Pattern[str]:
    """The topics of a channel. A variable takes one segment."""
    parts = re.split(r"\{(\w+)\}", channel)
    return re.compile(
        "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
    )
