"""Delivers each text in capital letters, and refuses events that are not a text."""

from jackfield_plugin import Event, Plugin, Request, deliver

plugin = Plugin("{{name}}", "0.1.0")
shout = plugin.handler("{{handler}}", summary="publishes texts in capitals", stateless=True)


@shout.on_publish
def publish(request: Request, event: Event):
    text = event.single(str)
    return deliver(Event(text.upper()))
