"""Calls of procedures, of handlers and of clients, that the operator lists in ``calls.allow``.

A call is made when the hook has returned, and not at all if it fails. No hook waits for the result,
which ``on_result`` receives. The bundle names ``calls`` in its imports.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from . import _check
from ._event import Event
from ._host import part
from ._json import stringify
from ._refusal import Refusal
from .topics import _payload


def call(
    procedure: str, event: Event, context: Any = None, *, timeout: timedelta | None = None
) -> None:
    """Calls a procedure. The result comes with the context, a value of JSON. The operator's limit
    applies if it is shorter than ``timeout``.

    :raises Refusal: if the operator does not allow it, or too many calls wait: no result comes.
    """
    part("calls").call(
        _check.text(procedure, "the procedure"),
        _payload(event),
        _check.wait(timeout),
        stringify(context).encode(),
    )


class Answer:
    """The result of a call, as ``on_result`` receives it."""

    def __init__(self, event: Event | None, error: Refusal | None) -> None:
        self._event = event
        #: The refusal of the callee, or of the server if there is no result.
        self.error = error

    def result(self) -> Event:
        """The result.

        :raises Refusal: the error, if there is none.
        """
        if self._event is None:
            raise self.error or Refusal.runtime_error("There is no result.")
        return self._event
