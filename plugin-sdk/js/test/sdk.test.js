//! Tests of the SDK in Node, with the test double.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { Event, Refusal, allow, broadcast, deliver, deny, drop, handler, log, now, plugin, reject, sessions, store, topics } from '../src/index.js';
import { parse, stringify } from '../src/json.js';
import { Harness } from '../src/testing.js';
import * as utf8 from '../src/utf8.js';

function site(options, args) {
  const made = new Harness(plugin({ name: 't', version: '1', handlers: [handler('t', options)] }));
  made.route('t/{id}', 't', args);
  return made;
}

const uri = (expected) => (error) => error instanceof Refusal && error.uri === expected;

test('integers beyond 2^53 are exact', () => {
  const text = '{"a":[9007199254740993,-12345678901234567890,1.5,1e21,"12345678901234567890\\"\\\\",true,null,{}],"b":[]}';
  const value = parse(text);
  assert.deepEqual(value.a.slice(0, 4), [9007199254740993n, -12345678901234567890n, 1.5, 1e21]);
  assert.equal(value.a[4], '12345678901234567890"\\');
  assert.deepEqual(parse(stringify(value)), value);
  assert.equal(stringify({ a: 1n, b: undefined, c: [undefined, 'x'], d: new Date(0) }), '{"a":1,"c":[null,"x"],"d":"1970-01-01T00:00:00.000Z"}');
  assert.deepEqual(parse('[ 1234567890123456 , {"__proto__": 99999999999999999} ]')[1]['__proto__'], 99999999999999999n);
  const circle = [1n];
  circle.push(circle);
  assert.throws(() => stringify(circle), /contains itself/);
  assert.throws(() => stringify(undefined), TypeError);
  assert.throws(() => parse('[12345678901234567890'), SyntaxError);
});

test('UTF-8 is that of the engine', () => {
  for (const text of ['', 'a', 'grüß', '😀 \u0000', 'x'.repeat(10_000), '\ud800x']) {
    assert.deepEqual(utf8.encode(text), new TextEncoder().encode(text));
  }
  const bytes = [[0xff], [0xc3], [0xe2, 0x82], [0xe2, 0x82, 0x41], [0xf0, 0x9f, 0x98], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0x41, 0xf4, 0x90, 0x80, 0x80], [0xef, 0xbb, 0xbf, 0x41], [0xe0, 0x80, 0x41], [0xf8, 0x88, 0x42]];
  for (const one of bytes.map((list) => Uint8Array.from(list))) {
    assert.equal(new utf8.TextDecoder().decode(one), new TextDecoder().decode(one));
  }
  assert.throws(() => new utf8.TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.of(0xff)), TypeError);
  assert.throws(() => new utf8.TextDecoder('latin1'), RangeError);
});

test('verdicts decide about delivery', () => {
  const ids = [];
  const verdicts = {
    broadcast,
    deliver: () => deliver(new Event('other')),
    exclude: () => broadcast().exclude([ids[0]]),
    eligible: () => deliver(new Event('some')).eligible(ids).eligible([ids[1]]),
    drop,
    reject: () => reject('No.'),
  };
  const made = site({ onPublish: (request) => verdicts[request.attribute('id')]() });
  ids.push(made.join({ authid: 'a' }), made.join({ authid: 'b' }));
  const publisher = made.join();
  const received = (kind) => {
    for (const id of [...ids, publisher]) made.subscribe(id, `t/${kind}`);
    made.publish(publisher, `t/${kind}`, new Event('it'));
    return [...ids, publisher].map((id) => made.received(id).map(({ args }) => args[0]));
  };
  assert.deepEqual(received('broadcast'), [['it'], ['it'], []]);
  assert.deepEqual(received('deliver'), [['other'], ['other'], []]);
  assert.deepEqual(received('exclude'), [[], ['it'], []]);
  assert.deepEqual(received('eligible'), [[], ['some'], []]);
  assert.deepEqual(received('drop'), [[], [], []]);
  assert.throws(() => received('reject'), uri('wamp.error.not_authorized'));
});

test('refusals reach the client, and everything else is a fault', () => {
  const made = site({
    onSubscribe: (request) => (request.caller().hasRole('member') ? allow() : deny('Members only.')),
    onPublish: () => undefined,
    onCall(request, event) {
      store.set('written', 1);
      if (event.args[0] === 'refuse') throw new Refusal('acme.error.no', 'No.');
      if (event.args[0] === 'promise') return Promise.resolve();
      return null.x;
    },
    onTimer: (request) => void request.caller(),
  });
  const ann = made.join({ authid: 'ann', roles: ['member'] });
  made.subscribe(ann, 't/1');
  assert.throws(() => made.subscribe(made.join(), 't/1'), uri('wamp.error.not_authorized'));
  assert.throws(() => made.publish(ann, 't/1', new Event(1)), /has to return broadcast\(\)/);
  assert.throws(() => made.call(ann, 't/1', new Event('fault')), TypeError);
  assert.equal(made.stored('written'), undefined);
  assert.throws(() => made.call(ann, 't/1', new Event('promise')), /asynchronous/);
  assert.throws(() => made.call(ann, 't/1', new Event('refuse')), uri('acme.error.no'));
  assert.equal(made.stored('written'), 1);
  made.timer('t/1');
  assert.match(made.logged()[0].message, /onTimer: wamp\.error\.not_authorized/);
});

