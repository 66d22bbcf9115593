"""A third-party WAMP v2 client, driven line by line.

Reads one JSON command a line from standard input and writes one JSON report a line to standard
output. `tests/src/peer.rs` describes the dialogue and holds its other end.

Binary values are strings that begin with NUL and go on in base64, in both directions.
"""

import argparse
import asyncio
import base64
import json
import sys


def report(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def from_line(value):
    """Converts values of a command into values for the client."""
    if isinstance(value, str) and value.startswith("\0"):
        return base64.b64decode(value[1:])
    if isinstance(value, list):
        return [from_line(item) for item in value]
    if isinstance(value, dict):
        return {key: from_line(item) for key, item in value.items()}
    return value


def to_line(value):
    """Converts values from the client into values for a report."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\0" + base64.b64encode(bytes(value)).decode()
    if isinstance(value, (list, tuple)):
        return [to_line(item) for item in value]
    if isinstance(value, dict):
        return {key: to_line(item) for key, item in value.items()}
    return value


def report_event(topic, args, kwargs, **details):
    details = {key: value for key, value in details.items() if value is not None}
    report(
        event=topic,
        args=to_line(list(args or [])),
        kwargs=to_line(dict(kwargs or {})),
        details=to_line(details),
    )


async def commands():
    """Yields commands from standard input, until its end."""
    reader = asyncio.StreamReader(limit=2**26)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


async def obey(client):
    """Executes commands in order, and reports the result of each."""
    async for command in commands():
        do = command["do"]
        try:
            report(done=do, **(await client[do](command) or {}))
        except Exception as error:  # Whatever it is, the test wants to read it.
            uri = getattr(error, "error", None) or getattr(error, "message", None)
            report(failed=do, error=uri or type(error).__name__, message=str(error))
        if do == "leave":
            return


async def run_autobahn(url, realm, names, ticket):
    import txaio

    txaio.use_asyncio()
    from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession
    from autobahn.asyncio.wamp import Session as AuthenticatedSession
    from autobahn.wamp.auth import create_authenticator
    from autobahn.wamp import serializer
    from autobahn.wamp.types import CallOptions, CallResult, PublishOptions, SubscribeOptions

    classes = {
        "json": serializer.JsonSerializer,
        "msgpack": getattr(serializer, "MsgPackSerializer", None),
        "cbor": getattr(serializer, "CBORSerializer", None),
        "ubjson": getattr(serializer, "UBJSONSerializer", None),
        "flatbuffers": getattr(serializer, "FlatBuffersSerializer", None),
    }

    def make(name):
        name, _, batched = name.partition(".")
        return classes[name](batched=batched == "batched")

    subscriptions = {}
    ended = asyncio.Event()

    def handler(topic):
        def on_event(*args, details, **kwargs):
            report_event(
                details.topic or topic,
                args,
                kwargs,
                publication=details.publication,
                publisher=details.publisher,
            )

        return on_event

    async def subscribe(session, command):
        topic = command["topic"]
        options = SubscribeOptions(details=True, **command.get("options", {}))
        subscription = await session.subscribe(handler(topic), topic, options=options)
        subscriptions[topic] = subscription
        return {"subscription": subscription.id}

    async def unsubscribe(session, command):
        await subscriptions.pop(command["topic"]).unsubscribe()

    async def publish(session, command):
        acknowledged = session.publish(
            command["topic"],
            *from_line(command.get("args", [])),
            options=PublishOptions(**command.get("options", {})),
            **from_line(command.get("kwargs", {})),
        )
        if acknowledged is not None:
            return {"publication": (await acknowledged).id}

    async def burst(session, command):
        # All calls are sent before any is awaited.
        text = "x" * command["size"]
        calls = [session.call(command["procedure"], f"{n} {text}") for n in range(command["count"])]
        results = await asyncio.gather(*calls)
        return {"whole": sum(result == f"{n} {text}" for n, result in enumerate(results))}

    async def call(session, command):
        # With these options a result is always an object of args and kwargs.
        result = await session.call(
            command["procedure"],
            *from_line(command.get("args", [])),
            options=CallOptions(details=True, **command.get("options", {})),
            **from_line(command.get("kwargs", {})),
        )
        return {"args": to_line(result.results), "kwargs": to_line(result.kwresults)}

    async def register(session, command):
        async def echo(*args, **kwargs):
            return CallResult(*args, **kwargs)

        registration = await session.register(echo, command["procedure"])
        return {"registration": registration.id}

    async def leave(session, _command):
        session.leave()
        await ended.wait()

    class Session(AuthenticatedSession if ticket else ApplicationSession):
        def __init__(self, config=None):
            super().__init__(config)
            if ticket:
                self.add_authenticator(create_authenticator("ticket", ticket=ticket, authid="ann"))

        def onJoin(self, details):
            report(
                joined=details.session, protocol=self._transport.websocket_protocol_in_use
            )
            client = {
                do.__name__: lambda command, do=do: do(self, command)
                for do in (subscribe, unsubscribe, publish, burst, call, register, leave)
            }
            self.obeying = asyncio.ensure_future(obey(client))
            self.obeying.add_done_callback(lambda _done: asyncio.get_running_loop().stop())

        def onLeave(self, details):
            if hasattr(self, "obeying"):
                report(left=details.reason, message=details.message)
            else:
                report(refused=details.reason, message=details.message)
            self.disconnect()

        def onDisconnect(self):
            report(disconnected=True)
            ended.set()
            if not hasattr(self, "obeying"):
                asyncio.get_running_loop().stop()

    serializers = None if names == ["default"] else [make(name) for name in names]
    runner = ApplicationRunner(url, realm, serializers=serializers)
    try:
        await runner.run(Session, start_loop=False)
    except OSError as error:
        report(refused=str(error))
        return
    await asyncio.Event().wait()


async def run_xconn(url, realm, names, ticket):
    from wampproto import serializers
    from wampproto.auth import AnonymousAuthenticator, TicketAuthenticator
    from xconn.async_client import AsyncClient
    from xconn.types import Result

    classes = {
        "json": serializers.JSONSerializer,
        "msgpack": serializers.MsgPackSerializer,
        "cbor": serializers.CBORSerializer,
    }
    [name] = names
    subscriptions = {}

    async def on_disconnect():
        report(disconnected=True)

    try:
        proof = TicketAuthenticator("ann", ticket) if ticket else AnonymousAuthenticator("")
        client = AsyncClient(proof, classes[name]())
        session = await client.connect(url, realm, disconnect_callback=on_disconnect)
    except Exception as error:  # Refusals come as several unrelated classes.
        report(refused=str(error))
        return
    report(joined=session._base_session.id, protocol=f"wamp.2.{name}")

    def handler(topic):
        async def on_event(event):
            details = dict(event.details or {})
            report_event(details.pop("topic", topic), event.args, event.kwargs, **details)

        return on_event

    async def subscribe(command):
        topic = command["topic"]
        subscription = await session.subscribe(topic, handler(topic), command.get("options"))
        subscriptions[topic] = subscription
        return {"subscription": subscription.subscription_id}

    async def unsubscribe(command):
        await subscriptions.pop(command["topic"]).unsubscribe()

    async def publish(command):
        await session.publish(
            command["topic"],
            from_line(command.get("args")),
            from_line(command.get("kwargs")),
            command.get("options"),
        )

    async def call(command):
        result = await session.call(
            command["procedure"],
            from_line(command.get("args")),
            from_line(command.get("kwargs")),
            command.get("options"),
        )
        return {"args": to_line(result.args or []), "kwargs": to_line(result.kwargs or {})}

    async def register(command):
        async def echo(invocation):
            return Result(invocation.args, invocation.kwargs)

        await session.register(command["procedure"], echo)

    async def leave(_command):
        await session.leave()
        # The library reports an end only if it did not request it.
        report(disconnected=True)

    await obey({do.__name__: do for do in (subscribe, unsubscribe, publish, call, register, leave)})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", choices=["autobahn", "xconn"], default="autobahn")
    parser.add_argument("--url", required=True)
    parser.add_argument("--realm", default="realm1")
    parser.add_argument(
        "--serializer",
        default="default",
        help="names, best first: json, msgpack, cbor, each also with .batched; default offers what"
        " the client offers by itself",
    )
    parser.add_argument("--ticket", help="sent as the user ann, where the server asks for one")
    options = parser.parse_args()
    run = {"autobahn": run_autobahn, "xconn": run_xconn}[options.client]
    names = options.serializer.split(",")
    try:
        asyncio.run(run(options.url, options.realm, names, options.ticket))
    except RuntimeError as stopped:
        # The autobahn peer ends by stopping the loop, as its sessions have no other end.
        if "Event loop stopped" not in str(stopped):
            raise


main()
