"""Sends requests and makes calls as events say, and publishes the answers with their contexts."""

from datetime import timedelta

from jackfield_plugin import (
    Event,
    HttpError,
    Later,
    Plugin,
    allow,
    calls,
    deny,
    drop,
    http,
    reject,
    topics,
)

plugin = Plugin("outgoing", "1.0.0")
outgoing = plugin.handler("outgoing")
guarded = plugin.handler("guarded")


@outgoing.on_publish
def publish(request, event):
    order = event.single(dict)
    if "timeout" in order:
        order["timeout"] = timedelta(milliseconds=order["timeout"])
    url, procedure = order.pop("url", None), order.pop("procedure", None)
    if url is None:
        calls.call(procedure, Event.of([procedure], {"big": 9007199254740993}), [procedure], **order)
        return drop()
    try:
        http.send(url, {"ü": url}, **order)
    except HttpError as error:
        topics.publish(request.topic, Event(["refused", error.code, error.message]))
    return drop()


@outgoing.on_call
def call(request, event):
    if not event.args:
        return Event("at once")
    later = Later.begin()
    http.send(event.single(str), {"later": later.id})
    return later


@outgoing.on_response
def response(request, answer, context):
    if "later" in context:
        Later(context["later"]).complete(answer.error or Event(answer.response().json()))
        return
    found = answer.response()
    value = [context, found.status, found.ok, found.header("X-Kind"), found.text()]
    topics.publish(request.topic, Event(value))


@outgoing.on_result
def result(request, answer, context):
    error = answer.error
    value = [error.uri, error.message] if error else answer.result().args
    topics.publish(request.topic, Event([context, value]))


@guarded.on_subscribe
def subscribe(request):
    answer = http.fetch(f"{request.state['url']}/{request.attribute('name')}")
    return allow() if answer.ok else deny(answer.text())


@guarded.on_publish
def guarded_publish(request, event):
    return reject(http.fetch(request.state["url"]).text())
