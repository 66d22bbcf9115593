"""Effects with an answer in a test: sent requests, made calls and deferred results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import http
from ._event import Event
from ._json import parse
from ._refusal import Refusal


@dataclass(frozen=True)
class SentRequest:
    """A request that a hook has sent."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    #: In milliseconds; ``None`` is the operator's limit.
    timeout: int | None
    #: The context, as the text of a JSON value.
    context: str
    #: The topic of the hook.
    topic: str

    def header(self, name: str) -> str | None:
        """The value of the first header of this name."""
        return http.find(self.headers, name)

    def json(self) -> Any:
        """The body, parsed."""
        return parse(self.body)


@dataclass(frozen=True)
class MadeCall:
    """A call that a hook has made."""

    procedure: str
    event: Event
    #: In milliseconds; ``None`` is the operator's limit.
    timeout: int | None
    #: The context, as the text of a JSON value.
    context: str
    #: The topic of the hook.
    topic: str


@dataclass
class Current:
    """The call of a hook."""

    topic: str
    is_call: bool = False
    may_wait: bool = False
    deferred: int | None = None


class Deferrals:
    """Deferred calls: those that wait, and the results that the test has not taken."""

    def __init__(self) -> None:
        self.last = 0
        self.waiting: set[int] = set()
        self.completed: dict[int, Event | Refusal] = {}

    def begin(self, current: Current) -> int:
        if not current.is_call:
            raise RuntimeError("a result can be deferred in on_call only")
        if current.deferred is not None:
            raise RuntimeError("the result of this call is deferred already")
        self.last += 1
        self.waiting.add(self.last)
        current.deferred = self.last
        return self.last

    def complete(self, call: int, answer: Refusal | tuple[str, str]) -> None:
        if call in self.waiting:
            self.waiting.remove(call)
            is_refusal = isinstance(answer, Refusal)
            self.completed[call] = answer if is_refusal else Event.from_json(*answer)
