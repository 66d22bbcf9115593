import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { SyncError } from '../sync.js';
import { begin, chanceIs, connect, end, pass, passSlowly, settle, socket, sockets } from './router.mjs';

beforeEach(begin);
afterEach(end);

const names = (heard) => heard.map(([name]) => name);

/** Creates a connection with a session. */
async function connected(options) {
  const it = connect(options);
  await settle();
  socket().accept();
  await settle();
  return it;
}

test('sends HELLO and reports the session', async () => {
  const { sync, heard } = connect({ realm: 'shop' });
  assert.equal(sync.state, 'connecting');
  await settle();
  assert.equal(socket().url, 'ws://router/');
  assert.equal(socket().protocol, 'wamp.2.json');
  socket().accept(42);
  const [code, realm, details] = socket().sent[0];
  assert.deepEqual([code, realm, Object.keys(details.roles)], [1, 'shop', ['subscriber', 'publisher', 'caller']]);
  assert.deepEqual([sync.state, sync.session], ['connected', 42]);
  assert.deepEqual(heard, [['connected', { session: 42, resumed: false }]]);
});

test('resolves URLs relative to the page', async () => {
  globalThis.location = { href: 'https://shop.example/orders/7?x=1' };
  const check = async (url, expect) => {
    connect({ url });
    await settle();
    assert.equal(socket().url, expect);
  };
  await check(undefined, 'wss://shop.example/');
  await check('/', 'wss://shop.example/');
  await check('/ws', 'wss://shop.example/ws');
  await check('http://127.0.0.1:8080', 'ws://127.0.0.1:8080/');
  await check('wss://live.example/a?b=c', 'wss://live.example/a?b=c');
  await check(new URL('https://live.example/'), 'wss://live.example/');
  await check(() => '/there', 'wss://shop.example/there');
  delete globalThis.location;
});

test('reports an invalid URL and keeps retrying', async () => {
  const { heard } = connect({ url: 'http://' });
  await settle();
  assert.deepEqual(names(heard), ['disconnected', 'retrying']);
  assert.match(heard[0][1].error.message, /Invalid URL/);
});

test('fetches a new ticket for each attempt', async () => {
  let count = 0;
  connect({ ticket: async () => `t/${++count}` });
  await settle();
  assert.equal(socket().opens().challenges(), 't/1');
  socket().breaks();
  await pass(1_000);
  assert.equal(socket().opens().challenges(), 't/2');
  socket().accept();
  socket().breaks();
  await pass(2_000);
  assert.equal(socket().opens().challenges(), 't/3');
});

test('sends the ticket as the reply to a challenge, never in the URL', async () => {
  const check = async (ticket, methods, answer) => {
    connect({ url: 'ws://router/?a=b', ticket });
    await settle();
    assert.equal(socket().url, 'ws://router/?a=b');
    const [, , details] = socket().opens().sent[0];
    assert.deepEqual(details.authmethods, methods);
    assert.equal(socket().challenges(), answer);
  };
  await check('x', ['ticket', 'anonymous'], 'x');
  await check('', ['ticket', 'anonymous'], '');
  await check(null, undefined, undefined);
  await check(() => null, undefined, undefined);
});

test('distinguishes a rejected ticket from an outage, and retries late', async () => {
  const refusals = [];
  const { sync, heard } = connect({ ticket: () => 'used', onRefused: (error) => refusals.push(error.uri) });
  await settle();
  socket().breaks();
  assert.deepEqual([refusals, heard.at(-1)[1].refused], [[], false]);
  await pass(500);
  const refuse = (uri) => {
    assert.equal(socket().opens().challenges(), 'used');
    socket().says([3, { message: 'the ticket or token is not accepted' }, uri]);
  };
  refuse('wamp.error.authentication_denied');
  assert.deepEqual(refusals, ['wamp.error.authentication_denied']);
  const { refused, delay, error } = heard.at(-1)[1];
  assert.deepEqual([refused, delay, error.message], [true, 45_000, 'the ticket or token is not accepted']);
  await pass(45_000);
  // The users' database is unavailable, which is temporary.
  refuse('wamp.error.authentication_failed');
  assert.deepEqual([refusals.length, heard.at(-1)[1].refused], [1, false]);
  await pass(heard.at(-1)[1].delay);
  socket().opens().challenges();
  socket().accept();
  assert.equal(sync.state, 'connected');
});

test('lets onRefused close or reconnect', async () => {
  const check = async (act, state, count) => {
    const { sync, heard } = connect({ ticket: 'used', onRefused: () => act(sync) });
    await settle();
    const before = sockets.length;
    socket().opens().says([3, {}, 'wamp.error.authentication_denied']);
    await settle();
    assert.deepEqual([sync.state, sockets.length - before], [state, count]);
    assert.ok(!names(heard).includes('retrying'));
  };
  await check((sync) => sync.close(), 'closed', 0);
  await check((sync) => sync.reconnect(), 'connecting', 1);
});

