"""Actions on single sessions. They take effect when the hook has returned; an unknown session is
ignored, because it may have left meanwhile."""

from . import _check
from ._event import Event
from ._host import part
from .topics import _payload


def send(session: int, topic: str, event: Event) -> None:
    """Sends an event of ``topic`` to one session, if it is subscribed to the topic. A session that
    ``on_subscribe`` is about to allow counts as subscribed."""
    texts = _payload(event)
    part("sessions").send(_check.session(session), _check.text(topic, "the topic"), texts)


def unsubscribe(session: int, topic: str) -> None:
    """Ends the session's subscription to the topic, as if it had unsubscribed."""
    part("sessions").unsubscribe(_check.session(session), _check.text(topic, "the topic"))


def close(session: int, reason: str, message: str) -> None:
    """Ends the session. The client receives ``reason``, a WAMP URI, and the message."""
    part("sessions").close(
        _check.session(session), _check.text(reason, "the reason"), _check.text(message, "the message")
    )
