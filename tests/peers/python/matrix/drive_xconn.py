"""The features of xconn for Python, with asyncio."""

import asyncio
import contextlib
import inspect

from wampproto import auth, serializers
from xconn import async_session
from xconn.async_client import AsyncClient
from xconn.exception import ApplicationError
from xconn.types import CallOptions, MatchOptions, PublishOptions, Result, SubscribeOptions

from features import ARGS, KWARGS, SECRETS, authenticated, equal, fault, main, missing, uri

SERIALIZERS = {
    "json": serializers.JSONSerializer,
    "msgpack": serializers.MsgPackSerializer,
    "cbor": serializers.CBORSerializer,
}
METHODS = {
    "ticket": "TicketAuthenticator",
    "wampcra": "WAMPCRAAuthenticator",
    "wampcra_salted": "WAMPCRAAuthenticator",
    "cryptosign": "CryptoSignAuthenticator",
}
SOURCE = inspect.getsource(async_session)


def features(url, name):
    @contextlib.asynccontextmanager
    async def session(authenticator=None):
        client = AsyncClient(authenticator or auth.AnonymousAuthenticator(""), SERIALIZERS[name]())
        session = await client.connect(url, "realm1")
        try:
            yield session
        finally:
            await session.leave()

    @contextlib.asynccontextmanager
    async def procedure(endpoint):
        """A procedure of one session, for another one."""
        async with session() as callee, session() as caller:
            procedure = uri("procedure")
            await callee.register(procedure, endpoint)
            yield caller, procedure

    async def publish(pattern=False, unsubscribe=False):
        async with session() as subscriber, session() as publisher:
            events = asyncio.Queue()

            async def on_event(event):
                details = event.details or {}
                events.put_nowait((details.get("topic"), event.args, event.kwargs))

            topic = uri("publish.topic")
            options = SubscribeOptions(match=MatchOptions.PREFIX) if pattern else None
            subscription = await subscriber.subscribe(
                uri("publish") if pattern else topic, on_event, options
            )
            acknowledged = PublishOptions(acknowledge=True)
            await publisher.publish(topic, ARGS, KWARGS, acknowledged)
            expected = (topic if pattern else None, ARGS, KWARGS)
            equal(await events.get(), expected, "the event")
            if unsubscribe:
                await subscription.unsubscribe()
                await publisher.publish(topic, [], {}, acknowledged)
                # Its answer is behind the event.
                await subscriber.publish(topic, [], {}, acknowledged)
                equal(events.empty(), True, "no event after the end of the subscription")

    async def register():
        async def nothing(_invocation):
            return None

        async with session() as callee, session() as other:
            registration = await callee.register(uri("procedure"), nothing)
            await registration.unregister()
            await other.register(uri("procedure"), nothing)

    async def call():
        async def echo(invocation):
            return Result(invocation.args, invocation.kwargs)

        async with procedure(echo) as (caller, name):
            result = await caller.call(name, ARGS, KWARGS)
            equal((list(result.args), result.kwargs), (ARGS, KWARGS), "the result")

    async def progress():
        missing("progress" not in SOURCE, "`AsyncSession` knows no progressive results")

    async def cancel():
        missing("messages.Cancel" not in SOURCE, "`AsyncSession` sends no CANCEL")

    async def interrupt():
        missing("messages.Interrupt" not in SOURCE, "`AsyncSession` knows no INTERRUPT")

    async def timeout():
        async def endless(_invocation):
            await asyncio.Event().wait()

        async with procedure(endless) as (caller, name):
            try:
                await caller.call(name, options=CallOptions(timeout=100))
                raise AssertionError("the call has ended")
            except ApplicationError as error:
                equal(error.message, "wamp.error.timeout", "the error")

    async def error(kwargs):
        async def fail(_invocation):
            raise ApplicationError("matrix.error.none", *ARGS, **kwargs)

        async with procedure(fail) as (caller, name):
            try:
                await caller.call(name)
                raise AssertionError("the call has succeeded")
            except ApplicationError as error:
                equal(error.message, "matrix.error.none", "the URI")
                equal(list(error.args), ARGS, "the arguments")
                equal(error.kwargs, kwargs, "the keyword arguments")

    async def error_kwargs():
        with fault(
            f"the keyword arguments: {{}} in place of {KWARGS}",
            "as the callee, `AsyncSession` leaves the keyword arguments out of its ERROR",
        ):
            await error(KWARGS)

    async def anonymous():
        async with session():
            pass

    def method(name):
        async def authenticate():
            if name == "scram":
                has = any("scram" in name.lower() for name in dir(auth))
                missing(not has, "`wampproto.auth` has no authenticator for it")
            authid, secret = SECRETS[name]
            authenticator = getattr(auth, METHODS[name])(authid, secret)
            async with session(authenticator) as joined:
                details = joined._base_session
                authenticated(name, details.authid, details.authrole)

        return authenticate

    return {
        "publish": publish,
        "unsubscribe": lambda: publish(unsubscribe=True),
        "pattern": lambda: publish(pattern=True),
        "register": register,
        "call": call,
        "progress": progress,
        "cancel": cancel,
        "interrupt": interrupt,
        "timeout": timeout,
        "error": lambda: error({}),
        "error_kwargs": error_kwargs,
        "anonymous": anonymous,
        **{name: method(name) for name in SECRETS},
    }


main("xconn", features)
