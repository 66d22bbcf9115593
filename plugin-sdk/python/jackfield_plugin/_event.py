"""Events: the payload of a publication, a call or a result, as JSON text that is parsed on access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import _check
from ._json import parse, stringify
from ._refusal import Refusal

if TYPE_CHECKING:
    from ._request import Source

T = TypeVar("T")

_UNREAD: Any = object()


class Event:
    """A payload with positional ``args`` and named ``kwargs``.

    A WAMP v1 event is one value, which is the only element of ``args``. A binary value is a text
    that begins with U+0000, followed by Base64.
    """

    __slots__ = ("_args", "_args_json", "_kwargs", "_kwargs_json", "_source")

    def __init__(self, value: Any) -> None:
        """An event of one JSON value, the form that clients of both versions read."""
        self._fill(stringify([value]), "{}", None)

    @classmethod
    def empty(cls) -> Event:
        """An event without values."""
        return cls.from_json("[]")

    @classmethod
    def of(cls, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Event:
        """An event of several positional values, and of named ones."""
        return cls.from_json(stringify(list(args)), stringify(dict(kwargs or {})))

    @classmethod
    def from_json(cls, args: str, kwargs: str = "{}") -> Event:
        """An event of the text of a JSON array and the text of a JSON object, unchanged."""
        event = cls.__new__(cls)
        event._fill(_check.text(args, "args"), _check.text(kwargs, "kwargs"), None)
        return event

    @classmethod
    def _of_call(cls, source: Source) -> Event:
        event = cls.__new__(cls)
        event._fill(None, None, source)
        return event

    def _fill(self, args: str | None, kwargs: str | None, source: Source | None) -> None:
        self._args_json, self._kwargs_json, self._source = args, kwargs, source
        self._args = self._kwargs = _UNREAD

    @property
    def args_json(self) -> str:
        """The positional values as the text of a JSON array, not parsed."""
        if self._args_json is None:
            self._args_json = self._source.read("args")
        return self._args_json

    @property
    def kwargs_json(self) -> str:
        """The named values as the text of a JSON object, not parsed."""
        if self._kwargs_json is None:
            self._kwargs_json = self._source.read("kwargs")
        return self._kwargs_json

    @property
    def args(self) -> list[Any]:
        """The positional values."""
        if self._args is _UNREAD:
            self._args = parse(self.args_json)
        return self._args

    @property
    def kwargs(self) -> dict[str, Any]:
        """The named values."""
        if self._kwargs is _UNREAD:
            self._kwargs = parse(self.kwargs_json)
        return self._kwargs

    @overload
    def single(self) -> Any: ...
    @overload
    def single(self, kind: type[T]) -> T: ...

    def single(self, kind: type | None = None) -> Any:
        """The only positional value, of this type: ``event.single(str)``.

        :raises Refusal: ``invalid_argument``, if there is not exactly one, or if it has another type.
        """
        args = self.args
        if len(args) != 1:
            raise Refusal.invalid_argument(
                f"Failed to read the event: it has {len(args)} values, not one."
            )
        [value] = args
        wanted = (int, float) if kind is float else kind
        is_flag = isinstance(value, bool) and kind is not bool
        if kind is not None and (not isinstance(value, wanted) or is_flag and kind is not object):
            raise Refusal.invalid_argument(
                f"Failed to read the event: expected {kind.__name__}, not {type(value).__name__}."
            )
        return value

    def _read(self) -> tuple[str, str]:
        """Asks the host for the texts, before the call ends."""
        return self.args_json, self.kwargs_json

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return (self.args, self.kwargs) == (other.args, other.kwargs)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Event.from_json({self.args_json!r}, {self.kwargs_json!r})"
