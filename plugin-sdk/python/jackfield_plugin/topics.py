"""Publications to topics, and their subscribers. Events that a hook publishes are sent when it has
returned, and not at all if it fails. They go to subscribers directly and enter no handler."""

from collections.abc import Iterable

from . import _check
from ._event import Event
from ._host import part


def publish(
    topic: str,
    event: Event,
    *,
    exclude: Iterable[int] = (),
    eligible: Iterable[int] | None = None,
) -> None:
    """Publishes to the subscribers of a topic, except ``exclude``, and to ``eligible`` only."""
    receivers = None if eligible is None else _check.sessions(eligible)
    texts = _payload(event)
    part("topics").publish(_check.text(topic, "the topic"), texts, _check.sessions(exclude), receivers)


def subscribers(topic: str) -> list[int]:
    """The sessions that are subscribed to the topic now."""
    return list(part("topics").subscribers(_check.text(topic, "the topic")))


def count(topic: str) -> int:
    """The number of sessions that are subscribed to the topic now."""
    return part("topics").count(_check.text(topic, "the topic"))


def _payload(event: Event) -> tuple[str, str]:
    if not isinstance(event, Event):
        raise TypeError(f"expected an Event, not {type(event).__name__}")
    return event._read()