test('counts a ticket that cannot be fetched as a failed attempt', async () => {
  let works = false;
  const { sync, heard } = connect({
    ticket: async () => {
      if (!works) throw new Error('no session');
      return 'good';
    },
  });
  await settle();
  assert.deepEqual([sync.state, sockets.length], ['waiting', 0]);
  assert.deepEqual(names(heard), ['disconnected', 'retrying']);
  assert.equal(heard[0][1].error.message, 'no session');
  works = true;
  await pass(500);
  assert.equal(socket().opens().challenges(), 'good');
});

test('reports any value that a ticket function throws as an error', async () => {
  const check = async (ticket, message) => {
    const { sync, heard } = connect({ ticket });
    await settle();
    assert.deepEqual([names(heard), sync.state], [['disconnected', 'retrying'], 'waiting']);
    for (const [, { error }] of heard) assert.ok(error instanceof Error && message.test(error.message), String(error));
  };
  await check(() => { throw new Error('at once'); }, /^at once$/);
  await check(() => { throw 'a text'; }, /a text/);
  await check(() => Promise.reject(), /could not connect/);
  await check(async () => { throw { status: 403 }; }, /could not connect/);
});

test('ignores a ticket that arrives too late', async () => {
  let give;
  connect({ timeout: 1_000, ticket: () => new Promise((resolve) => { give = resolve; }) });
  await settle();
  await pass(1_000);
  give('late');
  await settle();
  assert.equal(sockets.length, 0);
});

test('shares one subscription among all handlers of a topic', async () => {
  const { sync } = await connected();
  const heard = [];
  const first = sync.subscribe('a', (value) => heard.push(['first', value]));
  const second = sync.subscribe('a', (value) => heard.push(['second', value]));
  assert.deepEqual(socket().asked(32), [[32, 1, {}, 'a']]);
  socket().confirms();
  await Promise.all([first.ready, second.ready]);
  socket().says([36, 101, 1, {}, ['x']]);
  first.unsubscribe();
  assert.deepEqual(socket().asked(34), []);
  socket().says([36, 101, 2, {}, ['y']]);
  second.unsubscribe();
  assert.deepEqual(socket().asked(34), [[34, 2, 101]]);
  socket().says([36, 101, 3, {}, ['z']]);
  assert.deepEqual(heard, [['first', 'x'], ['second', 'x'], ['second', 'y']]);
});

test('unsubscribes all handlers of a topic without a handler argument', async () => {
  const { sync } = await connected();
  sync.subscribe('a', assert.fail);
  sync.subscribe('a', assert.fail);
  socket().confirms();
  sync.unsubscribe('a');
  sync.unsubscribe('a');
  sync.unsubscribe('b', assert.fail);
  assert.deepEqual(socket().asked(34), [[34, 2, 101]]);
});

test('converts the payload of an event to one value', async () => {
  const { sync } = await connected();
  const heard = [];
  sync.subscribe('a', (value, event) => heard.push([value, event.args, event.kwargs]));
  socket().confirms();
  const check = (payload, ...expect) => {
    socket().says([36, 101, 1, {}, ...payload]);
    assert.deepEqual(heard.pop(), expect);
  };
  check([], null, [], {});
  check([[]], null, [], {});
  check([[0]], 0, [0], {});
  check([[[1]]], [1], [[1]], {});
  check([[1, 2]], [1, 2], [1, 2], {});
  check([[], { k: 1 }], { k: 1 }, [], { k: 1 });
  check([[1], { k: 1 }], { args: [1], kwargs: { k: 1 } }, [1], { k: 1 });
  check([[1], {}], 1, [1], {});
  check([null, null], null, [], {});
});

test('reports the topic of events of pattern subscriptions', async () => {
  const { sync } = await connected();
  const heard = [];
  sync.subscribe('a.', (_value, event) => heard.push(event.topic), { match: 'prefix' });
  sync.subscribe('a.', assert.fail);
  assert.deepEqual(socket().asked(32), [[32, 1, { match: 'prefix' }, 'a.'], [32, 2, {}, 'a.']]);
  socket().confirms();
  socket().says([36, 101, 1, { topic: 'a.b' }]);
  assert.deepEqual(heard, ['a.b']);
  sync.unsubscribe('a.', undefined, { match: 'prefix' });
  assert.deepEqual(socket().asked(34), [[34, 3, 101]]);
});

test('calls other handlers after one throws', async () => {
  const { sync } = await connected();
  const errors = [];
  globalThis.reportError = (error) => errors.push(error.message);
  const heard = [];
  sync.subscribe('a', () => { throw new Error('mine'); });
  sync.subscribe('a', (value) => heard.push(value));
  socket().confirms();
  socket().says([36, 101, 1, {}, ['x']]);
  delete globalThis.reportError;
  assert.deepEqual([errors, heard], [['mine'], ['x']]);
});

