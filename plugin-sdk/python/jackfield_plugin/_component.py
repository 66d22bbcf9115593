"""The component: the exports of the contract, which drive the plugin. The build writes an entry
module that passes the plugin."""

# The bindings exist in the component only.
import importlib
from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import handler as wit
from wit_world.imports import request, types

from . import _host, _plugin
from ._plugin import Plugin, Route
from ._refusal import Refusal, StoreError
from ._verdict import PublishVerdict, SubscribeVerdict

#: The files through which a hook is called.
_FILES = (__file__, _plugin.__file__)


def handler(plugin: Any) -> type:
    """The export ``handler`` of the contract."""
    if not isinstance(plugin, Plugin):
        raise TypeError("the module has to have a variable `plugin`: plugin = Plugin(…)")
    host = _imports()
    routes: dict[int, Route] = {}

    def export(body: Callable[..., Any]) -> Callable[..., Any]:
        """Runs an export. An exception ends the instance. Its traceback goes to the log, without the
        frames of this package."""

        @wraps(body)
        def run(*arguments: Any) -> Any:
            _host.exchange(host)
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

    class Handler(exports.Handler):
        @export
        def describe(self) -> wit.Manifest:
            return _manifest(plugin)

        @export
        def configure(self, route: wit.Route) -> None:
            try:
                routes[route.id] = plugin._configured(
                    route.handler, route.name, route.channel, route.args
                )
            except Exception as error:
                raise Err(_text(error)) from error

        @export
        def on_subscribe(self, route: int) -> Any:
            return _subscribe_verdict(plugin._subscribe(routes[route], request))

        @export
        def on_unsubscribe(self, route: int) -> None:
            plugin._notify(routes[route], request, "on_unsubscribe")

        @export
        def on_publish(self, route: int) -> Any:
            return _publish_verdict(plugin._publish(routes[route], request))

        @export
        def on_call(self, route: int) -> types.Event:
            answer = plugin._answer(routes[route], request)
            if isinstance(answer, Refusal):
                raise Err(_refusal(answer))
            return types.Event(*answer._read())

        @export
        def on_timer(self, route: int) -> None:
            plugin._notify(routes[route], request, "on_timer")

    return Handler


def _manifest(plugin: Plugin) -> wit.Manifest:
    described = []
    for one in plugin.handlers.values():
        hooks = wit.Hooks(0)
        for hook in one.hooks:
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

    topics, sessions, store, log = map(module, ("topics", "sessions", "store", "log"))
    return SimpleNamespace(
        topics=topics and _Topics(topics),
        sessions=sessions and _Sessions(sessions),
        store=store and _Store(store),
        log=log and _Log(log),
        now=None,
    )


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
