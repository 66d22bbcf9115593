"""SDK for topic handlers of Jackfield, a WAMP message broker.

A handler decides about subscriptions to a topic and about events published to it. A plugin is a set
of handlers::

    from jackfield_plugin import Event, Plugin, Request, deliver

    plugin = Plugin("acme-shout", "0.1.0")
    shout = plugin.handler("acme.shout", summary="publishes texts in capitals", stateless=True)


    @shout.on_publish
    def publish(request: Request, event: Event):
        return deliver(Event(event.single(str).upper()))

``jackfield-plugin build`` makes a component of it, which the broker loads.
"""

from . import calls, http, log, sessions, store, topics
from ._event import Event
from ._host import now
from ._later import Later
from ._plugin import Handler, Plugin, Route
from ._refusal import HttpError, Refusal, StoreError
from ._request import Request, Session
from ._verdict import (
    PublishVerdict,
    SubscribeVerdict,
    allow,
    broadcast,
    deliver,
    deny,
    drop,
    reject,
)

__all__ = [
    "Event",
    "Handler",
    "HttpError",
    "Later",
    "Plugin",
    "PublishVerdict",
    "Refusal",
    "Request",
    "Route",
    "Session",
    "StoreError",
    "SubscribeVerdict",
    "allow",
    "broadcast",
    "calls",
    "deliver",
    "deny",
    "drop",
    "http",
    "log",
    "now",
    "reject",
    "sessions",
    "store",
    "topics",
]