test('reports a refused topic, and retries it with the next connection', async () => {
  const { sync, heard } = await connected();
  const refused = sync.subscribe('secret', assert.fail);
  socket().says([8, 32, 1, { message: 'Not yours.' }, 'wamp.error.not_authorized', ['Not yours.']]);
  await assert.rejects(refused.ready, { name: 'SyncError', uri: 'wamp.error.not_authorized', message: 'Not yours.' });
  const [name, { topic, error }] = heard.at(-1);
  assert.deepEqual([name, topic, error.uri], ['refused', 'secret', 'wamp.error.not_authorized']);
  assert.equal(sync.state, 'connected');
  // A new subscription to a refused topic asks the server again.
  const again = sync.subscribe('secret', () => {});
  assert.equal(socket().asked(32).length, 2);
  socket().says([8, 32, 2, {}, 'wamp.error.not_authorized']);
  await assert.rejects(again.ready);
  socket().breaks();
  await pass(1_000);
  socket().accept().confirms();
  assert.deepEqual(names(heard).slice(-4), ['disconnected', 'retrying', 'restored', 'connected']);
  await sync.subscribe('secret', () => {}).ready;
});

test('subscribes on connect to topics requested before', async () => {
  const { sync, heard } = connect();
  const ready = ['a', 'b'].map((topic) => sync.subscribe(topic, () => {}).ready);
  sync.subscribe('c', () => {}).unsubscribe();
  await settle();
  socket().accept();
  assert.deepEqual(socket().asked(32).map(([, , , topic]) => topic), ['a', 'b']);
  // Not before the topics are subscribed to: data fetched now is complete.
  assert.deepEqual(names(heard), []);
  socket().confirms();
  await Promise.all(ready);
  assert.deepEqual(names(heard), ['connected']);
});

test('renews subscriptions after a reconnect, and ignores old ids', async () => {
  const { sync, heard } = await connected();
  const values = [];
  sync.subscribe('a', (value) => values.push(`a ${value}`));
  sync.subscribe('b', (value) => values.push(`b ${value}`));
  sync.subscribe('c', assert.fail);
  socket().confirms();
  const old = socket();
  old.breaks();
  sync.unsubscribe('c');
  await pass(1_000);
  old.says([36, 101, 1, {}, ['from the dead']]);
  const now = socket().accept(8);
  assert.deepEqual(now.asked(32).map(([, , , topic]) => topic), ['a', 'b']);
  now.says([33, 1, 202]);
  now.says([36, 202, 1, {}, ['new']]);
  now.says([36, 101, 1, {}, ['nobody']]);
  assert.equal(heard.at(-1)[0], 'retrying');
  now.says([33, 2, 201]);
  now.says([36, 201, 1, {}, ['new']]);
  assert.deepEqual(values, ['a new', 'b new']);
  assert.deepEqual(heard.at(-1), ['connected', { session: 8, resumed: true }]);
});

test('unsubscribes a topic that was dropped before its confirmation', async () => {
  const { sync } = await connected();
  sync.subscribe('a', assert.fail).unsubscribe();
  socket().confirms();
  assert.deepEqual(socket().asked(34), [[34, 2, 101]]);
  // Unless the page subscribes again: for the server, it is the same subscription.
  const heard = [];
  sync.subscribe('b', assert.fail).unsubscribe();
  const ready = sync.subscribe('b', (value) => heard.push(value)).ready;
  for (const [, request] of socket().asked(32).slice(1)) socket().says([33, request, 102]);
  await ready;
  assert.equal(socket().asked(34).length, 1);
  socket().says([36, 102, 1, {}, ['x']]);
  assert.deepEqual(heard, ['x']);
});

test('retries a revoked topic until its route is back', async () => {
  const { sync, heard } = await connected();
  const values = [];
  sync.subscribe('a', (value) => values.push(value));
  socket().confirms();
  socket().says([35, 0, { subscription: 101, reason: 'jackfield.error.no_route' }]);
  assert.equal(heard.at(-1)[1].error.uri, 'jackfield.error.no_route');
  await pass(500);
  assert.equal(socket().asked(32).length, 2);
  socket().says([8, 32, 2, {}, 'jackfield.error.no_route']);
  await pass(999);
  assert.equal(socket().asked(32).length, 2);
  await pass(1);
  socket().confirms();
  socket().says([36, 103, 1, {}, ['back']]);
  assert.deepEqual(values, ['back']);
  assert.deepEqual(names(heard), ['connected', 'refused', 'restored']);
  assert.deepEqual(heard.at(-1)[1].topic, 'a');
});

test('retries a revoked topic one request at a time', async () => {
  const { sync } = await connected({ retry: { first: 1_000, most: 1_000 } });
  sync.subscribe('a', () => {});
  socket().confirms();
  socket().says([35, 0, { subscription: 101 }]);
  // Each call asks and is answered at once, but none starts a retry chain of its own.
  for (let time = 0; time < 5; time++) {
    const { ready } = sync.subscribe('a', () => {});
    socket().says([8, 32, socket().asked(32).at(-1)[1], {}, 'jackfield.error.no_route']);
    await assert.rejects(ready, { uri: 'jackfield.error.no_route' });
  }
  const before = socket().asked(32).length;
  await pass(10_000);
  assert.equal(socket().asked(32).length, before + 1);
});

test('stops when a listener closes on a revoked topic', async () => {
  const { sync } = await connected();
  sync.subscribe('a', () => {});
  socket().confirms();
  sync.addEventListener('refused', () => sync.close());
  socket().says([35, 0, { subscription: 101 }]);
  await pass(100_000);
  assert.equal(socket().asked(32).length, 1);
});

