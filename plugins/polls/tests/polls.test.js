//! Tests of the polls, with the SDK's test double.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Event } from 'jackfield-plugin';
import { Harness } from 'jackfield-plugin/testing';

import plugin from '../plugin.js';

const TOPIC = 'acme/polls/lunch';

function site(args = { options: ['soup', 'salad'] }) {
  const made = new Harness(plugin);
  made.route('acme/polls/{poll}', 'polls', args);
  return made;
}

const votes = (received) => received.map(({ args: [{ votes }] }) => votes);
const refused = (uri) => (error) => error.uri === uri;

test('subscribers receive the result at once, and after each vote', () => {
  const made = site();
  const [ann, bob] = [made.join({ authid: 'ann' }), made.join({ authid: 'bob' })];
  made.subscribe(ann, TOPIC);
  made.publish(bob, TOPIC, new Event('soup'));
  assert.deepEqual(votes(made.received(ann)), [{ soup: 0, salad: 0 }, { soup: 1, salad: 0 }]);
});

test('a user has one vote and may change it', () => {
  const made = site();
  const [ann, bob] = [made.join({ authid: 'ann' }), made.join({ authid: 'bob' })];
  made.subscribe(bob, TOPIC);
  for (const vote of ['soup', 'soup', 'salad']) made.publish(ann, TOPIC, new Event(vote));
  const expected = [{ soup: 0, salad: 0 }, { soup: 1, salad: 0 }, { soup: 0, salad: 1 }];
  assert.deepEqual(votes(made.received(bob)), expected);
  const strict = site({ options: ['soup', 'salad'], changes: false });
  const eve = strict.join({ authid: 'eve' });
  strict.publish(eve, TOPIC, new Event('soup'));
  assert.throws(() => strict.publish(eve, TOPIC, new Event('salad')), refused('acme.error.voted'));
});

test('votes for other options are refused', () => {
  const made = site();
  const ann = made.join({ authid: 'ann' });
  for (const vote of ['pizza', '__proto__', '']) {
    assert.throws(() => made.publish(ann, TOPIC, new Event(vote)), refused('wamp.error.invalid_argument'));
  }
  assert.throws(() => made.publish(ann, TOPIC, new Event(1)), refused('wamp.error.invalid_argument'));
  assert.equal(made.call(ann, TOPIC).single().total, 0);
});

test('managers open and close polls', () => {
  const made = site();
  const [ann, max] = [made.join({ authid: 'ann' }), made.join({ authid: 'max', roles: ['manager'] })];
  made.subscribe(ann, TOPIC);
  made.publish(ann, TOPIC, new Event('soup'));
  const open = Event.of(['open'], { question: 'When?', options: ['noon', 'one'] });
  assert.throws(() => made.call(ann, TOPIC, open), refused('wamp.error.not_authorized'));
  const result = made.call(max, TOPIC, open).single();
  assert.deepEqual(result, { question: 'When?', open: true, total: 0, votes: { noon: 0, one: 0 } });
  assert.deepEqual(votes(made.received(ann)).at(-1), { noon: 0, one: 0 });
  made.publish(ann, TOPIC, new Event('noon'));
  made.call(max, TOPIC, new Event('close'));
  assert.throws(() => made.publish(ann, TOPIC, new Event('one')), refused('acme.error.poll_closed'));
  assert.deepEqual(made.call(ann, TOPIC).single().votes, { noon: 1, one: 0 });
});

test('wrong settings are refused', () => {
  const wrong = [{ options: ['one'] }, { options: ['a', 'a'] }, { option: [] }, { manager: 7 }, { changes: 'no' }];
  for (const args of wrong) assert.throws(() => site(args), /handler\.args/);
});
