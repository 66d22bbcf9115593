"""The component: the exports of the contract, which drive the plugin. The build writes an entry
module that passes the plugin."""

# The bindings exist in the component only.
import importlib
import re
from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.exports import handler as wit
from wit_world.imports import request, types

from . import _host, _plugin, calls, http
from ._event import Event
from ._later import Later
from ._plugin import ANSWERS, Plugin, Route
from ._refusal import HttpError, Refusal, StoreError
from ._verdict import PublishVerdict, SubscribeVerdict

#: The files through which a hook is called.
_FILES = (__file__, _plugin.__file__)

#: The configured routes of this instance, by number.
_routes: dict[int, Route] = {}


def _export(body: Callable[..., Any]) -> Callable[..., Any]:
    """Runs an export. An exception ends the instance. Its traceback goes to the log, without the
    frames of this package."""

    @wraps(body)
    def run(*arguments: Any) -> Any:
        _host.exchange(_HOST)
        try:
            return body(*arguments)
        except Err:
            raise
        except BaseException as error:
            frames = error.__traceback__
            while frames is not None and frames.tb_frame.f_code.co_filename in _FILES:
                frames = frames.tb_next
            raise error.with_traceback(frames)

    return run


def handler(plugin: Any) -> type:
    """The export ``handler`` of the contract."""
    if not isinstance(plugin, Plugin):
        raise TypeError("the module has to have a variable `plugin`: plugin = Plugin(…)")
    plugin._check_answers(_HOST)

    class Handler(exports.Handler):
        @_export
        def describe(self) -> wit.Manifest:
            return _manifest(plugin)

        @_export
        def configure(self, route: wit.Route) -> None:
            try:
                _routes[route.id] = plugin._configured(
                    route.handler, route.name, route.channel, route.args
                )
            except Exception as error:
                raise Err(_text(error)) from error

        @_export
        def on_subscribe(self, route: int) -> Any:
            return _subscribe_verdict(plugin._subscribe(_routes[route], request))

        @_export
        def on_unsubscribe(self, route: int) -> None:
            plugin._notify(_routes[route], request, "on_unsubscribe")

        @_export
        def on_publish(self, route: int) -> Any:
            return _publish_verdict(plugin._publish(_routes[route], request))

        @_export
        def on_call(self, route: int) -> types.Event:
            answer = plugin._answer(_routes[route], request)
            if isinstance(answer, Refusal):
                raise Err(_refusal(answer))
            # The host ignores the value of a call that is deferred.
            event = Event.empty() if isinstance(answer, Later) else answer
            return types.Event(*event._read())

        @_export
        def on_timer(self, route: int) -> None:
            plugin._notify(_routes[route], request, "on_timer")

    return Handler


def answers(plugin: Plugin) -> type:
    """The export ``answers`` of the contract, of a plugin whose effects have answers."""

    class Answers(exports.Answers):
        @_export
        def on_response(self, route: int, context: bytes, answer: Any) -> None:
            plugin._receive(_routes[route], request, "on_response", _response(answer), context)

        @_export
        def on_result(self, route: int, context: bytes, answer: Any) -> None:
            plugin._receive(_routes[route], request, "on_result", _result(answer), context)

    return Answers


def _response(answer: Any) -> http.Answer:
    if isinstance(answer, Err):
        return http.Answer(None, _http_error(answer.value))
    return http.Answer(_http_response(answer.value), None)


def _http_response(value: Any) -> http.Response:
    headers = [(name, octets.decode(errors="replace")) for name, octets in value.headers]
    return http.Response(value.status, value.body, headers)


def _result(answer: Any) -> calls.Answer:
    if isinstance(answer, Err):
        return calls.Answer(None, _refused(answer.value))
    return calls.Answer(Event.from_json(answer.value.args, answer.value.kwargs), None)


def _http_error(error: Any) -> HttpError:
    """The error of the contract: a class for each case, some with a text."""
    case = type(error).__name__.removeprefix("Error_")
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", case).lower()
    return HttpError(code, getattr(error, "value", None))


def _refused(refusal: types.Refusal) -> Refusal:
    return Refusal(refusal.uri, refusal.message)


def _manifest(plugin: Plugin) -> wit.Manifest:
    described = []
    for one in plugin.handlers.values():
        hooks = wit.Hooks(0)
        for hook in one.hooks.keys() - ANSWERS.keys():
            hooks |= wit.Hooks[hook.removeprefix("on_").upper()]
        described.append(wit.HandlerDescription(one.name, hooks, one.every, one.summary))
    return wit.Manifest(plugin.name, plugin.version, described, plugin.stateless, plugin.schema)