test('does not wait for a dropped topic that is refused', async () => {
  const { sync, heard } = connect();
  sync.subscribe('a', () => {});
  const given = sync.subscribe('b', () => {});
  await settle();
  socket().accept();
  given.unsubscribe();
  await assert.rejects(given.ready, { uri: 'jackfield.client.unsubscribed' });
  socket().says([33, 1, 101]);
  socket().says([8, 32, 2, {}, 'wamp.error.not_authorized']);
  assert.deepEqual(names(heard), ['connected']);
});

test('refuses a topic after the timeout, and accepts a late confirmation', async () => {
  const { sync, heard } = connect({ timeout: 1_000 });
  const values = [];
  const slow = sync.subscribe('slow', (value) => values.push(value));
  await settle();
  socket().accept();
  await pass(999);
  assert.deepEqual(names(heard), []);
  await Promise.all([assert.rejects(slow.ready, { uri: 'wamp.error.timeout' }), pass(1)]);
  assert.deepEqual(names(heard), ['refused', 'connected']);
  socket().says([33, 1, 101]);
  socket().says([36, 101, 1, {}, ['x']]);
  assert.deepEqual([names(heard), values], [['refused', 'connected', 'restored'], ['x']]);
  await sync.subscribe('slow', () => {}).ready;
});

test('rejects pending promises on unsubscribe and close', async () => {
  const { sync } = connect();
  const check = ({ ready }, uri) => assert.rejects(ready, { uri });
  const never = sync.subscribe('never', () => {});
  never.unsubscribe();
  await check(never, 'jackfield.client.unsubscribed');
  const early = sync.subscribe('early', () => {});
  sync.close();
  await check(early, 'jackfield.client.closed');
  await check(sync.subscribe('early', () => {}), 'jackfield.client.closed');
  await check(sync.subscribe('late', () => {}), 'jackfield.client.closed');
  // The topics are subscribed to if the page connects again.
  sync.reconnect();
  await settle();
  const again = sync.subscribe('late', () => {});
  socket().accept().confirms();
  await again.ready;
  assert.deepEqual(socket().asked(32).map(([, , , topic]) => topic), ['early', 'late']);
});

test('lets a handler unsubscribe others during an event', async () => {
  const { sync } = await connected();
  const heard = [];
  sync.subscribe('a', () => { heard.push('first'); second.unsubscribe(); sync.subscribe('a', () => heard.push('new')); });
  const second = sync.subscribe('a', () => heard.push('second'));
  sync.subscribe('b', () => { heard.push('b'); sync.close(); });
  sync.subscribe('b', () => heard.push('after close'));
  socket().confirms();
  socket().says([36, 101, 1, {}, []]);
  assert.deepEqual(heard.splice(0), ['first']);
  socket().says([36, 102, 1, {}, []]);
  assert.deepEqual(heard, ['b']);
});

test('keeps subscriptions with the same function separate', async () => {
  const { sync } = await connected();
  let heard = 0;
  const handler = () => heard++;
  const one = sync.subscribe('a', handler);
  const two = sync.subscribe('a', handler);
  socket().confirms();
  const check = (expect) => {
    heard = 0;
    socket().says([36, 100 + socket().confirmed, 1, {}, []]);
    assert.equal(heard, expect);
  };
  check(2);
  one.unsubscribe();
  one.unsubscribe();
  check(1);
  two.unsubscribe();
  assert.equal(socket().asked(34).length, 1);
  const three = sync.subscribe('a', handler);
  socket().confirms();
  // An ended subscription cannot be ended again.
  two.unsubscribe();
  check(1);
  three.unsubscribe();
  assert.equal(socket().asked(34).length, 2);
  // `unsubscribe` with the function ends all of its subscriptions.
  for (let time = 0; time < 3; time++) sync.subscribe('a', handler);
  sync.unsubscribe('a', handler);
  socket().confirms();
  assert.equal(socket().asked(34).length, 3);
});

test('resolves publish with the publication id', async () => {
  const { sync } = await connected();
  const check = async (values, ...expect) => {
    const published = sync.publish('a', ...values);
    await settle();
    const [, request, ...rest] = socket().asked(16).at(-1);
    socket().says([17, request, 4711]);
    assert.deepEqual(rest, expect);
    assert.equal(await published, 4711);
  };
  await check(['x'], { acknowledge: true }, 'a', ['x']);
  await check([], { acknowledge: true }, 'a');
  await check([null], { acknowledge: true }, 'a', [null]);
  await check([undefined, { args: [1, 2] }], { acknowledge: true }, 'a', [1, 2]);
  await check([undefined, { kwargs: { k: 1 } }], { acknowledge: true }, 'a', [], { k: 1 });
  await check(['x', { excludeMe: false, eligible: [7], exclude: [8], wamp: { exclude_authid: ['eve'] } }],
    { acknowledge: true, exclude_me: false, eligible: [7], exclude: [8], exclude_authid: ['eve'] }, 'a', ['x']);
  const refused = sync.publish('a', 'x');
  await settle();
  socket().says([8, 16, socket().asked(16).at(-1)[1], {}, 'acme.error.flood', ['Slowly.']]);
  await assert.rejects(refused, { uri: 'acme.error.flood', message: 'Slowly.', args: ['Slowly.'] });
});

