"""Tests of the SDK, with the test double."""

import re
import tempfile
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

from jackfield_plugin import (
    Event,
    HttpError,
    Later,
    Plugin,
    Refusal,
    allow,
    broadcast,
    calls,
    deliver,
    deny,
    drop,
    http,
    log,
    now,
    reject,
    sessions,
    store,
    topics,
)
from jackfield_plugin._bundle import BuildError, settings, tested_imports
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

    def test_requests_and_calls_are_sent_after_the_hook_and_answers_come_with_the_context(self):
        def publish(request, event):
            kind = event.single(str)
            if kind == "get":
                http.send("https://a.example/", {"to": request.topic})
            elif kind == "json":
                wait = timedelta(milliseconds=5)
                http.send("https://a.example/", json={"b": 1}, headers={"X-A": "ü"}, timeout=wait)
            elif kind == "call":
                calls.call("acme.b", event, 7, timeout=timedelta(seconds=1))
            else:
                http.send("https://a.example/", event.missing)
            return drop()

        def response(request, answer, context):
            self.assertIsNone(request.session)
            found = answer.response()
            topics.publish(context["to"], Event([found.status, found.json()]))

        def result(request, answer, context):
            refused = answer.error and answer.error.uri
            topics.publish(request.topic, Event([context, refused or answer.result().single()]))

        made = site(on_publish=publish, on_response=response, on_result=result)
        ann = made.join()
        made.subscribe(ann, "t/1")
        send = lambda kind: made.publish(None, "t/1", Event(kind))  # noqa: E731
        received = lambda: [event.single() for _, event in made.received(ann)]  # noqa: E731

        send("get")
        [get] = made.requests()
        parts = (get.method, get.url, get.headers, get.body, get.timeout)
        self.assertEqual(parts, ("GET", "https://a.example/", [], b"", None))
        self.assertEqual(made.requests(), [])
        made.respond(get, http.Response(404, b'{"a":12345678901234567890}'))
        self.assertEqual(received(), [[404, {"a": 12345678901234567890}]])
        # An error that the hook does not catch is logged.
        for answer, text in [
            (HttpError("timeout"), "runtime_error: the server did not answer in time"),
            (HttpError("denied", "no."), "the request is denied: no."),
            (http.Response(200, b"x"), "the request is invalid: the answer is not JSON"),
        ]:
            made.respond(get, answer)
            self.assertIn(text, made.logged()[0][1])

        send("json")
        [sent] = made.requests()
        self.assertEqual((sent.method, sent.timeout, sent.json()), ("POST", 5, {"b": 1}))
        names = ("x-a", "Content-Type", "x")
        self.assertEqual([sent.header(name) for name in names], ["ü", "application/json", None])

        send("call")
        [call] = made.calls()
        parts = (call.procedure, call.event, call.timeout, call.context)
        self.assertEqual(parts, ("acme.b", Event("call"), 1000, "7"))
        made.give_result(call, Event("done"))
        made.give_result(call, Refusal("acme.error.no", "No."))
        self.assertEqual(received(), [[7, "done"], [7, "acme.error.no"]])

        with self.assertRaises(AttributeError):
            send("fault")
        self.assertEqual(made.requests(), [], "the hook failed")
        with self.assertRaises(TypeError):
            made.respond(get, "text")

    def test_a_response_has_its_parts(self):
        response = http.Response(299, b"a\xff", [("A", "1"), ("a", "2")])
        self.assertEqual((response.ok, response.text(), response.header("a")), (True, "a\ufffd", "1"))
        self.assertFalse(http.Response(300).ok)

    def test_only_on_subscribe_waits_for_an_answer(self):
        def ask(request):
            wait = timedelta(milliseconds=5)
            return http.fetch(f"https://a.example/{request.caller().authid}", timeout=wait)

        made = site(
            on_subscribe=lambda request: allow() if ask(request).ok else deny("Not a member."),
            on_publish=lambda request, event: drop() if ask(request) else drop(),
        )
        ann, bob = made.join("ann"), made.join("bob")

        def fails(code, call):
            with self.assertRaises(HttpError) as caught:
                call()
            self.assertEqual(caught.exception.code, code)

        fails("unreachable", lambda: made.subscribe(ann, "t/1"))
        made.answer_fetches(lambda sent: http.Response(200 if sent.url.endswith("/ann") else 404))
        made.subscribe(ann, "t/1")
        self.refused("wamp.error.not_authorized", lambda: made.subscribe(bob, "t/1"))
        fails("denied", lambda: made.publish(ann, "t/1", Event(1)))
        made.answer_fetches(lambda sent: HttpError("timeout"))
        fails("timeout", lambda: made.subscribe(bob, "t/1"))
        self.assertEqual(made.requests(), [])

    def test_a_result_can_come_later_once(self):
        kept = []

        def call(request, event):
            do = event.single() if event.args else ""
            if do == "old":
                return kept[0]
            kept.append(Later.begin())
            if do == "twice":
                return Later.begin()
            if do == "fault":
                raise ValueError("after the promise")
            if do == "refuse":
                raise Refusal("acme.error.no", "No.")
            http.send("https://a.example/", {"later": kept[-1].id})
            return kept[-1]

        def response(request, answer, context):
            result = answer.error or Event(answer.response().text())
            log.info(Later(context["later"]).complete(result))

        made = site(on_call=call, on_publish=lambda request, event: Later.begin(), on_response=response)
        ann = made.join()
        later = made.call_later(ann, "t/1")
        self.assertIsNone(made.completed(later))
        [sent] = made.requests()
        made.respond(sent, http.Response(200, b"sunny"))
        made.respond(sent, http.Response(200, b"again"))
        self.assertEqual(made.completed(later), Event("sunny"))
        self.assertIsNone(made.completed(later))
        self.assertEqual([line for _, line in made.logged()], ["True", "False"])
        failing = made.call_later(ann, "t/1")
        made.respond(made.requests()[0], HttpError("broken", "x"))
        self.assertIn("the answer is broken: x", made.completed(failing).message)

        self.refused("acme.error.no", lambda: made.call_later(ann, "t/1", Event("refuse")))
        for do, error, text in [
            ("", RuntimeError, "is deferred: use call_later"),
            ("old", ValueError, "the Later of another call"),
            ("twice", RuntimeError, "deferred already"),
            ("fault", ValueError, "after the promise"),
        ]:
            with self.assertRaisesRegex(error, text):
                made.call(ann, "t/1", Event(do))
        with self.assertRaisesRegex(RuntimeError, "in on_call only"):
            made.publish(ann, "t/1", Event(1))

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
        answered = site(on_response=print, on_result=print)._plugin
        answered._check_answers(SimpleNamespace(http=1, calls=1))
        line = r'write in pyproject.toml, below \[tool.jackfield\]: imports = \["http", "calls"\]$'
        with self.assertRaisesRegex(ValueError, f"on_result is never called: `calls` is .*{line}"):
            answered._check_answers(SimpleNamespace(http=1))
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
            lambda: http.send(7),
            lambda: http.send("x", body=1),
            lambda: http.send("x", body="", json=1),
            lambda: http.send("x", headers={"a": 1}),
            lambda: http.send("x", float("nan")),
            lambda: http.send("x", timeout=5),
            lambda: calls.call("a", "text"),
            lambda: Later("1"),
        ]
        for mistake in wrong:
            failing = site(on_call=lambda request, event, mistake=mistake: mistake())
            with self.assertRaises((TypeError, ValueError)):
                failing.call(failing.join(), "t/1")

    def test_a_bundle_has_the_imports_of_its_list_alone(self):
        plugin = Plugin("t", "1")
        handler = plugin.handler("t")

        @handler.on_publish
        def publish(request, event):
            http.send(event.single(str), None)
            return drop()

        def requests(imports=None):
            made = Harness(plugin, imports=imports)
            made.route("t/{id}", "t")
            made.publish(made.join("ann"), "t/1", Event("https://a.example"))
            return made.requests()

        self.assertEqual(len(requests()), 1, "outside of a bundle everything is imported")
        self.assertEqual(len(requests(["http"])), 1)
        line = (
            "`http` is not among the imports of this plugin; write in pyproject.toml, below "
            '[tool.jackfield]: imports = ["store", "http"]'
        )
        with self.assertRaisesRegex(RuntimeError, re.escape(line)):
            requests(["store"])
        with self.assertRaisesRegex(BuildError, "imports has the unknown interface `sotre`"):
            requests(["sotre"])
        answered = Plugin("t", "1")
        answered.handler("t").on_response(lambda request, answer, context: None)
        with self.assertRaisesRegex(ValueError, "on_response is never called: `http` is not among"):
            Harness(answered, imports=["store"])

    def test_the_imports_are_those_of_the_bundle_above_the_test(self):
        standard = ["topics", "sessions", "store", "log", "later"]
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root)
            (folder / "tests/fixture").mkdir(parents=True)
            (folder / "tests/fixture/pyproject.toml").write_text('[project]\nname = "other"\n')
            test = folder / "tests/fixture/test_a.py"

            def listed(text):
                (folder / "pyproject.toml").write_text(text)
                return tested_imports(test)

            self.assertEqual(listed('[tool.jackfield]\nimports = ["store"]\n'), ["store"])
            self.assertEqual(listed("[tool.jackfield]\nimports = []\n"), [])
            self.assertEqual(listed("[tool.jackfield]\n"), standard)
            self.assertEqual(settings(folder)[2], standard)
            self.assertIsNone(listed('[project]\nname = "other"\n'))
            (folder / "plugin.py").touch()
            self.assertEqual(listed('[project]\nname = "other"\n'), standard)
            with self.assertRaisesRegex(BuildError, "tool.jackfield.imports is no list"):
                listed('[tool.jackfield]\nimports = "store"\n')

            # A harness looks above the file that makes it.
            listed('[tool.jackfield]\nimports = ["store"]\n')
            made = compile("made = Harness(plugin)", str(test), "exec")
            names = {"Harness": Harness, "plugin": Plugin("t", "1")}
            exec(made, names)
            self.assertEqual(names["made"]._imports, ["store"])

    def test_the_contract_of_the_package_is_that_of_the_server(self):
        package = Path(__file__).parents[1]
        own = (package / "jackfield_plugin/plugin.wit").read_bytes()
        self.assertEqual(own, (package.parent / "wit/0.2/plugin.wit").read_bytes())


if __name__ == "__main__":
    unittest.main()
