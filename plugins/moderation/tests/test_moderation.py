"""Tests of the moderation, with the SDK's test double."""

import unittest
from datetime import timedelta

from jackfield_plugin import Event, Refusal
from jackfield_plugin.testing import Harness

from moderation import plugin
from moderation.words import WordList

TOPIC = "acme/talk/kitchen"


def site(**args):
    made = Harness(plugin)
    made.route("acme/talk/{room}", "moderation", {"words": ["darn", "heck*"], **args})
    made.route("acme/talk/{room}/moderation", "moderation")
    return made


class Moderation(unittest.TestCase):
    def refused(self, uri, call):
        with self.assertRaises(Refusal) as caught:
            call()
        self.assertEqual(caught.exception.uri, uri)

    def test_finds_words_in_every_spelling(self):
        words = WordList(["darn", "heck*"])
        for text, expected in [
            ("darn it", "**** it"),
            ("DÄRN, D4RN, ｄａｒｎ!", "****, ****, ****!"),
            ("d\u0430rn", "****"),
            ("da\u200brn", "*****"),
            ("heckler's heck", "*******'s ****"),
            ("darning, check", "darning, check"),
            ("ﬁne", "ﬁne"),
            ("", ""),
        ]:
            self.assertEqual(words.mask(text)[0], expected)
        self.assertEqual(WordList([]).mask("darn"), ("darn", []))

    def test_masks_words_of_texts_and_objects(self):
        made = site()
        ann, bob = made.join("ann"), made.join("bob")
        made.subscribe(ann, TOPIC)
        for value in ["fine", "darn", {"text": "heck", "id": 7}]:
            made.publish(bob, TOPIC, Event(value))
        received = [event.single() for _, event in made.received(ann)]
        self.assertEqual(received, ["fine", "****", {"text": "****", "id": 7}])
        self.refused("wamp.error.invalid_argument", lambda: made.publish(bob, TOPIC, Event([1])))

    def test_mutes_offenders_for_a_time(self):
        made = site(strikes=2)
        bob, max_ = made.join("bob"), made.join("max", roles=["moderator"])
        made.subscribe(max_, f"{TOPIC}/moderation")
        for _ in range(2):
            made.publish(bob, TOPIC, Event("darn"))
        until = "2026-01-01T00:10:00+00:00"
        told = [event.single() for _, event in made.received(max_)]
        self.assertEqual(told, [{"muted": "bob", "until": until}])
        self.refused("acme.error.muted", lambda: made.publish(bob, TOPIC, Event("sorry")))
        self.assertEqual(made.call(max_, TOPIC, Event("muted")).single(), {"bob": until})
        made.advance(timedelta(minutes=10))
        made.publish(bob, TOPIC, Event("sorry"))

    def test_moderators_end_a_mute_and_are_not_moderated(self):
        made = site(strikes=1, per_minute=1)
        bob, max_ = made.join("bob"), made.join("max", roles=["moderator"])
        made.subscribe(bob, TOPIC)
        made.publish(bob, TOPIC, Event("darn"))
        self.refused("wamp.error.not_authorized", lambda: made.call(bob, TOPIC, Event("muted")))
        self.assertIs(made.call(max_, TOPIC, Event.of(["unmute", "bob"])).single(), True)
        self.refused("acme.error.too_fast", lambda: made.publish(bob, TOPIC, Event("hello")))
        for _ in range(3):
            made.publish(max_, TOPIC, Event("darn"))
        self.assertEqual(len(made.received(bob)), 3)

    def test_refuses_wrong_settings(self):
        wrong = [{"per_minute": 0}, {"strikes": "3"}, {"words": "darn"}, {"word": []}, {"words": ["*"]}]
        for args in wrong:
            with self.assertRaisesRegex(ValueError, r"handler\.args"):
                site(**args)


if __name__ == "__main__":
    unittest.main()
