"""The features of aiowamp 0.1.1, from 2019."""

import asyncio
import contextlib
import inspect
import logging
import sys
import types
import warnings

try:
    import aiowamp

    raise AssertionError("aiowamp can be imported as it is: use it without the changes below")
except ModuleNotFoundError as error:
    assert error.name == "websockets.framing", error
for module in [name for name in sys.modules if name.split(".")[0] == "aiowamp"]:
    del sys.modules[module]
REMARK = (
    "it does not run as it is. `import aiowamp` needs websockets before 9, which cannot connect on"
    " Python 3.11: `Lock.__init__() got an unexpected keyword argument 'loop'`. The test puts the"
    " legacy interface of websockets 17 where the library looks for it, and changes nothing else"
)
warnings.simplefilter("ignore", DeprecationWarning)
import websockets
from websockets.frames import Opcode
from websockets.legacy import client as legacy

websockets.connect = legacy.connect
websockets.WebSocketClientProtocol = legacy.WebSocketClientProtocol
framing = types.ModuleType("websockets.framing")
framing.OP_BINARY, framing.OP_TEXT = Opcode.BINARY, Opcode.TEXT
sys.modules[framing.__name__] = framing

import aiowamp
import aiowamp.client.auth
from aiowamp.client.auth import ScramAuth

from features import ARGS, BINARY, KWARGS, SECRETS, authenticated, equal, fault, main, missing, uri

SERIALIZERS = {"json": aiowamp.JSONSerializer, "msgpack": aiowamp.MessagePackSerializer}
METHODS = {
    "ticket": aiowamp.TicketAuth,
    "wampcra": aiowamp.CRAuth,
    "wampcra_salted": aiowamp.CRAuth,
}
FAULTS = {
    "wampcra": "`CRAuth` passes texts to `hmac.digest`, which takes bytes: `TypeError`",
    "wampcra_salted": "`CRAuth` passes texts to `hashlib.pbkdf2_hmac`, which takes bytes: `TypeError`",
}
# An error of the library's own log messages.
logging.raiseExceptions = False