test('applies the excludeMe option of the client to each publish', async () => {
  const { sync } = await connected({ excludeMe: false });
  const check = async (options, expect) => {
    sync.publish('a', 'x', options).catch(() => {});
    await settle();
    assert.equal(socket().asked(16).at(-1)[2].exclude_me, expect);
  };
  await check({}, false);
  await check({ excludeMe: true }, true);
});

test('throws a TypeError for invalid payloads and handlers, and sends nothing', async () => {
  const { sync } = await connected();
  const sent = socket().sent.length;
  const refused = (act, name) => assert.rejects(act, (error) => error instanceof TypeError && error.message.includes(`\`${name}\``));
  for (const args of ['text', 5, {}, null, true]) {
    await refused(() => sync.call('a', args), 'args');
    await refused(() => sync.publish('a', undefined, { args }), 'args');
  }
  for (const kwargs of ['text', 5, [], null]) {
    await refused(() => sync.call('a', [], { kwargs }), 'kwargs');
    await refused(() => sync.publish('a', 1, { kwargs }), 'kwargs');
  }
  await refused(() => sync.publish('a', 1, { exclude: 7 }), 'exclude');
  await refused(() => sync.publish('a', 1, { eligible: { 0: 7 } }), 'eligible');
  assert.throws(() => sync.subscribe('a'), TypeError);
  assert.equal(socket().sent.length, sent);
});

test('repeats the last event for a further subscription', async () => {
  const { sync } = await connected();
  const heard = [];
  const listen = (name, topic = 'a', options) =>
    sync.subscribe(topic, (value, { repeated }) => heard.push([name, value, repeated]), options);
  listen('first');
  listen('early');
  socket().confirms();
  socket().says([36, 101, 1, {}, ['hello']]);
  listen('second');
  listen('gone').unsubscribe();
  await settle();
  assert.deepEqual(heard.splice(0), [['first', 'hello', undefined], ['early', 'hello', undefined], ['second', 'hello', true]]);
  // Patterns have many topics, and no repeated event.
  listen('pattern', 'b', { match: 'prefix' });
  socket().confirms();
  socket().says([36, 102, 2, { topic: 'b.c' }, ['x']]);
  listen('patterns', 'b', { match: 'prefix' });
  await settle();
  assert.deepEqual(heard.splice(0), [['pattern', 'x', undefined]]);
  // After an outage, the server sends the first event again.
  socket().breaks();
  listen('third');
  await settle();
  assert.deepEqual(heard, []);
});

test('resolves call with one value', async () => {
  const { sync } = await connected();
  const check = async (values, sent, answer, expect) => {
    const called = sync.call('sum', ...values);
    await settle();
    const [, request, , ...rest] = socket().asked(48).at(-1);
    assert.deepEqual(rest, sent);
    socket().says([50, request, {}, ...answer]);
    assert.deepEqual(await called, expect);
  };
  await check([], ['sum'], [], null);
  await check([[1, 2]], ['sum', [1, 2]], [[3]], 3);
  await check([[], { kwargs: { a: 1 } }], ['sum', [], { a: 1 }], [[], { b: 2 }], { b: 2 });
  const refused = sync.call('none');
  await settle();
  socket().says([8, 48, socket().asked(48).at(-1)[1], {}, 'wamp.error.no_such_procedure']);
  await assert.rejects(refused, SyncError);
});

test('rejects a request without a reply', async () => {
  const { sync } = await connected();
  const slow = sync.call('slow', [], { timeout: 50 });
  const lost = sync.call('lost');
  await settle();
  await Promise.all([assert.rejects(slow, { uri: 'wamp.error.timeout' }), pass(50)]);
  socket().breaks();
  await assert.rejects(lost, { uri: 'jackfield.client.disconnected' });
});

test('waits for a connection before a request, up to the timeout', async () => {
  const { sync } = connect({ timeout: 5_000 });
  const call = sync.call('a');
  await settle();
  socket().accept();
  await settle();
  socket().says([50, socket().asked(48)[0][1], {}, ['here']]);
  assert.equal(await call, 'here');
  socket().breaks();
  const late = sync.publish('a', 1);
  await Promise.all([assert.rejects(late, { uri: 'jackfield.client.disconnected' }), pass(5_000)]);
});

test('uses exponential backoff with full jitter', async () => {
  const { heard } = connect({ retry: { first: 1_000, most: 8_000 } });
  const delays = [];
  for (const share of [0.999, 0, 0.5, 0.5, 0.5, 0.5]) {
    await settle();
    chanceIs(share);
    socket().breaks();
    const { delay, attempt } = heard.at(-1)[1];
    delays.push(delay);
    assert.equal(attempt, delays.length);
    const before = sockets.length;
    if (delay > 0) {
      await pass(delay - 1);
      assert.equal(sockets.length, before);
    }
    await pass(1);
    assert.equal(sockets.length, before + 1);
  }
  assert.deepEqual(delays, [999, 0, 2_000, 4_000, 4_000, 4_000]);
  assert.deepEqual(names(heard).filter((name) => name === 'disconnected').length, 1);
});

