"""A handler in Python: passes texts on in capitals, and refuses what is no text.

Module-level code runs when the component is built; the methods run on the server.
"""

import json

from wit_world import exports
from wit_world.exports import handler
from wit_world.imports import log, request, types


class Handler(exports.Handler):
    def describe(self):
        shout = handler.HandlerDescription(
            name="acme.shout",
            hooks=handler.Hooks.PUBLISH,
            timer=None,
            summary="passes texts on in capitals",
        )
        return handler.Manifest(
            name="acme-shout-py", version="0.1.0", handlers=[shout], stateless=True, schema=0
        )

    def configure(self, route):
        pass

    def on_publish(self, route):
        args = json.loads(request.args())
        if len(args) != 1 or not isinstance(args[0], str):
            refusal = types.Refusal("wamp.error.invalid_argument", "Publish one text.")
            return handler.PublishVerdict_Reject(refusal)
        log.log(log.Level.INFO, f"{request.topic()}: {len(args[0])} characters")
        loud = types.Event(args=json.dumps([args[0].upper()]), kwargs="{}")
        return handler.PublishVerdict_Deliver(
            handler.Delivery(event=loud, exclude=[], eligible=None)
        )

    # The contract has these as well; a hook that `describe` does not list is never called.

    def on_subscribe(self, route):
        return handler.SubscribeVerdict_Allow()

    def on_unsubscribe(self, route):
        pass

    def on_call(self, route):
        return types.Event(args="[]", kwargs="{}")

    def on_timer(self, route):
        pass
