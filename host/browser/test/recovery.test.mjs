// Tests of the recovery of missed events: positions, replays, and gaps.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { ContentManager } from '../content.js';
import { begin, connect, end, pass, settle, socket } from './router.mjs';

beforeEach(begin);
afterEach(end);

const RECOVERS = { roles: { broker: { features: { x_event_recovery: true } }, dealer: {} } };

/** Creates a connection to a router that recovers, and records the gaps. */
async function connected(options) {
  const it = connect(options);
  const gaps = [];
  it.sync.addEventListener('gap', ({ detail }) => gaps.push(detail));
  await settle();
  socket().accept(7, RECOVERS);
  await settle();
  return { ...it, gaps };
}

/** Ends the connection, and opens the next one. */
async function returns(details = RECOVERS) {
  const before = socket();
  before.breaks();
  while (socket() === before) await pass(500);
  socket().accept(8, details);
  await settle();
}

const since = () => socket().asked(32).at(-1)[2]._since;
// `offset` is the place before the events that follow.
const marker = (epoch, offset, recovered = false, replayed = 0, id = 101) =>
  socket().says([36, id, 0, { _stream: { epoch, offset, recovered, replayed } }]);
const event = (offset, id = 101) => socket().says([36, id, 1_000 + offset, { _offset: offset }, [offset]]);

test('asks for the events after the last one that the page has', async () => {
  const { sync, gaps } = await connected();
  const heard = [];
  sync.subscribe('a', (value, { repeated }) => heard.push(repeated ? [value] : value));
  assert.deepEqual(since(), {});
  socket().confirms();
  marker('e', 4);
  event(5);
  event(6);
  await returns();
  assert.deepEqual(since(), { epoch: 'e', offset: 6 });
  socket().confirms();
  marker('e', 6, true, 2);
  event(7);
  event(8);
  event(10);
  await returns();
  assert.deepEqual(since(), { epoch: 'e', offset: 10 });
  assert.deepEqual([heard, gaps], [[5, 6, 7, 8, 10], []]);
});

test('knows the position before the first event', async () => {
  const { sync } = await connected();
  sync.subscribe('a', assert.fail);
  socket().confirms();
  marker('e', 4);
  await returns();
  assert.deepEqual(since(), { epoch: 'e', offset: 4 });
  // Without events for this session, the position advances nevertheless.
  socket().confirms();
  marker('e', 7, true);
  await returns();
  assert.deepEqual(since(), { epoch: 'e', offset: 7 });
});

test('takes a replay that is cut up again where it was cut', async () => {
  const { sync, gaps } = await connected();
  const heard = [];
  sync.subscribe('a', (value) => heard.push(value));
  socket().confirms();
  marker('e', 0);
  await returns();
  socket().confirms();
  marker('e', 0, true, 3);
  event(1);
  event(2);
  await returns();
  assert.deepEqual(since(), { epoch: 'e', offset: 2 });
  socket().confirms();
  marker('e', 2, true, 1);
  event(3);
  await returns();
  assert.deepEqual(since(), { epoch: 'e', offset: 3 });
  assert.deepEqual([heard, gaps], [[1, 2, 3], []]);
});

test('ignores events that the page has', async () => {
  const { sync } = await connected();
  const heard = [];
  sync.subscribe('a', (value) => heard.push(value));
  socket().confirms();
  marker('e', 2);
  for (const offset of [1, 2, 3, 3, 4]) event(offset);
  assert.deepEqual(heard, [3, 4]);
});

test('tells the page of a gap', async () => {
  const told = [];
  const { sync, gaps } = await connected({ onGap: (gap) => told.push(gap) });
  const heard = [];
  sync.subscribe('a', (value) => heard.push(value), { onGap: (gap) => heard.push(gap) });
  socket().confirms();
  marker('e', 4);
  assert.deepEqual(gaps, []);
  await returns();
  socket().confirms();
  marker('f', 0, false, 1);
  event(1);
  const gap = { topic: 'a', match: 'exact' };
  assert.deepEqual([gaps, told, heard], [[gap], [gap], [gap, 1]]);
  await returns();
  assert.deepEqual(since(), { epoch: 'f', offset: 1 });
});

test('tells a connected page of a gap that the server reports', async () => {
  const { sync, gaps } = await connected();
  const heard = [];
  sync.subscribe('a', (value) => heard.push(value));
  socket().confirms();
  marker('e', 4);
  event(5);
  marker('f', 5, false);
  event(6);
  assert.deepEqual([heard, gaps], [[5, 6], [{ topic: 'a', match: 'exact' }]]);
  await returns();
  assert.deepEqual(since(), { epoch: 'f', offset: 6 });
});

