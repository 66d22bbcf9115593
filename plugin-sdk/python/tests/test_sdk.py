"""Tests of the SDK, with the test double."""

import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path

from jackfield_plugin import (
    Event,
    Plugin,
    Refusal,
    allow,
    broadcast,
    deliver,
    deny,
    drop,
    log,
    now,
    reject,
    sessions,
    store,
    topics,
)
from jackfield_plugin.testing import Harness


def site(args=None, *, stateless=False, configure=None, **hooks):
    plugin = Plugin("t", "1")
    handler = plugin.handler("t", stateless=stateless)
    if configure is not None:
        handler.configure(configure)
    for name, hook in hooks.items():
        getattr(handler, name)(hook)
    made = Harness(plugin)
    made.route("t/{id}", "t", args)
    return made


class Sdk(unittest.TestCase):
    def refused(self, uri, call):
        with self.assertRaises(Refusal) as caught:
            call()
        self.assertEqual(caught.exception.uri, uri)

    def test_verdicts_decide_about_delivery(self):
        ids = []
        verdicts = {
            "broadcast": broadcast,
            "deliver": lambda: deliver(Event("other")),
            "exclude": lambda: broadcast().exclude(ids[:1]),
            "eligible": lambda: deliver(Event("some")).eligible(ids).eligible(ids[1:]),
            "drop": drop,
            "reject": lambda: reject("No."),
        }
        made = site(on_publish=lambda request, event: verdicts[request.attribute("id")]())
        ids += [made.join("a"), made.join("b")]
        publisher = made.join()

        def received(kind):
            for id in [*ids, publisher]:
                made.subscribe(id, f"t/{kind}")
            made.publish(publisher, f"t/{kind}", Event("it"))
            return [[event.single() for _, event in made.received(id)] for id in [*ids, publisher]]

        self.assertEqual(received("broadcast"), [["it"], ["it"], []])
        self.assertEqual(received("deliver"), [["other"], ["other"], []])
        self.assertEqual(received("exclude"), [[], ["it"], []])
        self.assertEqual(received("eligible"), [[], ["some"], []])
        self.assertEqual(received("drop"), [[], [], []])
        self.refused("wamp.error.not_authorized", lambda: received("reject"))

    def test_refusals_reach_the_client_and_everything_else_is_a_fault(self):
        def call(request, event):
            store.set("written", 1)
            if event.args == ["refuse"]:
                raise Refusal("acme.error.no", "No.")
            return event.missing

        made = site(
            on_subscribe=lambda request: (
                allow() if request.caller().has_role("member") else deny("Members only.")
            ),
            on_publish=lambda request, event: None,
            on_call=call,
            on_timer=lambda request: request.caller(),
        )
        ann = made.join("ann", roles=["member"])
        made.subscribe(ann, "t/1")
        self.refused("wamp.error.not_authorized", lambda: made.subscribe(made.join(), "t/1"))
        with self.assertRaisesRegex(TypeError, "has to return PublishVerdict"):
            made.publish(ann, "t/1", Event(1))
        with self.assertRaises(AttributeError):
            made.call(ann, "t/1", Event("fault"))
        self.assertIsNone(made.stored("written"))
        self.refused("acme.error.no", lambda: made.call(ann, "t/1", Event("refuse")))
        self.assertEqual(made.stored("written"), 1)
        made.timer("t/1")
        self.assertIn("on_timer: wamp.error.not_authorized", made.logged()[0][1])

    def test_events_are_read_with_types(self):
        made = site(
            on_call=lambda request, event: Event.of(
                [event.single(str), request.attribute("id", int)], {"a": 10**30}
            )
        )
        ann = made.join()
        answer = made.call(ann, "t/7", Event("x"))
        self.assertEqual((answer.args, answer.kwargs), (["x", 7], {"a": 10**30}))
        for topic, event in [("t/x", Event("x")), ("t/7", Event(7)), ("t/7", Event.of(["x", "y"]))]:
            self.refused("wamp.error.invalid_argument", lambda: made.call(ann, topic, event))
        self.assertEqual(Event(1).single(float), 1)
        self.refused("wamp.error.invalid_argument", lambda: Event(True).single(int))
        for wrong in [float("nan"), "\ud800"]:
            with self.assertRaises(ValueError):
                Event(wrong)

    def test_the_store_has_typed_values_that_expire(self):
        second = timedelta(seconds=1)

        def call(request, event):
            store.set("a", {"b": [1]}, ttl=second)
            store.update("list", lambda before: [*(before or []), "ü"])
            counts = [store.increment("n", 5), store.increment("n", -2)]
            counts.append(store.count_within("c", second))
            keys = [key for key, _ in store.entries("", 10)]
            return Event.of([store.get("a"), counts, keys, store.delete("z"), now().isoformat()])

        made = site(on_call=call)
        ann = made.join()
        start = datetime(2026, 1, 1, tzinfo=timezone.utc).isoformat()
        expected = [{"b": [1]}, [5, 3, 1], ["a", "c", "list", "n"], False, start]
        self.assertEqual(made.call(ann, "t/1").args, expected)
        self.assertEqual(made.call(ann, "t/1").args[1], [8, 6, 2])
        made.advance(second)
        self.assertIsNone(made.stored("a"))
        self.assertEqual(made.call(ann, "t/1").args[1], [11, 9, 1])
        self.assertEqual(made.stored("list"), ["ü", "ü", "ü"])
        made.set_store_full(True)
        self.refused("wamp.error.runtime_error", lambda: made.call(ann, "t/1"))

    def test_effects_take_place_after_the_hook_in_order(self):
        def subscribe(request):
            sessions.send(request.caller().id, request.topic, Event("welcome"))
            return allow()

        def left(request):
            topics.publish(request.topic, Event(f"left, {request.subscribers} here"))

        def publish(request, event):
            sessions.close(request.caller().id, "acme.error.out", "Out.")
            log.info("closed")
            return drop()

        made = site(on_subscribe=subscribe, on_unsubscribe=left, on_publish=publish)
        ann, bob = made.join("ann"), made.join("bob")
        made.subscribe(ann, "t/1")
        made.subscribe(bob, "t/1")
        made.publish(bob, "t/1", Event(1))
        self.assertEqual(made.closed(bob), ("acme.error.out", "Out."))
        received = [event.single() for _, event in made.received(ann)]
        self.assertEqual(received, ["welcome", "left, 1 here"])
        self.assertEqual(made.logged(), [("info", "closed")])

    def test_settings_are_the_state_and_stateless_handlers_get_a_new_one_for_each_call(self):
        def configure(route):
            if route.args["most"] < 1:
                raise ValueError("most has to be 1 or more")
            return {"most": route.args["most"], "calls": 0}

        def call(request, event):
            request.state["calls"] += 1
            return Event(request.state)

        def last(stateless):
            made = site({"most": 3}, stateless=stateless, configure=configure, on_call=call)
            ann = made.join()
            made.call(ann, "t/1")
            return made.call(ann, "t/1").single()["calls"]

        self.assertEqual((last(False), last(True)), (2, 1))
        with self.assertRaisesRegex(ValueError, "1 or more"):
            site({"most": 0}, configure=configure)

    def test_mistakes_of_the_author_are_errors_with_a_name(self):
        plugin = Plugin("t", "1")
        plugin.handler("t").on_timer(lambda request: None)
        with self.assertRaisesRegex(ValueError, "two handlers"):
            plugin.handler("t")
        with self.assertRaisesRegex(ValueError, "two hooks"):
            plugin.handlers["t"].on_timer(lambda request: None)
        with self.assertRaisesRegex(RuntimeError, "when the component is built"):
            store.get("x")
        kept = []
        made = site(on_call=lambda request, event: kept.append(request) or Event.empty())
        made.call(made.join(), "t/1")
        with self.assertRaisesRegex(RuntimeError, "during its hook only"):
            kept[0].topic
        wrong = [
            lambda: topics.publish("t", "text"),
            lambda: sessions.close("1", "a", "b"),
            lambda: store.set(7, 1),
            lambda: store.set("a", 1, ttl=5),
            lambda: store.increment("a", 1.5),
            lambda: deliver("x"),
            lambda: store.set_bytes("a", "x"),
            lambda: topics.count("\ud800"),
        ]
        for mistake in wrong:
            failing = site(on_call=lambda request, event, mistake=mistake: mistake())
            with self.assertRaises((TypeError, ValueError)):
                failing.call(failing.join(), "t/1")

    def test_the_contract_of_the_package_is_that_of_the_server(self):
        package = Path(__file__).parents[1]
        own = (package / "jackfield_plugin/plugin.wit").read_bytes()
        self.assertEqual(own, (package.parent / "wit/0.2/plugin.wit").read_bytes())


if __name__ == "__main__":
    unittest.main()