def _subscribe_verdict(verdict: SubscribeVerdict) -> Any:
    if verdict.refusal is None:
        return wit.SubscribeVerdict_Allow()
    return wit.SubscribeVerdict_Deny(_refusal(verdict.refusal))


def _publish_verdict(verdict: PublishVerdict) -> Any:
    if verdict.kind == "reject":
        return wit.PublishVerdict_Reject(_refusal(verdict.refusal))
    if verdict.kind == "broadcast":
        return wit.PublishVerdict_Broadcast()
    if verdict.kind == "drop":
        return wit.PublishVerdict_Drop()
    event = None if verdict.event is None else types.Event(*verdict.event._read())
    only = None if verdict.only is None else list(verdict.only)
    return wit.PublishVerdict_Deliver(wit.Delivery(event, list(verdict.excluded), only))


def _refusal(refusal: Refusal) -> types.Refusal:
    return types.Refusal(_text(refusal.uri), _text(refusal.message))


def _text(value: object) -> str:
    """A text that has UTF-8."""
    return str(value).encode(errors="replace").decode()


def _imports() -> Any:
    """The imports of this component, in the types of the SDK."""

    def module(name: str) -> Any:
        try:
            return importlib.import_module(f"wit_world.imports.{name}")
        except ImportError:
            return None

    wrappers = {
        "topics": _Topics,
        "sessions": _Sessions,
        "store": _Store,
        "log": _Log,
        "later": _Later,
        "http": _Http,
        "fetch": _Fetch,
        "calls": _Calls,
    }
    found = {name: module(name) for name in wrappers}
    parts = {name: one and wrappers[name](one) for name, one in found.items()}
    return SimpleNamespace(**parts, now=None)


class _Topics:
    def __init__(self, functions: Any) -> None:
        self._publish = functions.publish
        self.subscribers = functions.subscribers
        self.count = functions.count

    def publish(self, topic: str, event: tuple[str, str], exclude: list[int], eligible: Any) -> None:
        self._publish(topic, types.Event(*event), exclude, eligible)


class _Sessions:
    def __init__(self, functions: Any) -> None:
        self._send = functions.send
        self.unsubscribe = functions.unsubscribe
        self.close = functions.close

    def send(self, session: int, topic: str, event: tuple[str, str]) -> None:
        self._send(session, topic, types.Event(*event))


class _Store:
    """The store, whose errors have the key."""

    def __init__(self, functions: Any) -> None:
        self.get = functions.get
        self.delete = functions.delete
        self.entries = functions.entries
        self.set = self._guard(functions.set)
        self.increment = self._guard(functions.increment)
        self.compare_and_set = self._guard(functions.compare_and_set)
        self._not_a_number = functions.Error_NotANumber

    def _guard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(key: str, *rest: Any) -> Any:
            try:
                return function(key, *rest)
            except Err as error:
                is_number = not isinstance(error.value, self._not_a_number)
                raise StoreError("full" if is_number else "not-a-number", key) from error

        return guarded


class _Log:
    def __init__(self, functions: Any) -> None:
        self._log = functions.log
        self._levels = {level.name.lower(): level for level in functions.Level}

    def log(self, level: str, message: str) -> None:
        self._log(self._levels[level], message)


class _Later:
    def __init__(self, functions: Any) -> None:
        self._defer = functions.defer
        self._complete = functions.complete

    def defer(self) -> int:
        try:
            return self._defer()
        except Err as error:
            raise _refused(error.value) from error

    def complete(self, call: int, answer: Refusal | tuple[str, str]) -> bool:
        if isinstance(answer, Refusal):
            return self._complete(call, Err(_refusal(answer)))
        return self._complete(call, Ok(types.Event(*answer)))


class _Http:
    def __init__(self, functions: Any) -> None:
        self._send = functions.send
        # Now: a module that is not imported at build time cannot be imported later.
        self._request = importlib.import_module("wit_world.imports.http_types").Request

    def send(self, *values: Any) -> None:
        *fields, context = values
        try:
            self._send(self._request(*fields), context)
        except Err as error:
            raise _http_error(error.value) from error


class _Fetch:
    def __init__(self, functions: Any) -> None:
        self._send = functions.send
        self._request = importlib.import_module("wit_world.imports.http_types").Request

    def send(self, *fields: Any) -> http.Response:
        try:
            return _http_response(self._send(self._request(*fields)))
        except Err as error:
            raise _http_error(error.value) from error


class _Calls:
    def __init__(self, functions: Any) -> None:
        self._call = functions.call

    def call(
        self, procedure: str, event: tuple[str, str], timeout: int | None, context: bytes
    ) -> None:
        try:
            self._call(procedure, types.Event(*event), timeout, context)
        except Err as error:
            raise _refused(error.value) from error


_HOST = _imports()