test('spreads reconnects over the window of the server', async () => {
  const check = async (max_ms, retry, expect) => {
    const { sync, heard } = connect({ retry });
    for (const [index, want] of expect.entries()) {
      await settle();
      // Only the first connection becomes a session; the attempts after it fail.
      if (index === 0) socket().accept(7, { _retry: { max_ms } });
      socket().breaks();
      const { delay } = heard.at(-1)[1];
      assert.equal(delay, want, `${max_ms}`);
      await pass(delay);
    }
    sync.close();
  };
  const retry = { first: 1_000, most: 8_000 };
  // Half of the window, as the random number is 0.5: until the backoff is longer.
  await check(3_000, retry, [1_500, 1_500, 2_000, 4_000]);
  await check(100, retry, [500, 1_000, 2_000]);
  await check(3_600_000, retry, [4_000, 4_000]);
  for (const wrong of [undefined, null, 'soon', {}, -1]) await check(wrong, retry, [500, 1_000]);
});

test('forgets the window of a server that no longer names one', async () => {
  const { heard } = connect();
  await settle();
  socket().accept(7, { _retry: { max_ms: 10_000 } });
  socket().breaks();
  assert.equal(heard.at(-1)[1].delay, 5_000);
  await pass(5_000);
  socket().accept();
  socket().breaks();
  assert.equal(heard.at(-1)[1].delay, 1_000);
});

test('names lost and refused connections as the server does', async () => {
  const { heard } = connect();
  await settle();
  socket().breaks();
  assert.equal(heard[0][1].error.message, 'connection refused (1006)');
  const { heard: second } = await connected();
  socket().breaks();
  assert.deepEqual(second.map(([name, { error }]) => [name, error?.message]),
    [['connected', undefined], ['disconnected', 'connection lost (1006)'], ['retrying', 'connection lost (1006)']]);
});

test('ignores empty options, and clamps delays that no timer supports', async () => {
  for (const retry of [undefined, null, {}, { first: undefined }, { most: undefined }, { first: null, most: null }]) {
    const { sync, heard } = connect({ retry });
    await settle();
    for (const expect of [500, 1_000]) {
      socket().breaks();
      assert.equal(heard.at(-1)[1].delay, expect);
      await pass(expect);
    }
    sync.close();
  }
  const endless = [Infinity, 2 ** 31, 30 * 86_400_000];
  for (const time of endless) {
    const { sync, heard } = connect({ timeout: time, heartbeat: time, pauseAfter: time, retry: { first: time, most: time } });
    await settle();
    await pass(60_000);
    assert.equal(sync.state, 'connecting', `timeout ${time}`);
    socket().accept();
    document.becomes('hidden');
    const call = sync.call('slow', [], { timeout: time });
    sync.subscribe('slow', () => {});
    await pass(60_000);
    assert.deepEqual([sync.state, socket().asked(34), names(heard)], ['connected', [], ['connected']], `${time}`);
    const before = sockets.length;
    socket().breaks();
    await assert.rejects(call, { uri: 'jackfield.client.disconnected' });
    const waiting = sync.call('later');
    waiting.catch(() => {});
    await pass(60_000);
    assert.equal(sockets.length, before);
    assert.equal(heard.at(-1)[1].delay, 0.5 * (2 ** 31 - 1));
    document.visibilityState = 'visible';
    sync.close();
  }
});

test('resets the backoff only after a stable connection', async () => {
  const { heard } = await connected();
  const after = async (time) => {
    await pass(time);
    socket().breaks();
    const { attempt, delay } = heard.at(-1)[1];
    await pass(delay);
    socket().accept();
    return attempt;
  };
  assert.deepEqual([await after(0), await after(10), await after(6_000), await after(10)], [1, 2, 1, 2]);
});

test('reconnects after GOODBYE and ABORT', async () => {
  const { sync, heard } = await connected();
  socket().says([6, { message: 'shutting down' }, 'wamp.close.system_shutdown']);
  assert.deepEqual(socket().sent.at(-1), [6, {}, 'wamp.close.goodbye_and_out']);
  assert.ok(socket().closed);
  assert.equal(heard.at(-1)[1].error.uri, 'wamp.close.system_shutdown');
  await pass(500);
  socket().readyState = 1;
  socket().says([3, { message: 'no such realm' }, 'wamp.error.no_such_realm']);
  assert.equal(heard.at(-1)[1].error.message, 'no such realm');
  assert.equal(sync.state, 'waiting');
  await pass(45_000);
  assert.equal(sockets.length, 3);
  socket().accept();
  socket().onmessage({ data: 'HTTP/1.0 200 OK' });
  assert.equal(heard.at(-1)[1].error.uri, 'wamp.error.protocol_violation');
});