test('events are read with types', () => {
  const made = site({
    onCall: (request, event) => Event.of([event.single('string'), request.attribute('id', Number)], { a: 1 }),
  });
  const ann = made.join();
  assert.deepEqual(made.call(ann, 't/7', new Event('x')).args, ['x', 7]);
  assert.throws(() => made.call(ann, 't/x', new Event('x')), uri('wamp.error.invalid_argument'));
  assert.throws(() => made.call(ann, 't/7', new Event(7)), uri('wamp.error.invalid_argument'));
  assert.throws(() => made.call(ann, 't/7', Event.of(['x', 'y'])), uri('wamp.error.invalid_argument'));
  assert.throws(() => Event.of('x'), TypeError);
  assert.throws(() => new Event(), TypeError);
});

test('the store has typed values that expire', () => {
  const made = site({
    onCall() {
      store.set('a', { b: [1] }, { ttl: 1000 });
      store.update('list', (list = []) => [...list, 'ü']);
      const counts = [store.increment('n', 5), store.increment('n', -2), store.countWithin('c', 1000)];
      const keys = store.entries('', 10).map(([key]) => key);
      return Event.of([store.get('a'), counts, keys, store.delete('zzz'), now().getTime()]);
    },
  });
  const ann = made.join();
  const start = Date.UTC(2026, 0, 1);
  assert.deepEqual(made.call(ann, 't/1').args, [{ b: [1] }, [5, 3, 1], ['a', 'c', 'list', 'n'], false, start]);
  assert.equal(made.call(ann, 't/1').args[1][2], 2);
  made.advance(1000);
  assert.equal(made.stored('a'), undefined);
  assert.deepEqual(made.call(ann, 't/1').args.slice(1, 2), [[11, 9, 1]]);
  assert.deepEqual(made.stored('list'), ['ü', 'ü', 'ü']);
  made.setStoreFull(true);
  assert.throws(() => made.call(ann, 't/1'), uri('wamp.error.runtime_error'));
});

test('effects take place after the hook, in order', () => {
  const made = site({
    onSubscribe(request) {
      sessions.send(request.caller().id, request.topic, new Event('welcome'));
      return allow();
    },
    onUnsubscribe: (request) => topics.publish(request.topic, new Event(`left, ${request.subscribers} here`)),
    onPublish(request) {
      sessions.close(request.caller().id, 'acme.error.out', 'Out.');
      log.info('closed', { id: 1 });
      return drop();
    },
  });
  const [ann, bob] = [made.join({ authid: 'ann' }), made.join({ authid: 'bob' })];
  made.subscribe(ann, 't/1');
  made.subscribe(bob, 't/1');
  made.publish(bob, 't/1', new Event(1));
  assert.deepEqual(made.closed(bob), { reason: 'acme.error.out', message: 'Out.' });
  assert.deepEqual(made.received(ann).map(({ args }) => args[0]), ['welcome', 'left, 1 here']);
  assert.deepEqual(made.logged(), [{ level: 'info', message: 'closed {"id":1}' }]);
});

test('settings are the state, and stateless handlers get a new one for each call', () => {
  const options = {
    configure({ args }) {
      if (!(args?.most > 0)) throw new Error('most has to be 1 or more');
      return { most: args.most, calls: 0 };
    },
    onCall: (request) => new Event([request.state.most, (request.state.calls += 1)]),
  };
  const last = (stateless) => {
    const made = site({ ...options, stateless }, { most: 3 });
    const ann = made.join();
    made.call(ann, 't/1');
    return made.call(ann, 't/1').single();
  };
  assert.deepEqual(last(false), [3, 2]);
  assert.deepEqual(last(true), [3, 1]);
  assert.throws(() => site(options, { most: 0 }), /1 or more/);
});

test('mistakes of the author are errors with a name', () => {
  assert.throws(() => handler('t', { onpublish() {} }), /unknown option `onpublish`/);
  assert.throws(() => handler('t', { onPublish: 1 }), /has to be a function/);
  assert.throws(() => plugin({ name: 't', version: '1', handlers: [handler('t'), handler('t')] }), /two handlers/);
  assert.throws(() => store.get('x'), /when the component is built/);
  let kept;
  const made = site({ onCall: (request) => ((kept = request), Event.empty()) });
  made.call(made.join(), 't/1');
  assert.throws(() => kept.topic, /during its hook only/);
  const wrong = [() => topics.publish('t', 'text'), () => sessions.close(1n, 'a', 'b'), () => store.set(7, 1), () => store.set('a', 1, { ttl: '5' }), () => store.increment('a', 1.5), () => deliver('x'), () => store.setBytes('a', 'x'), () => topics.count('\ud800')];
  for (const one of wrong) {
    const failing = site({ onCall: () => (one(), Event.empty()) });
    assert.throws(() => failing.call(failing.join(), 't/1'), TypeError);
  }
});

test('the contract of the package is that of the server', async () => {
  const read = (path) => readFile(new URL(path, import.meta.url), 'utf8');
  assert.equal(await read('../src/plugin.wit'), await read('../../wit/0.2/plugin.wit'));
});
