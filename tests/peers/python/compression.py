"""Sessions of WAMP v2 with compressed messages: URL TOPIC. Prints one JSON line for each client.

Each client publishes a long event to itself, in one message and in fragments.
"""

import asyncio
import json
import sys

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

TEXT = " ".join(f"order {number * 7919 % 1000} of ünï" for number in range(2000))


async def with_websockets(name, url, topic, extensions):
    async with websockets.connect(
        url,
        subprotocols=["wamp.2.json"],
        compression=None,
        extensions=extensions,
        max_size=2**24,
    ) as socket:

        async def answer(message, kind, send=lambda text: text):
            await socket.send(send(json.dumps(message, ensure_ascii=False)))
            while (received := json.loads(await socket.recv()))[0] != kind:
                pass
            return received

        roles = {"publisher": {}, "subscriber": {}}
        await answer([1, "realm1", {"roles": roles}], 2)
        await answer([32, 1, {}, topic], 33)

        def fragments(text):
            return [text[start : start + 5000] for start in range(0, len(text), 5000)]

        for send in (lambda text: text, fragments):
            publish = [16, 2, {"exclude_me": False}, topic, [TEXT]]
            event = await answer(publish, 36, send)
            assert event[4] == [TEXT], "another text"
        extensions = socket.response.headers.get("Sec-WebSocket-Extensions")
        print(json.dumps({"client": name, "extensions": extensions}), flush=True)


async def with_autobahn(name, url, topic):
    import txaio

    txaio.use_asyncio()
    from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
    from autobahn.websocket.compress import (
        PerMessageDeflateOffer,
        PerMessageDeflateResponse,
        PerMessageDeflateResponseAccept,
    )

    done = asyncio.get_running_loop().create_future()

    class Protocol(WebSocketClientProtocol):
        def tell(self, message):
            self.sendMessage(json.dumps(message).encode())

        def onConnect(self, response):
            self.extensions = response.headers.get("sec-websocket-extensions")

        def onOpen(self):
            self.tell([1, "realm1", {"roles": {"publisher": {}, "subscriber": {}}}])

        def onMessage(self, payload, isBinary):
            message = json.loads(payload)
            if message[0] == 2:
                self.tell([32, 1, {}, topic])
            elif message[0] == 33:
                self.tell([16, 2, {"exclude_me": False}, topic, [TEXT]])
            elif message[0] == 36 and not done.done():
                done.set_result((message[4] == [TEXT], self.extensions))

        def onClose(self, wasClean, code, reason):
            if not done.done():
                done.set_exception(RuntimeError(f"{code} {reason}"))

    def accept(response):
        if isinstance(response, PerMessageDeflateResponse):
            return PerMessageDeflateResponseAccept(response)

    factory = WebSocketClientFactory(url, protocols=["wamp.2.json"])
    factory.protocol = Protocol
    offers = [PerMessageDeflateOffer()]
    factory.setProtocolOptions(
        perMessageCompressionOffers=offers, perMessageCompressionAccept=accept
    )
    host, port = url.removeprefix("ws://").rstrip("/").split(":")
    await asyncio.get_running_loop().create_connection(factory, host, int(port))
    is_same, extensions = await asyncio.wait_for(done, 60)
    assert is_same, "another text"
    print(json.dumps({"client": name, "extensions": extensions}), flush=True)


async def main(url, topic):
    for name, options in (
        # The default of the library.
        ("websockets", {"server_max_window_bits": 12, "client_max_window_bits": 12}),
        ("any window", {"client_max_window_bits": True}),
        ("small window of the client", {"client_max_window_bits": 9}),
        ("contexts", {"server_no_context_takeover": True, "client_no_context_takeover": True}),
        ("small window of the server", {"server_max_window_bits": 9}),
    ):
        await with_websockets(name, url, topic, [ClientPerMessageDeflateFactory(**options)])
    offers = [
        ClientPerMessageDeflateFactory(server_max_window_bits=10),
        ClientPerMessageDeflateFactory(),
    ]
    await with_websockets("second offer", url, topic, offers)
    await with_autobahn("autobahn", url, topic)


asyncio.run(main(*sys.argv[1:]))
