"""The request of a hook: the topic, the route that it matched, and the session. The host is asked
for the values that the hook reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ._json import parse
from ._refusal import Refusal

if TYPE_CHECKING:
    from ._plugin import Route

T = TypeVar("T")


class Source:
    """The functions of the contract about the current call, until the hook has returned."""

    def __init__(self, functions: Any) -> None:
        self._functions = functions
        self._values: dict[str, Any] = {}

    def read(self, name: str) -> Any:
        """The value of a function; it is called once."""
        if name not in self._values:
            if self._functions is None:
                raise RuntimeError(f"`{name}` of a request can be read during its hook only")
            self._values[name] = getattr(self._functions, name)()
        return self._values[name]

    def end(self) -> None:
        """The hook has returned."""
        self._functions = None


class Session:
    """The client that a hook runs for."""

    def __init__(self, id: int, source: Source) -> None:
        #: The id that other clients see and ``sessions`` takes.
        self.id = id
        self._source = source

    @property
    def authid(self) -> str:
        """The authenticated identity; for an anonymous session, a generated one."""
        return self._source.read("authid")

    @property
    def authrole(self) -> str:
        """The first role: WAMP v2 has exactly one."""
        return self._source.read("authrole")

    @property
    def roles(self) -> list[str]:
        """All roles."""
        return self._source.read("roles")

    @property
    def authmethod(self) -> str:
        """The authentication method: ``anonymous``, ``ticket``, ``jwt`` …"""
        return self._source.read("authmethod")

    @property
    def claims(self) -> dict[str, Any]:
        """The claims of the user, from the user source or the token; ``{}`` without any."""
        return parse(self._source.read("claims"))

    def has_role(self, role: str) -> bool:
        """Whether the session has the role."""
        return role in self.roles


class Request:
    """The topic, route and session that a hook is called for. It can be read during the hook only."""

    def __init__(self, route: Route, source: Source) -> None:
        #: The value that ``configure`` returned for the route, or else its ``handler.args``.
        self.state: Any = route.state
        self._route = route
        self._source = source

    @property
    def handler(self) -> str:
        """The name of the route's handler."""
        return self._route.handler

    @property
    def route(self) -> str:
        """The name of the route that the topic matched."""
        return self._route.name

    @property
    def topic(self) -> str:
        """The topic's URI, as the client sent it."""
        return self._source.read("topic")

    @property
    def attributes(self) -> dict[str, str]:
        """The values of the channel's variables in this topic."""
        return dict(self._source.read("attributes"))

    def attribute(self, name: str, convert: Callable[[str], T] = str) -> T:  # type: ignore[assignment]
        """The value of the channel's variable, converted: ``request.attribute("id", int)``.

        :raises Refusal: ``invalid_argument``, if ``convert`` raises ``ValueError``.
        """
        found = self.attributes.get(name)
        if found is None:
            raise Refusal.runtime_error(
                f"Failed to find the attribute `{name}`: the channel of route `{self.route}` does "
                "not capture it."
            )
        try:
            return convert(found)
        except ValueError as error:
            raise Refusal.invalid_argument(
                f"Failed to read the attribute `{name}` from `{found}`."
            ) from error

    @property
    def session(self) -> Session | None:
        """The session that caused the call; ``None`` in ``on_timer``, ``on_response`` and ``on_result``."""
        id = self._source.read("session")
        return None if id is None else Session(id, self._source)

    def caller(self) -> Session:
        """The same session, or a refusal if there is none."""
        session = self.session
        if session is None:
            raise Refusal.not_authorized("Failed to find the session: this hook has none.")
        return session

    @property
    def subscribers(self) -> int:
        """The number of sessions that are subscribed to the topic by name."""
        return self._source.read("subscribers")