test('sends no event again to a page that has it, although there is a gap', async () => {
  const { sync, gaps } = await connected();
  const heard = [];
  sync.subscribe('a', (value, { repeated }) => heard.push(repeated ? [value] : value));
  socket().confirms();
  marker('e', 0);
  event(1);
  event(2);
  await returns();
  socket().confirms();
  marker('e', 0, false, 3);
  for (const offset of [1, 2, 4]) event(offset);
  assert.deepEqual([heard, gaps.length], [[1, 2, 4], 1]);
  await returns();
  socket().confirms();
  marker('f', 7, false, 1);
  event(8);
  event(9);
  assert.deepEqual([heard, gaps.length], [[1, 2, 4, [8], 9], 2]);
});

test('tells a gap to the subscriptions that the page still has', async () => {
  const { sync, gaps } = await connected();
  const told = [];
  let second;
  sync.subscribe('a', () => {}, { onGap: () => { told.push('first'); second.unsubscribe(); } });
  second = sync.subscribe('a', () => {}, { onGap: () => told.push('second') });
  sync.subscribe('b', () => {}, { onGap: () => { told.push('b'); sync.close(); } });
  socket().confirms();
  marker('e', 4);
  marker('e', 4, false, 0, 102);
  await returns();
  socket().confirms();
  marker('f', 0);
  marker('f', 0, false, 0, 102);
  assert.deepEqual([told, gaps.length], [['first', 'b'], 1]);
});

test('can reload the page at a gap', async () => {
  const kept = new Map();
  globalThis.sessionStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, String(value)) };
  let reloads = 0;
  globalThis.location = { href: 'https://shop.example/', reload: () => reloads++ };
  const { sync } = await connected({ onGap: 'reload' });
  sync.subscribe('a', () => {});
  socket().confirms();
  marker('e', 4);
  await returns();
  socket().confirms();
  marker('f', 0);
  marker('g', 0);
  assert.equal(reloads, 1);
  await pass(61_000);
  marker('h', 0);
  assert.equal(reloads, 2);
  delete globalThis.location;
  delete globalThis.sessionStorage;
});

test('tells a gap of a subscription whose position was never told', async () => {
  const { sync, gaps } = await connected();
  sync.subscribe('a', () => {});
  socket().confirms();
  await returns();
  assert.deepEqual(since(), {});
  socket().confirms();
  marker('e', 4, true);
  assert.equal(gaps.length, 1);
});

test('tells a gap when a server returns without the feature', async () => {
  const { sync, gaps } = await connected();
  sync.subscribe('a', () => {});
  socket().confirms();
  marker('e', 4);
  await returns({});
  assert.equal(since(), undefined);
  socket().confirms();
  assert.equal(gaps.length, 1);
});

test('tells a gap of patterns, which have no position', async () => {
  const { sync, gaps } = await connected();
  const heard = [];
  sync.subscribe('a/', (value) => heard.push(value), { match: 'prefix' });
  socket().confirms();
  socket().says([36, 101, 0, { _stream: { recovered: false } }]);
  event(3);
  event(2);
  await returns();
  assert.deepEqual(since(), {});
  socket().confirms();
  socket().says([36, 101, 0, { _stream: { recovered: false } }]);
  assert.deepEqual([heard, gaps], [[3, 2], [{ topic: 'a/', match: 'prefix' }]]);
});

test('tells no gap when a topic is left and subscribed to again before the answer', async () => {
  const { sync, gaps } = await connected();
  const heard = [];
  sync.subscribe('a', assert.fail).unsubscribe();
  sync.subscribe('a', (value) => heard.push(value));
  const [first, second] = socket().asked(32);
  socket().says([33, first[1], 101]);
  marker('e', 4);
  socket().says([33, second[1], 101]);
  marker('e', 4);
  event(5);
  assert.deepEqual([heard, gaps], [[5], []]);
});

test('gives an event to all handlers although one of them reconnects', async () => {
  const { sync, gaps } = await connected();
  const heard = [];
  sync.subscribe('a', () => sync.reconnect());
  sync.subscribe('a', (value) => heard.push(value));
  socket().confirms();
  marker('e', 4);
  event(5);
  await settle();
  socket().accept(8, RECOVERS);
  await settle();
  assert.deepEqual([since(), heard, gaps], [{ epoch: 'e', offset: 5 }, [5], []]);
});

test('begins after the position that the page was rendered with', async () => {
  const { sync, gaps } = await connected();
  const heard = [];
  const given = Object.freeze({ epoch: 'e', offset: 2 });
  sync.subscribe('a', (value, { repeated }) => heard.push([value, repeated]), { since: given });
  assert.deepEqual(since(), given);
  socket().confirms();
  marker('e', 2, true, 1);
  event(3);
  assert.deepEqual([heard, gaps], [[[3, undefined]], []]);
  // The position is too old.
  sync.subscribe('b', () => {}, { since: given });
  socket().confirms();
  marker('f', 3, false, 0, 102);
  assert.deepEqual(gaps, [{ topic: 'b', match: 'exact' }]);
  // Events of a known topic are not sent again: one is missing since the position of this handler.
  const told = [];
  sync.subscribe('a', () => {}, { since: given, onGap: (gap) => told.push(gap.topic) });
  sync.subscribe('a', () => {}, { since: { epoch: 'e', offset: 3 }, onGap: assert.fail });
  await settle();
  assert.deepEqual(told, ['a']);
  assert.throws(() => sync.subscribe('c', () => {}, { since: 4 }), /`since` must be a position, not number/);
});