test('closes on an invalid message, and ignores an unknown one', async () => {
  for (const data of ['null', '5', '"x"', '{"0":36}', '', new ArrayBuffer(2)]) {
    const { heard } = await connected();
    socket().onmessage({ data });
    assert.equal(heard.at(-1)[1].error.uri, 'wamp.error.protocol_violation', String(data));
  }
  const { sync } = await connected();
  sync.subscribe('a', () => {});
  socket().confirms();
  const odd = [[], [36], [null], [99], [8], [33], [35, 0], [35, 0, null], [36, 101, 1, null, null, null], [8, 32, 1, null, null, null]];
  for (const message of odd) socket().says(message);
  assert.equal(sync.state, 'connected');
});

test('ignores a second WELCOME', async () => {
  const { sync } = await connected({ heartbeat: 1_000, timeout: 60_000 });
  socket().says([2, 8, {}]);
  assert.equal(sync.session, 7);
  await pass(2_000);
  assert.equal(socket().asked(34).length, 1);
  sync.close();
  await pass(10_000);
  assert.equal(socket().asked(34).length, 1);
});

test('reports a challenge without a ticket as a rejection', async () => {
  const check = async (options, method) => {
    const refusals = [];
    const { heard } = connect({ ...options, onRefused: ({ uri }) => refusals.push(uri) });
    await settle();
    socket().opens().says([4, method, {}]);
    assert.deepEqual(names(heard), ['disconnected', 'retrying']);
    assert.deepEqual(refusals, ['wamp.error.authentication_required']);
  };
  await check({}, 'ticket');
  await check({ ticket: 'x' }, 'wampcra');
});

test('gives up a server that accepts and does not reply', async () => {
  connect({ timeout: 3_000 });
  await settle();
  socket().readyState = 1;
  socket().onopen();
  await pass(2_999);
  assert.ok(!socket().closed);
  await pass(1);
  assert.ok(socket().closed);
  await pass(500);
  assert.equal(sockets.length, 2);
});

test('probes a silent connection', async () => {
  const { sync, heard } = await connected({ heartbeat: 1_000, timeout: 500 });
  const first = socket();
  await pass(999);
  assert.deepEqual(first.asked(34), []);
  await pass(1);
  const [[, request, unknown]] = first.asked(34);
  assert.equal(unknown, Number.MAX_SAFE_INTEGER);
  first.says([8, 34, request, {}, 'wamp.error.no_such_subscription']);
  await pass(500);
  assert.equal(sync.state, 'connected');
  await pass(500);
  assert.equal(first.asked(34).length, 2);
  await pass(499);
  assert.ok(!first.closed);
  await pass(1);
  assert.ok(first.closed);
  assert.match(heard.at(-1)[1].error.message, /does not respond/);
});

test('detects a dead connection 35 seconds after the last message', async () => {
  for (const lead of [0, 1, 12_000, 24_999]) {
    const { sync } = await connected();
    await passSlowly(lead);
    socket().says([36, 9, 9, {}]);
    await passSlowly(34_999);
    assert.equal(sync.state, 'connected', `${lead}`);
    await passSlowly(1);
    assert.equal(sync.state, 'waiting', `${lead}`);
    sync.close();
  }
});

test('accepts any message as the reply to a probe', async () => {
  const { sync } = await connected({ heartbeat: 1_000, timeout: 500 });
  await pass(1_000);
  const [[, request]] = socket().asked(34);
  // Over a slow connection, queued messages arrive before the reply.
  for (let time = 0; time < 10; time++) {
    socket().says([36, 9, 9, {}]);
    await pass(400);
  }
  socket().says([8, 34, request, {}, 'wamp.error.no_such_subscription']);
  await pass(600);
  assert.equal(sync.state, 'connected');
  // The next silence is probed, too.
  await pass(400);
  assert.equal(socket().asked(34).length, 2);
  socket().says([36, 9, 9, {}]);
  await pass(499);
  assert.equal(sync.state, 'connected');
  await pass(1);
  assert.equal(sync.state, 'waiting');
});

test('does not probe an active connection', async () => {
  const { sync } = await connected({ heartbeat: 1_000 });
  for (let beat = 0; beat < 5; beat++) {
    socket().says([36, 9, 9, {}]);
    await pass(999);
  }
  assert.deepEqual([socket().asked(34), sync.state], [[], 'connected']);
});

test('pauses a hidden page after pauseAfter, until it is visible', async () => {
  const { sync, heard } = await connected({ pauseAfter: 5_000, heartbeat: 0 });
  sync.subscribe('a', () => {});
  socket().confirms();
  document.becomes('hidden');
  await pass(4_999);
  document.becomes('visible');
  socket().says([8, 34, socket().asked(34)[0][1], {}, 'wamp.error.no_such_subscription']);
  await pass(10_000);
  assert.equal(sync.state, 'connected');
  document.becomes('hidden');
  await pass(5_000);
  assert.deepEqual([sync.state, socket().sent.at(-1)], ['paused', [6, {}, 'wamp.close.close_realm']]);
  assert.ok(socket().closed);
  assert.equal(heard.at(-1)[0], 'disconnected');
  await pass(100_000);
  assert.equal(sockets.length, 1);
  document.becomes('visible');
  await settle();
  socket().accept().confirms();
  assert.deepEqual(heard.at(-1), ['connected', { session: 7, resumed: true }]);
});

