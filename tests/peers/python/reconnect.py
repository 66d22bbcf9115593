"""Session of autobahn-python's Component, which reconnects by itself.

    python reconnect.py URL REALM TOPIC

Prints `{"joined": N}` for the N-th session, once it is subscribed, and `{"event": VALUE}`.
"""

import json
import sys

import txaio

txaio.use_asyncio()

from autobahn.asyncio.component import Component, run  # noqa: E402

url, realm, topic = sys.argv[1:]
retry = {"initial_retry_delay": 0.2, "max_retry_delay": 0.5, "max_retries": -1}
transport = {"type": "websocket", "url": url, "serializers": ["json"], **retry}
component = Component(transports=[transport], realm=realm)
joined = 0


def report(**line):
    print(json.dumps(line), flush=True)


@component.on_join
async def join(session, details):
    global joined
    await session.subscribe(lambda value: report(event=value), topic)
    joined += 1
    report(joined=joined)


run([component], log_level="critical")