def features(url, name):
    if name == "cbor":
        known = sorted(aiowamp.serializers.__all__)
        missing(known == ["JSONSerializer", "MessagePackSerializer"], "the library has no class for it")

    @contextlib.asynccontextmanager
    async def session(keyring=None):
        transport = await aiowamp.connect_web_socket(url, SERIALIZERS[name]())
        joined = await aiowamp.join_realm(
            transport, "realm1", keyring=keyring, roles=aiowamp.CLIENT_ROLES
        )
        client = aiowamp.Client(joined)
        try:
            yield client
        finally:
            await client.close()

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
                events.put_nowait((event.topic, list(event.args), event.kwargs))

            topic = uri("publish.topic")
            subscribed = uri("publish") if pattern else topic
            await subscriber.subscribe(
                subscribed, on_event, match_policy="prefix" if pattern else None
            )
            await publisher.publish(topic, *ARGS, kwargs=KWARGS, acknowledge=True)
            equal(await events.get(), (topic, ARGS, KWARGS), "the event")
            if unsubscribe:
                with fault(
                    "no subscription for",
                    "`Client.unsubscribe` looks for the topic among the procedures: `KeyError`",
                ):
                    await subscriber.unsubscribe(subscribed)

    async def subscribed(session, **options):
        """The events of a topic, which the session has subscribed."""
        events = asyncio.Queue()

        async def on_event(event):
            events.put_nowait((event.args[0], event.details))

        await session.subscribe(uri("topic"), on_event, **options)
        return events

    async def send(session, value, **options):
        await session.publish(uri("topic"), value, acknowledge=True, **options)

    async def retained():
        async def retained_event():
            async with session() as subscriber:
                events = await subscribed(subscriber, options={"get_retained": True})
                await send(publisher, 2)
                equal((await events.get())[0], 1, "the first event")

        async with session() as publisher:
            await send(publisher, 1, options={"retain": True})
            reason = (
                "the library drops events that arrive together with SUBSCRIBED:"
                " `Client.subscribe` stores the handler too late"
            )
            with fault("the first event: 2 in place of 1", reason):
                # Sometimes the event is read later.
                for _ in range(20):
                    await retained_event()

    async def receivers():
        async with session() as publisher, session() as one, session() as two:
            events, others = await subscribed(one), await subscribed(two)
            own = [one.session.session_id]
            lists = aiowamp.BlackWhiteList(excluded_ids=own)
            await send(publisher, "exclude", blackwhitelist=lists)
            lists = aiowamp.BlackWhiteList(eligible_ids=own)
            await send(publisher, "eligible", blackwhitelist=lists)
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
            equal(details.get("publisher"), publisher.session.session_id, "the publisher")

    async def binary():
        async with session() as publisher, session() as subscriber:
            events = await subscribed(subscriber)
            await send(publisher, BINARY)
            equal((await events.get())[0], BINARY, "the event")

    async def shared():
        async with session() as one, session() as two, session() as caller:
            for callee in (one, two):

                async def answer(_invocation, callee=callee):
                    return callee is one

                await callee.register(uri("shared"), answer, invocation_policy="roundrobin")
            results = [list((await caller.call(uri("shared"))).args) for _ in "ab"]
            equal(results, [[True], [False]], "the callees")

    async def register():
        async def nothing(_invocation):
            return None

        async with session() as callee, session() as other:
            await callee.register(uri("procedure"), nothing)
            await callee.unregister(uri("procedure"))
            await other.register(uri("procedure"), nothing)

    async def call():
        async def echo(invocation):
            return aiowamp.InvocationResult(*invocation.args, **invocation.kwargs)

        async with procedure(echo) as (caller, name):
            result = await caller.call(name, *ARGS, kwargs=KWARGS)
            equal((list(result.args), result.kwargs), (ARGS, KWARGS), "the result")

    async def progress():
        async def count(_invocation):
            for number in range(3):
                yield aiowamp.InvocationProgress(number)
            yield "end"

        async with procedure(count) as (caller, name):
            pending = caller.call(name, receive_progress=True)
            parts = [part.args[0] async for part in pending]
            result = await pending
            equal((parts, list(result.args)), ([0, 1, 2], ["end"]), "the results")

    async def cancel(interrupt=False):
        begun, interrupted = asyncio.Event(), asyncio.Event()

        async def endless(invocation):
            if invocation.args:
                return invocation.args[0]
            begun.set()
            try:
                await asyncio.Event().wait()
            except (aiowamp.Interrupt, asyncio.CancelledError):
                interrupted.set()
                raise

        async with procedure(endless) as (caller, name):
            pending = caller.call(name)
            waiting = asyncio.ensure_future(pending.result())
            await begun.wait()
            for ended in (pending.cancel(), waiting):
                with contextlib.suppress(asyncio.CancelledError):
                    await ended
            if interrupt:
                await interrupted.wait()
            result = await caller.call(name, "more")
            equal(list(result.args), ["more"], "the result of a later call")

    async def timeout():
        async def endless(_invocation):
            await asyncio.Event().wait()

        async with procedure(endless) as (caller, name):
            try:
                await caller.call(name, call_timeout=0.1)
                raise AssertionError("the call has ended")
            except aiowamp.ErrorResponse as error:
                equal(error.uri, "wamp.error.timeout", "the error")

    async def error(kwargs):
        async def fail(_invocation):
            raise aiowamp.InvocationError("matrix.error.none", *ARGS, kwargs=kwargs)

        async with procedure(fail) as (caller, name):
            try:
                await caller.call(name)
                raise AssertionError("the call has succeeded")
            except aiowamp.ErrorResponse as error:
                equal(error.uri, "matrix.error.none", "the URI")
                equal(list(error.args), ARGS, "the arguments")
                equal(error.kwargs, kwargs, "the keyword arguments")

    async def anonymous():
        async with session() as client:
            equal(client.session.details["authmethod"], "anonymous", "authmethod")

    def method(name):
        async def authenticate():
            if name == "scram":
                is_abstract = inspect.isabstract(ScramAuth)
                missing(is_abstract, "`ScramAuth` is a sketch without `authenticate`")
            if name == "cryptosign":
                has = any("crypto" in name.lower() for name in dir(aiowamp.client.auth))
                missing(not has, "`aiowamp.client.auth` has no class for it")
            authid, secret = SECRETS[name]
            keyring = aiowamp.AuthKeyring(METHODS[name](secret), auth_id=authid)
            explained = fault("{'error': 'TypeError'}", FAULTS[name]) if name in FAULTS else None
            with explained or contextlib.nullcontext():
                async with session(keyring) as client:
                    details = client.session.details
                    found = (details["authid"], details["authrole"], details["authmethod"])
                    authenticated(name, *found)

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
        "error": lambda: error({}),
        "error_kwargs": lambda: error(KWARGS),
        "anonymous": anonymous,
        **{name: method(name) for name in SECRETS},
    }


main("aiowamp", features, REMARK)