test('asks for the last event alone', async () => {
  const { sync, gaps } = await connected();
  const heard = [];
  const one = sync.subscribe('a', (value) => heard.push(value), { latest: true });
  assert.deepEqual(since(), { latest: true });
  socket().confirms();
  marker('e', 3, false, 1);
  event(4);
  await returns();
  assert.deepEqual(since(), { epoch: 'e', offset: 4, latest: true });
  socket().confirms();
  marker('f', 8, false, 1);
  event(9);
  assert.deepEqual([heard, gaps], [[4, 9], []]);
  // Another subscription of the page wants all events.
  sync.subscribe('a', () => {});
  one.unsubscribe();
  await returns();
  assert.deepEqual(since(), { epoch: 'f', offset: 9 });
});

test('marks what a subscription begins with', async () => {
  const { sync } = await connected();
  const heard = [];
  const outdated = [];
  sync.subscribe('a', (value, { repeated }) => heard.push([value, repeated]));
  const manager = new ContentManager(sync, { topic: 'tags' });
  manager.open({ tags: ['x'], outdated: () => outdated.push('x') });
  socket().confirms();
  const tags = (offset) => socket().says([36, 102, offset, { _offset: offset }, [{ username: 'bo', tagname: 'x' }], {}]);
  marker('e', 0, false, 2);
  event(1);
  event(2);
  event(3);
  assert.deepEqual(heard, [[1, true], [2, true], [3, undefined]]);
  marker('e', 1, false, 1, 102);
  tags(2);
  assert.deepEqual(outdated, []);
  await returns();
  socket().confirms();
  marker('e', 2, true, 1, 102);
  socket().says([36, 102, 3, { _offset: 3 }, [[{ username: 'bo', tagname: 'x' }]]]);
  assert.deepEqual(outdated, ['x']);
});

test('keeps the position of a subscription that the server ends and restores', async () => {
  const { sync, gaps } = await connected();
  sync.subscribe('a', () => {});
  socket().confirms();
  marker('e', 4);
  socket().says([35, 0, { subscription: 101, reason: 'wamp.error.not_authorized' }]);
  await pass(2_000);
  assert.deepEqual(since(), { epoch: 'e', offset: 4 });
  socket().confirms();
  marker('e', 6, true);
  assert.deepEqual(gaps, []);
});

test('forgets the position of a topic that the page leaves', async () => {
  const { sync } = await connected();
  const one = sync.subscribe('a', () => {});
  socket().confirms();
  marker('e', 4);
  one.unsubscribe();
  sync.subscribe('a', () => {});
  assert.deepEqual(since(), {});
});

test('goes on at another node of a cluster', async () => {
  const { sync, gaps } = await connected();
  const heard = [];
  sync.subscribe('a', (value, { repeated }) => heard.push(repeated ? [value] : value));
  socket().confirms();
  const numbered = (offset, node, number) =>
    socket().says([36, 101, 1_000 + offset, { _offset: offset, _at: [node, number] }, [offset]]);
  marker('e.0.1f-7', 4);
  numbered(5, '1f', 8);
  numbered(6, '2a', 1);
  await returns();
  assert.deepEqual(since(), { epoch: 'e.0.1f-7', offset: 6, at: { '1f': 8, '2a': 1 } });
  // Another node has other offsets, and another order.
  socket().confirms();
  marker('f.0.1f-8.2a-1', 2, true, 2);
  numbered(3, '1f', 9);
  numbered(5, '2a', 2);
  await returns();
  assert.deepEqual(since(), { epoch: 'f.0.1f-8.2a-1', offset: 5, at: { '1f': 9, '2a': 2 } });
  // It is the same history: what the page has is not less than before.
  socket().confirms();
  marker('f.0.1f-8.2a-1', 4, false, 1);
  numbered(5, '2a', 2);
  numbered(6, '2a', 3);
  await returns();
  assert.deepEqual(since(), { epoch: 'f.0.1f-8.2a-1', offset: 6, at: { '1f': 9, '2a': 3 } });
  // A node that does not know what the others have.
  socket().confirms();
  marker('f', 6);
  numbered(7, '1f', 10);
  await returns();
  assert.deepEqual(since(), { epoch: 'f', offset: 7, at: { '1f': 10, '2a': 3 } });
  assert.deepEqual([heard, gaps.length], [[5, 6, 3, 5, 6, 7], 2]);
});

test('goes on from the position of another node', async () => {
  const { sync } = await connected();
  sync.subscribe('a', () => {}, { since: { epoch: 'e.0.1f-7', offset: 4 } });
  assert.deepEqual(since(), { epoch: 'e.0.1f-7', offset: 4, at: {} });
});
