"""Results of ``on_call`` that a later hook gives."""

from __future__ import annotations

from . import _check
from ._event import Event
from ._host import part
from ._refusal import Refusal
from .topics import _payload

_MAX_ID = 2**64 - 1


class Later:
    """A call whose result a later hook gives. ``on_call`` returns it in place of an event.

    Its ``id`` fits into a context and into the store: ``Later(id)`` is the same call.
    """

    __slots__ = ("id",)

    #: The number of the call that the current hook has deferred.
    _deferred: int | None = None

    def __init__(self, id: int) -> None:
        self.id = _check.integer(id, "the id of a deferred call", 0, _MAX_ID)

    @classmethod
    def begin(cls) -> Later:
        """Defers the result of the current ``on_call``. If that raises a refusal afterwards, the
        caller receives the refusal, and nothing is deferred.

        :raises Refusal: if too many calls wait for their results.
        """
        later = Later(part("later").defer())
        Later._deferred = later.id
        return later

    def complete(self, answer: Event | Refusal) -> bool:
        """Completes the call when the hook has returned. Returns whether the caller still waits."""
        is_refusal = isinstance(answer, Refusal)
        return part("later").complete(self.id, answer if is_refusal else _payload(answer))

    @staticmethod
    def _take_deferred() -> int | None:
        taken, Later._deferred = Later._deferred, None
        return taken

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Later) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Later({self.id})"
