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
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from . import _host, calls, http
from ._bundle import checked, tested_imports
from ._event import Event
from ._json import parse, stringify
from ._later import Later
from ._plugin import Plugin, Route
from ._refusal import HttpError, Refusal
from ._testing_outgoing import Current, Deferrals, MadeCall, SentRequest
from ._testing_store import Store
from ._verdict import PublishVerdict

#: The host's limit of effects of a hook.
_MAX_EFFECTS = 1000


@dataclass
class _Member:
    authid: str
    roles: list[str]
    authmethod: str
    claims: str
    inbox: list[tuple[str, Event]] = field(default_factory=list)
    closed: tuple[str, str] | None = None


class Harness:
    """A server for one plugin. A refusal of the plugin is raised as a ``Refusal``.

    ``imports`` is the list of the bundle. By default it is that of the ``pyproject.toml`` above the
    test's file or the current folder, as in a build; everything is imported if there is no bundle. A
    function of another interface raises a ``RuntimeError`` with the line to write.
    """

    def __init__(self, plugin: Plugin, *, imports: Iterable[str] | None = None) -> None:
        self._plugin = plugin
        if imports is None:
            imports = tested_imports(Path(sys._getframe(1).f_code.co_filename))
        self._imports = checked(list(_host.CONTRACT if imports is None else imports), "imports")
        self._routes: list[tuple[re.Pattern[str], Route, str]] = []
        self._members: list[_Member] = []
        self._audience: dict[str, set[int]] = {}
        self._store = Store()
        self._effects: list[Callable[[], None]] = []
        self._lines: list[tuple[str, str]] = []
        self._current = Current("")
        self._requests: list[SentRequest] = []
        self._answer_fetch: Callable[[SentRequest], http.Response | HttpError] | None = None
        self._calls: list[MadeCall] = []
        self._deferrals = Deferrals()
        plugin._check_answers(self._host())

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
            self._current.may_wait = True
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
        answer, deferred = self._call(session, topic, event)
        if deferred is not None:
            raise RuntimeError(f"the result of the call of {topic} is deferred: use call_later")
        return answer

    def call_later(self, session: int, topic: str, event: Event | None = None) -> Later:
        """Calls the topic as a procedure whose handler defers the result."""
        _answer, deferred = self._call(session, topic, event)
        if deferred is None:
            raise RuntimeError(f"the result of the call of {topic} is not deferred")
        return Later(deferred)

    def completed(self, later: Later) -> Event | Refusal | None:
        """Takes the result of a deferred call, if the plugin has completed it."""
        return self._deferrals.completed.pop(later.id, None)

    def requests(self) -> list[SentRequest]:
        """Takes the requests that hooks have sent since the last call. In a test, all are allowed."""
        taken, self._requests = self._requests, []
        return taken

    def respond(self, sent: SentRequest, answer: http.Response | HttpError) -> None:
        """Answers a request."""
        if isinstance(answer, HttpError):
            self._receive(sent, "on_response", http.Answer(None, answer))
        elif isinstance(answer, http.Response):
            self._receive(sent, "on_response", http.Answer(answer, None))
        else:
            raise TypeError("the answer to a request is an http.Response or an HttpError")

    def answer_fetches(
        self, answer: Callable[[SentRequest], http.Response | HttpError]
    ) -> None:
        """Sets the function that answers requests that ``on_subscribe`` waits for."""
        self._answer_fetch = answer

    def calls(self) -> list[MadeCall]:
        """Takes the calls that hooks have made since the last call. In a test, all are allowed."""
        taken, self._calls = self._calls, []
        return taken

    def give_result(self, made: MadeCall, result: Event | Refusal) -> None:
        """Gives the result of a call."""
        if isinstance(result, Refusal):
            self._receive(made, "on_result", calls.Answer(None, result))
        elif isinstance(result, Event):
            self._receive(made, "on_result", calls.Answer(result, None))
        else:
            raise TypeError("the result of a call is an Event or a Refusal")

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

    def _call(self, session: int, topic: str, event: Event | None) -> tuple[Any, int | None]:
        """Runs the hook of a procedure. Returns its answer, and the number of a deferred call."""
        route, functions = self._ask(session, topic, event)
        if not self._has(route, "on_call"):
            raise Refusal.no_such_procedure(topic)
        current = self._current
        current.is_call = True
        answer = self._run(lambda: self._plugin._answer(route, functions))
        refusal = answer if isinstance(answer, Refusal) else None
        if refusal is not None:
            self._deferrals.waiting.discard(current.deferred)
        self._settle(refusal)
        return answer, current.deferred

    def _receive(self, effect: SentRequest | MadeCall, hook: str, answer: Any) -> None:
        """Runs a hook for an answer."""
        route, functions = self._ask(None, effect.topic)
        context = effect.context
        self._run(lambda: self._plugin._receive(route, functions, hook, answer, context))
        self._settle()

    def _ask(self, session: int | None, topic: str, event: Event | None = None) -> tuple[Route, Any]:
        """The route of a topic, and the functions of the contract about a call."""
        for pattern, route, _args in self._routes:
            if match := pattern.fullmatch(topic):
                break
        else:
            raise LookupError(f"no route matches {topic}")
        member = _Member("", [], "", "{}") if session is None else self._member(session)
        event = event or Event.empty()
        self._current = Current(topic)
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
            self._deferrals.waiting.discard(self._current.deferred)
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
        parts = {
            "topics": topics,
            "sessions": sessions,
            "store": self._store,
            "log": log,
            **self._outgoing(),
        }
        imported = {name: parts[name] for name in self._imports}
        return SimpleNamespace(now=lambda: self._store.time, **imported)

    def _outgoing(self) -> dict[str, Any]:
        """The functions for effects with an answer."""
        effect, current, deferrals = self._effects.append, self._current, self._deferrals

        def send(*values: Any) -> None:
            *fields, context = values
            sent = SentRequest(*fields, context.decode(), current.topic)
            effect(lambda: self._requests.append(sent))

        def call(procedure: str, texts: tuple[str, str], timeout: int | None, context: bytes) -> None:
            event = Event.from_json(*texts)
            made = MadeCall(procedure, event, timeout, context.decode(), current.topic)
            effect(lambda: self._calls.append(made))

        def complete(call: int, answer: Refusal | tuple[str, str]) -> bool:
            effect(lambda: deferrals.complete(call, answer))
            return call in deferrals.waiting

        return {
            "http": SimpleNamespace(send=send),
            "fetch": SimpleNamespace(send=self._fetch),
            "calls": SimpleNamespace(call=call),
            "later": SimpleNamespace(defer=lambda: deferrals.begin(current), complete=complete),
        }

    def _fetch(self, *fields: Any) -> http.Response:
        if not self._current.may_wait:
            raise HttpError("denied", "only on_subscribe may wait for an answer")
        if self._answer_fetch is None:
            raise HttpError("unreachable", "the test has no answer_fetches")
        answer = self._answer_fetch(SentRequest(*fields, "null", self._current.topic))
        if isinstance(answer, HttpError):
            raise answer
        if not isinstance(answer, http.Response):
            raise TypeError("the answer to a request is an http.Response or an HttpError")
        return answer

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
