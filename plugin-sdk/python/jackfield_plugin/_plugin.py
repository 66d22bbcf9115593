"""A plugin: its name, its version and its handlers, and the calls of their hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from . import _check, _host, log
from ._event import Event
from ._json import parse
from ._later import Later
from ._refusal import Refusal
from ._request import Request, Source
from ._verdict import PublishVerdict, SubscribeVerdict

F = TypeVar("F", bound=Callable[..., Any])

_MAX_SCHEMA = 2**32 - 1

#: The hooks for answers, and the import without which none comes. The contract does not list them.
ANSWERS = {"on_response": "http", "on_result": "calls"}


@dataclass
class Route:
    """A route of a routing file that names a handler."""

    handler: str
    name: str
    #: The channel pattern, ``acme/chat/{room}``.
    channel: str
    #: ``handler.args`` of the routing file; ``None`` if absent.
    args: Any
    state: Any = None


class Handler:
    """A handler: its name and its hooks. A hook that is not registered is never called."""

    def __init__(self, name: str, summary: str, stateless: bool, every: timedelta | None) -> None:
        if not _check.text(name, "the name of a handler"):
            raise ValueError("a handler has no name")
        self.name = name
        self.summary = _check.text(summary, "summary")
        self.stateless = stateless
        self.every = _check.milliseconds(every, "every")
        self.hooks: dict[str, Callable[..., Any]] = {}
        self._configure: Callable[[Route], Any] = lambda route: route.args

    def configure(self, function: Callable[[Route], Any]) -> Callable[[Route], Any]:
        """Registers the function that returns the state of a route, ``request.state`` of its hooks.
        An exception refuses the route, and with it the reload; the operator sees its text. Without
        it, the state is ``handler.args`` of the route."""
        self._configure = function
        return function

    def on_subscribe(self, hook: F) -> F:
        """Registers the hook that decides whether a session may subscribe."""
        return self._register("on_subscribe", hook)

    def on_unsubscribe(self, hook: F) -> F:
        """Registers the hook that runs after a session has unsubscribed or left."""
        return self._register("on_unsubscribe", hook)

    def on_publish(self, hook: F) -> F:
        """Registers the hook that decides about a published event."""
        return self._register("on_publish", hook)

    def on_call(self, hook: F) -> F:
        """Registers the hook that answers a call of the topic as a procedure, or defers the result:
        it returns an ``Event`` or a ``Later``."""
        return self._register("on_call", hook)

    def on_timer(self, hook: F) -> F:
        """Registers the hook that runs at the interval of the route, or else of the handler."""
        return self._register("on_timer", hook)

    def on_response(self, hook: F) -> F:
        """Registers the hook that receives the answers to the requests of ``http``:
        ``(request, answer, context)``. The request has the topic of the hook that sent it, and no
        session."""
        return self._register("on_response", hook)

    def on_result(self, hook: F) -> F:
        """Registers the hook that receives the results of ``calls``: ``(request, answer, context)``.
        The request has the topic of the hook that made the call, and no session."""
        return self._register("on_result", hook)

    def _register(self, name: str, hook: F) -> F:
        if name in self.hooks:
            raise ValueError(f"handler {self.name} has two hooks {name}")
        self.hooks[name] = hook
        return hook


class Plugin:
    """A plugin: the variable ``plugin`` of a bundle's module.

    ``name`` also names the plugin's store, which its next version inherits. Another ``schema``
    says that this version cannot read the store of an older one, or the other way around.
    """

    def __init__(self, name: str, version: str, *, schema: int = 0) -> None:
        if not _check.text(name, "the name of the plugin"):
            raise ValueError("the plugin has no name")
        self.name = name
        self.version = _check.text(version, "the version of the plugin")
        self.schema = _check.integer(schema, "schema", 0, _MAX_SCHEMA)
        self.handlers: dict[str, Handler] = {}

    def handler(
        self,
        name: str,
        *,
        summary: str = "",
        stateless: bool = False,
        every: timedelta | None = None,
    ) -> Handler:
        """Adds a handler. Routes refer to ``name`` in ``handler.callback``.

        ``summary`` is one line for the operator, ``every`` the interval of ``on_timer`` for routes
        without one. A ``stateless`` handler keeps nothing in memory that it needs from one call to
        the next: the server may replace its instance between two calls.
        """
        if name in self.handlers:
            raise ValueError(f"the plugin has two handlers named {name}")
        added = self.handlers[name] = Handler(name, summary, stateless, every)
        return added

    @property
    def stateless(self) -> bool:
        """Whether every handler is declared stateless."""
        return bool(self.handlers) and all(one.stateless for one in self.handlers.values())

    def _check_answers(self, host: Any) -> None:
        """Refuses a hook for answers that never come, because the component lacks the import."""
        for handler in self.handlers.values():
            for hook, needed in ANSWERS.items():
                if hook in handler.hooks and getattr(host, needed, None) is None:
                    why = _host.missing(needed, host)
                    raise ValueError(f"handler {handler.name}: {hook} is never called: {why}")

    def _configured(self, handler: str, name: str, channel: str, args: str) -> Route:
        """A route with its state. Raises what ``configure`` raises."""
        if handler not in self.handlers:
            raise ValueError(f"the plugin has no handler `{handler}`")
        route = Route(handler, name, channel, parse(args))
        route.state = self.handlers[handler]._configure(route)
        return route

    def _subscribe(self, route: Route, functions: Any) -> SubscribeVerdict:
        answer = self._call(route, functions, "on_subscribe", (SubscribeVerdict,))
        return SubscribeVerdict(answer) if isinstance(answer, Refusal) else answer

    def _publish(self, route: Route, functions: Any) -> PublishVerdict:
        answer = self._call(route, functions, "on_publish", (PublishVerdict,))
        return PublishVerdict("reject", refusal=answer) if isinstance(answer, Refusal) else answer

    def _answer(self, route: Route, functions: Any) -> Event | Later | Refusal:
        Later._take_deferred()
        answer = self._call(route, functions, "on_call", (Event, Later))
        deferred = Later._take_deferred()
        if isinstance(answer, Later) and answer.id != deferred:
            raise ValueError("on_call returned the Later of another call")
        return answer

    def _receive(
        self, route: Route, functions: Any, hook: str, answer: Any, context: str | bytes
    ) -> None:
        """Runs a hook for an answer, if the handler has it."""
        if hook in self.handlers[route.handler].hooks:
            self._notify(route, functions, hook, answer, parse(context))

    def _notify(self, route: Route, functions: Any, hook: str, *values: Any) -> None:
        answer = self._call(route, functions, hook, (), *values)
        if isinstance(answer, Refusal):
            log.warn(f"{hook}: {answer}")

    def _call(
        self, route: Route, functions: Any, hook: str, kinds: tuple[type, ...], *values: Any
    ) -> Any:
        """Runs a hook. Returns its answer, or its refusal."""
        source = Source(functions)
        arguments: list[Any] = [Request(route, source), *values]
        if hook in ("on_publish", "on_call"):
            arguments.append(Event._of_call(source))
        try:
            answer = self.handlers[route.handler].hooks[hook](*arguments)
            if kinds and not isinstance(answer, kinds):
                expected = " or ".join(kind.__name__ for kind in kinds)
                raise TypeError(f"{hook} has to return {expected}, not {type(answer).__name__}")
            # The texts of an event that is passed on are asked for now.
            event = answer if isinstance(answer, Event) else getattr(answer, "event", None)
            if event is not None:
                event._read()
            return answer
        except Refusal as refusal:
            return refusal
        finally:
            source.end()
