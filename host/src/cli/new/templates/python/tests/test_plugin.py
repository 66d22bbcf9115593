import unittest

from jackfield_plugin import Event, Refusal
from jackfield_plugin.testing import Harness

from plugin import plugin


class Shout(unittest.TestCase):
    def test_delivers_texts_in_capitals_and_refuses_other_events(self):
        site = Harness(plugin)
        site.route("{{channel}}/{room}", "{{handler}}")
        ann = site.join("ann")
        bob = site.join()
        site.subscribe(ann, "{{channel}}/kitchen")
        site.publish(bob, "{{channel}}/kitchen", Event("hello"))
        self.assertEqual(site.received(ann), [("{{channel}}/kitchen", Event("HELLO"))])
        with self.assertRaises(Refusal) as refused:
            site.publish(bob, "{{channel}}/kitchen", Event(7))
        self.assertEqual(refused.exception.uri, "wamp.error.invalid_argument")