test('keeps the connection of a hidden page with pauseAfter Infinity', async () => {
  const { sync } = await connected({ pauseAfter: Infinity, heartbeat: 0 });
  document.becomes('hidden');
  await pass(1_000_000);
  assert.equal(sync.state, 'connected');
});

test('pauses a hidden page that has lost its connection', async () => {
  const { sync } = await connected({ pauseAfter: 60_000, retry: { first: 1_000, most: 1_000 } });
  document.becomes('hidden');
  for (let lost = 0; sync.state !== 'paused'; lost++) {
    assert.ok(lost < 200);
    socket().breaks();
    await pass(500);
  }
  const count = sockets.length;
  await pass(100_000);
  assert.equal(sockets.length, count);
});

test('pauses a page that was never visible', async () => {
  document.visibilityState = 'hidden';
  const { sync } = await connected({ pauseAfter: 1_000 });
  await pass(1_000);
  assert.equal(sync.state, 'paused');
});

test('probes the connection when the page is visible again', async () => {
  await connected({ heartbeat: 0 });
  document.becomes('hidden');
  document.becomes('visible');
  assert.equal(socket().asked(34).length, 1);
  await pass(5_000);
  assert.ok(socket().closed);
});

test('retries early when the page is visible or online', async () => {
  const { sync } = connect({ retry: { first: 10_000, most: 60_000 } });
  await settle();
  socket().breaks();
  document.becomes('visible');
  await settle();
  assert.equal(sockets.length, 2);
  socket().breaks();
  assert.equal(sync.state, 'waiting');
  chanceIs(0.1);
  window.dispatchEvent(new Event('online'));
  await pass(1_000);
  assert.equal(sockets.length, 3);
});

test('pauses on pagehide, and resumes on pageshow', async () => {
  const { sync } = await connected();
  window.dispatchEvent(new Event('pagehide'));
  assert.deepEqual([sync.state, socket().closed], ['paused', true]);
  window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: false }));
  assert.equal(sync.state, 'paused');
  window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  await settle();
  assert.equal(sockets.length, 2);
});

test('stays closed until reconnect', async () => {
  const { sync, heard } = await connected();
  sync.subscribe('a', () => {});
  const call = sync.call('x');
  await settle();
  sync.close();
  sync.close();
  await assert.rejects(call, { uri: 'jackfield.client.closed' });
  await assert.rejects(sync.call('x'), { uri: 'jackfield.client.closed' });
  assert.deepEqual(socket().sent.at(-1), [6, {}, 'wamp.close.close_realm']);
  document.becomes('visible');
  window.dispatchEvent(new Event('online'));
  await pass(1_000_000);
  assert.deepEqual([sync.state, sockets.length], ['closed', 1]);
  assert.deepEqual(names(heard), ['connected', 'disconnected']);
  sync.reconnect();
  await settle();
  socket().accept().confirms();
  assert.equal(heard.at(-1)[0], 'connected');
  document.becomes('hidden');
  await pass(300_000);
  assert.equal(sync.state, 'paused');
});

test('reconnects at once on request', async () => {
  const { sync, heard } = await connected();
  sync.reconnect();
  await settle();
  assert.ok(sockets[0].closed);
  socket().accept(9);
  assert.deepEqual(names(heard), ['connected', 'disconnected', 'connected']);
  assert.equal(sync.session, 9);
  await pass(1_000);
  assert.equal(sockets.length, 2);
});

test('lets a disconnected listener close or reconnect', async () => {
  const check = async (begin, does, states, told) => {
    const { sync, heard } = await connected();
    const before = sockets.length;
    sync.addEventListener('disconnected', () => does(sync), { once: true });
    begin(sync);
    await settle();
    assert.deepEqual([sync.state, sockets.length - before], states);
    assert.deepEqual(names(heard), ['connected', 'disconnected', ...told]);
    await pass(100_000);
    if (sync.state === 'closed') assert.equal(sockets.length - before, 0);
    sync.close();
  };
  const breaks = () => socket().breaks();
  await check(breaks, () => {}, ['waiting', 0], ['retrying']);
  await check(breaks, (sync) => sync.close(), ['closed', 0], []);
  await check(breaks, (sync) => sync.reconnect(), ['connecting', 1], []);
  await check((sync) => sync.reconnect(), (sync) => sync.close(), ['closed', 0], []);
  await check((sync) => sync.reconnect(), (sync) => sync.reconnect(), ['connecting', 1], []);
  await check((sync) => sync.close(), (sync) => sync.reconnect(), ['connecting', 1], []);
});

test('sends one ticket after two reconnect calls', async () => {
  let tickets = 0;
  const { sync } = await connected({ ticket: () => `${++tickets}` });
  sync.reconnect();
  sync.reconnect();
  await settle();
  assert.deepEqual([tickets, sockets.length], [2, 2]);
});

test('pauses a hidden page again after reconnect', async () => {
  const { sync } = await connected({ pauseAfter: 1_000 });
  document.becomes('hidden');
  for (let time = 0; time < 2; time++) {
    await pass(1_000);
    assert.equal(sync.state, 'paused');
    sync.reconnect();
    await settle();
    socket().accept();
    assert.equal(sync.state, 'connected');
  }
});
