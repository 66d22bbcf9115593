"""The features of autobahn-python, with asyncio."""

import asyncio
import contextlib

import txaio

txaio.use_asyncio()

from autobahn.asyncio.wamp import ApplicationRunner, Session
from autobahn.wamp import auth, serializer, types
from autobahn.wamp.exception import ApplicationError

from features import ARGS, BINARY, KWARGS, SECRETS, authenticated, equal, main, missing, uri

SERIALIZERS = {
    "json": serializer.JsonSerializer,
    "msgpack": serializer.MsgPackSerializer,
    "cbor": serializer.CBORSerializer,
}
SECRET_OF = {
    "ticket": "ticket",
    "wampcra": "secret",
    "wampcra_salted": "secret",
    "scram": "password",
    "cryptosign": "privkey",
}


def features(url, name):
    @contextlib.asynccontextmanager
    async def session(authenticator=None):
        """A session, and the details of its start."""
        joined = asyncio.get_running_loop().create_future()

        class Joining(Session):
            def __init__(self, config=None):
                super().__init__(config)
                self.add_authenticator(authenticator or auth.create_authenticator("anonymous"))

            def onJoin(self, details):
                joined.set_result((self, details))

            def onLeave(self, details):
                if not joined.done():
                    joined.set_exception(ApplicationError(details.reason, details.message))
                self.disconnect()

        runner = ApplicationRunner(url, "realm1", serializers=[SERIALIZERS[name]()])
        transport, _ = await runner.run(Joining, start_loop=False)
        try:
            yield await joined
        finally:
            transport.close()

    @contextlib.asynccontextmanager
    async def two_sessions():
        async with session() as (one, _), session() as (other, _):
            yield one, other

    @contextlib.asynccontextmanager
    async def procedure(endpoint, **options):
        """A procedure of one session, for another one."""
        async with two_sessions() as (callee, caller):
            procedure = uri("procedure")
            await callee.register(endpoint, procedure, types.RegisterOptions(**options))
            yield caller, procedure

    async def publish(pattern=False, unsubscribe=False):
        async with two_sessions() as (subscriber, publisher):
            events = asyncio.Queue()

            def on_event(*args, details, **kwargs):
                events.put_nowait((details.topic, list(args), kwargs))

            topic = uri("publish.topic")
            options = types.SubscribeOptions(details=True, match="prefix" if pattern else None)
            subscription = await subscriber.subscribe(
                on_event, uri("publish") if pattern else topic, options
            )
            acknowledged = types.PublishOptions(acknowledge=True)
            await publisher.publish(topic, *ARGS, options=acknowledged, **KWARGS)
            equal(await events.get(), (topic, ARGS, KWARGS), "the event")
            if unsubscribe:
                await subscription.unsubscribe()
                await publisher.publish(topic, options=acknowledged)
                # Its answer is behind the event.
                await subscriber.publish(topic, options=acknowledged)
                equal(events.empty(), True, "no event after the end of the subscription")

    async def subscribed(session, **options):
        """The events of a topic, which the session has subscribed."""
        events = asyncio.Queue()

        def on_event(*args, details, **_kwargs):
            events.put_nowait((args[0], details))

        await session.subscribe(
            on_event, uri("topic"), types.SubscribeOptions(details=True, **options)
        )
        return events

    async def send(session, value, **options):
        options = types.PublishOptions(acknowledge=True, **options)
        await session.publish(uri("topic"), value, options=options)

    async def retained():
        async with two_sessions() as (publisher, subscriber):
            await send(publisher, 1, retain=True)
            events = await subscribed(subscriber, get_retained=True)
            value, details = await events.get()
            equal((value, details.retained), (1, True), "the event")

    async def receivers():
        async with session() as (publisher, _), session() as (one, details), session() as (two, _):
            events, others = await subscribed(one), await subscribed(two)
            await send(publisher, "exclude", exclude=[details.session])
            await send(publisher, "eligible", eligible=[details.session])
            await send(publisher, "end")
            equal((await events.get())[0], "eligible", "the first event of one subscriber")
            equal((await others.get())[0], "exclude", "the first event of the other one")
            equal((await others.get())[0], "end", "the second event of the other one")

    async def own_event():
        async with session() as (publisher, _):
            events = await subscribed(publisher)
            await send(publisher, 1)
            await send(publisher, 2, exclude_me=False)
            equal((await events.get())[0], 2, "the first event")

    async def disclosed():
        has = "disclose_me" in types.PublishOptions.__slots__
        missing(not has, "`PublishOptions` has no `disclose_me`")

    async def binary():
        async with two_sessions() as (publisher, subscriber):
            events = await subscribed(subscriber)
            await send(publisher, BINARY)
            equal((await events.get())[0], BINARY, "the event")

    async def shared():
        async with two_sessions() as (one, two), session() as (caller, _):
            for callee in (one, two):
                options = types.RegisterOptions(invoke="roundrobin")
                await callee.register(lambda callee=callee: callee is one, uri("shared"), options)
            equal([await caller.call(uri("shared")) for _ in "ab"], [True, False], "the callees")

    async def register():
        async with two_sessions() as (callee, other):
            registration = await callee.register(lambda: None, uri("procedure"))
            await registration.unregister()
            await other.register(lambda: None, uri("procedure"))

    async def call():
        def echo(*args, **kwargs):
            return types.CallResult(*args, **kwargs)

        async with procedure(echo) as (caller, name):
            result = await caller.call(name, *ARGS, **KWARGS)
            equal((list(result.results), result.kwresults), (ARGS, KWARGS), "the result")

    async def progress():
        def count(details):
            for number in range(3):
                details.progress(number)
            return "end"

        async with procedure(count, details_arg="details") as (caller, name):
            parts = []
            result = await caller.call(name, options=types.CallOptions(on_progress=parts.append))
            equal((parts, result), ([0, 1, 2], "end"), "the results")

    async def cancel(interrupt=False):
        begun, interrupted = asyncio.Event(), asyncio.Event()

        async def endless(*args):
            if args:
                return args[0]
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                interrupted.set()
                raise

        async with procedure(endless) as (caller, name):
            pending = caller.call(name)
            await begun.wait()
            pending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pending
            if interrupt:
                await interrupted.wait()
            equal(await caller.call(name, "more"), "more", "the result of a later call")

    async def timeout():
        async def endless():
            await asyncio.Event().wait()

        async with procedure(endless) as (caller, name):
            try:
                await caller.call(name, options=types.CallOptions(timeout=100))
                raise AssertionError("the call has ended")
            except ApplicationError as error:
                equal(error.error, "wamp.error.timeout", "the error")
        return (
            "`timeout` goes to the server as it is, and is a number of milliseconds."
            " The library's documentation says seconds, as Crossbar reads it"
        )

    async def error(**kwargs):
        def fail():
            raise ApplicationError("matrix.error.none", *ARGS, **kwargs)

        async with procedure(fail) as (caller, name):
            try:
                await caller.call(name)
                raise AssertionError("the call has succeeded")
            except ApplicationError as error:
                equal(error.error, "matrix.error.none", "the URI")
                equal(list(error.args), ARGS, "the arguments")
                equal(error.kwargs, kwargs, "the keyword arguments")

    async def anonymous():
        async with session() as (_, details):
            equal(details.authmethod, "anonymous", "authmethod")

    def method(name):
        async def authenticate():
            authid, secret = SECRETS[name]
            authenticator = auth.create_authenticator(
                name.removesuffix("_salted"), authid=authid, **{SECRET_OF[name]: secret}
            )
            async with session(authenticator) as (_, details):
                authenticated(name, details.authid, details.authrole, details.authmethod)

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
        "interrupt": lambda: cancel(interrupt=True),
        "timeout": timeout,
        "error": error,
        "error_kwargs": lambda: error(**KWARGS),
        "anonymous": anonymous,
        **{name: method(name) for name in SECRETS},
    }


main("autobahn", features)
