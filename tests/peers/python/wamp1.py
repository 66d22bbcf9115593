"""A third-party WAMP v1 client: autobahn 0.8.15, which needs Python 2.7.

Reads one JSON command a line from standard input and writes one JSON report a line to standard
output, as `peer.py` does. A v1 event has one value, which is `args[0]`; `options` of `publish`
are autobahn's own: `excludeMe`, `exclude`, `eligible`.

Python 2.7 has no venv, so JACKFIELD_PYTHON2_PEERS names the folder that its modules are in.
"""

import argparse
import json
import os
import site
import sys

site.addsitedir(os.environ["JACKFIELD_PYTHON2_PEERS"])

from autobahn.twisted.websocket import connectWS
from autobahn.wamp1.protocol import WampClientFactory, WampClientProtocol
from twisted.internet import reactor
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver


def report(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def on_event(topic, event):
    report(event=topic, args=[event], kwargs={}, details={})


class Client(WampClientProtocol):
    def onSessionOpen(self):
        report(joined=self.session_id, protocol="wamp")
        StandardIO(Commands(self))

    def connectionLost(self, reason):
        WampClientProtocol.connectionLost(self, reason)
        report(disconnected=True, clean=self.wasClean)
        if reactor.running:
            reactor.stop()

    def do_subscribe(self, command):
        self.subscribe(command["topic"], on_event)

    def do_unsubscribe(self, command):
        self.unsubscribe(command["topic"])

    def do_publish(self, command):
        options = dict((str(key), value) for key, value in command.get("options", {}).items())
        self.publish(command["topic"], command["args"][0], **options)

    def do_prefix(self, command):
        self.prefix(str(command["prefix"]), command["uri"])

    def do_call(self, command):
        def done(result):
            report(done="call", result=result)

        def failed(failure):
            report(failed="call", error=failure.value.args[0], message=failure.value.args[1])

        self.call(command["procedure"], *command["args"]).addCallbacks(done, failed)

    def do_leave(self, _command):
        self.sendClose()


class Commands(LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 2**26

    def __init__(self, client):
        self.client = client

    def lineReceived(self, line):
        command = json.loads(line)
        do = command["do"]
        try:
            getattr(self.client, "do_" + do)(command)
        except Exception as error:  # Whatever it is, the test wants to read it.
            report(failed=do, error=type(error).__name__, message=str(error))
        else:
            if do != "call":
                report(done=do)

    def connectionLost(self, _reason):
        self.client.failConnection()


class Factory(WampClientFactory):
    protocol = Client

    def clientConnectionFailed(self, _connector, reason):
        report(refused=str(reason.value))
        reactor.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    connectWS(Factory(parser.parse_args().url))
    reactor.run()


main()
