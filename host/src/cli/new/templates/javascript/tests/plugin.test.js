import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Event } from 'jackfield-plugin';
import { Harness } from 'jackfield-plugin/testing';

import plugin from '../plugin.js';

test('delivers texts in capitals, and refuses other events', () => {
  const site = new Harness(plugin);
  site.route('{{channel}}/{room}', '{{handler}}');
  const ann = site.join({ authid: 'ann' });
  const bob = site.join();
  site.subscribe(ann, '{{channel}}/kitchen');
  site.publish(bob, '{{channel}}/kitchen', new Event('hello'));
  assert.deepEqual(site.received(ann), [{ topic: '{{channel}}/kitchen', args: ['HELLO'], kwargs: {} }]);
  assert.throws(() => site.publish(bob, '{{channel}}/kitchen', new Event(7)), {
    uri: 'wamp.error.invalid_argument',
  });
});
