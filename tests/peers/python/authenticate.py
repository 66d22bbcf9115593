"""Authenticates by one method of a third-party WAMP v2 client, and reports the result.

Arguments: client, URL, method, authid, secret. The secret of cryptosign is a private key in
hexadecimal digits. The report is one JSON object: `session`, `authid`, `authrole` and `authmethod`, or
`refused`.
"""

import asyncio
import json
import os
import sys


def report(**line):
    print(json.dumps(line), flush=True)
    # The clients' loops and threads would go on.
    os._exit(0)


async def autobahn(url, method, authid, secret):
    import txaio

    txaio.use_asyncio()
    from autobahn.asyncio.wamp import ApplicationRunner, Session
    from autobahn.wamp.auth import create_authenticator

    secrets = {
        "ticket": {"ticket": secret},
        "wampcra": {"secret": secret},
        "scram": {"password": secret},
        "cryptosign": {"privkey": secret},
    }

    class Authenticating(Session):
        def __init__(self, config=None):
            super().__init__(config)
            who = {"authid": authid} if authid else {}
            self.add_authenticator(create_authenticator(method, **who, **secrets[method]))

        def onJoin(self, details):
            report(
                session=details.session,
                authid=details.authid,
                authrole=details.authrole,
                authmethod=details.authmethod,
            )

        def onLeave(self, details):
            report(refused=details.reason, message=details.message)

    await ApplicationRunner(url, "realm1").run(Authenticating, start_loop=False)
    await asyncio.Event().wait()


async def xconn(url, method, authid, secret):
    from wampproto import serializers
    from wampproto.auth import CryptoSignAuthenticator, TicketAuthenticator, WAMPCRAAuthenticator
    from xconn.async_client import AsyncClient

    classes = {
        "ticket": TicketAuthenticator,
        "wampcra": WAMPCRAAuthenticator,
        "cryptosign": CryptoSignAuthenticator,
    }
    authenticator = classes[method](authid, secret)
    try:
        client = AsyncClient(authenticator, serializers.CBORSerializer())
        session = await client.connect(url, "realm1")
    except Exception as error:  # Refusals come as several unrelated classes.
        report(refused=str(error))
    details = session._base_session
    report(
        session=details.id, authid=details.authid, authrole=details.authrole, authmethod=method
    )


client, url, method, authid, secret = sys.argv[1:]
asyncio.run({"autobahn": autobahn, "xconn": xconn}[client](url, method, authid, secret))
