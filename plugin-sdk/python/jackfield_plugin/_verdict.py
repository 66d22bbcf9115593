"""Verdicts of hooks: whether a session may subscribe, and how a published event is delivered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from . import _check
from ._event import Event
from ._refusal import Refusal


@dataclass(frozen=True)
class SubscribeVerdict:
    """The answer of ``on_subscribe``: ``allow()`` or ``deny("…")``."""

    refusal: Refusal | None = None


@dataclass(frozen=True)
class PublishVerdict:
    """The answer of ``on_publish``: ``broadcast()``, ``deliver(event)``, ``drop()`` or
    ``reject("…")``."""

    kind: str
    event: Event | None = None
    excluded: tuple[int, ...] = ()
    only: tuple[int, ...] | None = None
    refusal: Refusal | None = None

    def exclude(self, sessions: Iterable[int]) -> PublishVerdict:
        """These sessions do not receive the event either."""
        return self._narrow(excluded=(*self.excluded, *_check.sessions(sessions)))

    def eligible(self, sessions: Iterable[int]) -> PublishVerdict:
        """Only these sessions receive the event. Repeated calls intersect."""
        wanted = _check.sessions(sessions)
        if self.only is not None:
            wanted = [session for session in wanted if session in self.only]
        return self._narrow(only=tuple(wanted))

    def _narrow(self, **change: object) -> PublishVerdict:
        if self.kind not in ("broadcast", "deliver"):
            return self
        return replace(self, kind="deliver", **change)  # type: ignore[arg-type]


def allow() -> SubscribeVerdict:
    """The session becomes a subscriber."""
    return SubscribeVerdict()


def deny(message: str) -> SubscribeVerdict:
    """The session receives ``wamp.error.not_authorized``. For another URI, raise a ``Refusal``."""
    return SubscribeVerdict(Refusal.not_authorized(message))


def broadcast() -> PublishVerdict:
    """All subscribers receive the event, except those that the publisher excluded."""
    return PublishVerdict("broadcast")


def deliver(event: Event) -> PublishVerdict:
    """They receive this event instead."""
    if not isinstance(event, Event):
        raise TypeError(f"deliver takes an Event, not {type(event).__name__}: deliver(Event(value))")
    return PublishVerdict("deliver", event=event)


def drop() -> PublishVerdict:
    """The event is accepted and delivered to no subscriber."""
    return PublishVerdict("drop")


def reject(message: str) -> PublishVerdict:
    """The event is refused with ``wamp.error.not_authorized``. For another URI, raise a
    ``Refusal``."""
    return PublishVerdict("reject", refusal=Refusal.not_authorized(message))
