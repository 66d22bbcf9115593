"""The features of xconn for Python, with asyncio."""

import asyncio
import contextlib
import inspect

from wampproto import auth, serializers
from xconn import async_session
from xconn.async_client import AsyncClient
from xconn.exception import ApplicationError
from xconn.types import (
    CallOptions,
    InvokeOptions,
    MatchOptions,
    PublishOptions,
    RegisterOptions,
    Result,
    SubscribeOptions,
)

from features import ARGS, BINARY, KWARGS, SECRETS, authenticated, equal, fault, main, missing, uri

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

    async def subscribed(session, options=None):
        """The events of a topic, which the session has subscribed."""
        events = asyncio.Queue()

        async def on_event(event):
            events.put_nowait((event.args[0], event.details or {}))

        await session.subscribe(uri("topic"), on_event, options)
        return events

    async def send(session, value, **options):
        options = PublishOptions(acknowledge=True, **options)
        await session.publish(uri("topic"), [value], {}, options)

    async def retained():
        async with session() as publisher, session() as subscriber:
            await send(publisher, 1, retain=True)
            events = await subscribed(subscriber, SubscribeOptions(get_retained=True))
            value, details = await events.get()
            equal((value, details.get("retained")), (1, True), "the event")

    async def receivers():
        async with session() as publisher, session() as one, session() as two:
            events, others = await subscribed(one), await subscribed(two)
            own = one._base_session.id
            await send(publisher, "exclude", exclude=[own])
            await send(publisher, "eligible", eligible=[own])
            await send(publisher, "end")
            equal((await events.get())[0], "eligible", "the first event of one subscriber")
            equal((await others.get())[0], "exclude", "the first event of the other one")
            equal((await others.get())[0], "end", "the second event of the other one")

    async def own_event():
        async with session() as publisher:
            events = await subscribed(publisher)
            await send(publisher, 1)
            await send(publisher, 2, exclude_me=False)
            equal((await events.get())[0], 2, "the first event")

    async def disclosed():
        async with session() as publisher, session() as subscriber:
            events = await subscribed(subscriber)
            await send(publisher, 1, disclose_me=True)
            _, details = await events.get()
            equal(details.get("publisher"), publisher._base_session.id, "the publisher")

    async def binary():
        async with session() as publisher, session() as subscriber:
            events = await subscribed(subscriber)
            try:
                await send(publisher, BINARY)
            except TypeError as error:
                is_json = "not JSON serializable" in str(error)
                missing(is_json, "its JSON has no form for binary values")
            equal((await events.get())[0], BINARY, "the event")

    async def shared():
        async with session() as one, session() as two, session() as caller:
            for callee in (one, two):

                async def answer(_invocation, callee=callee):
                    return Result([callee is one])

                options = RegisterOptions(invoke=InvokeOptions.ROUNDROBIN)
                await callee.register(uri("shared"), answer, options)
            results = [(await caller.call(uri("shared"))).args for _ in "ab"]
            equal(results, [[True], [False]], "the callees")

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
        "retained": retained,
        "receivers": receivers,
        "own_event": own_event,
        "disclosed": disclosed,
        "binary": binary,
        "register": register,
        "shared": shared,
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
