//! Tests of the SDK in Node, with the test double.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Event, HttpError, Later, Refusal, allow, broadcast, calls, deliver, deny, drop, handler, http, log, now, plugin, reject, sessions, store, topics } from '../src/index.js';
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

test('requests and calls are sent after the hook, and their answers come with the context', () => {
  const made = site({
    onPublish(request, event) {
      const [kind] = event.args;
      if (kind === 'get') http.send('https://a.example/', { to: request.topic });
      if (kind === 'json') http.send({ url: 'https://a.example/', json: { b: 1n }, headers: { 'X-A': 'ü' }, timeout: 5.2 });
      if (kind === 'call') calls.call('acme.b', event, 7, { timeout: 1000 });
      if (kind === 'fault') http.send('https://a.example/', undefined.missing);
      return drop();
    },
    onResponse(request, answer, context) {
      assert.equal(request.session, null);
      topics.publish(context.to, new Event([answer.response().status, answer.response().json()]));
    },
    onResult(request, answer, context) {
      topics.publish(request.topic, new Event([context, answer.error?.uri ?? answer.result().single()]));
    },
  });
  const ann = made.join();
  made.subscribe(ann, 't/1');
  const send = (kind) => made.publish(null, 't/1', new Event(kind));
  const received = () => made.received(ann).map(({ args }) => args[0]);

  send('get');
  const [get] = made.requests();
  assert.deepEqual([get.method, get.url, get.headers, get.text(), get.timeout], ['GET', 'https://a.example/', [], '', undefined]);
  assert.deepEqual(made.requests(), []);
  made.respond(get, new http.Response(404, '{"a":12345678901234567890}', { 'X-B': 'c' }));
  assert.deepEqual(received(), [[404, { a: 12345678901234567890n }]]);
  // An error that the hook does not catch is logged.
  for (const [answer, line] of [
    [new HttpError('timeout'), 'onResponse: wamp.error.runtime_error: the server did not answer in time'],
    [new HttpError('denied', 'no.'), 'onResponse: wamp.error.runtime_error: the request is denied: no.'],
    [new http.Response(200, 'x'), /onResponse: .*the answer is not JSON/],
  ]) {
    made.respond(get, answer);
    const [{ message }] = made.logged();
    if (line instanceof RegExp) assert.match(message, line);
    else assert.equal(message, line);
  }

  send('json');
  const [json] = made.requests();
  assert.deepEqual([json.method, json.timeout, json.json(), json.context], ['POST', 5, { b: 1 }, 'null']);
  assert.deepEqual([json.header('x-a'), json.header('Content-Type'), json.header('x')], ['ü', 'application/json', undefined]);

  send('call');
  const [call] = made.calls();
  assert.deepEqual([call.procedure, call.event.args, call.timeout, call.context], ['acme.b', ['call'], 1000, '7']);
  made.giveResult(call, new Event('done'));
  made.giveResult(call, new Refusal('acme.error.no', 'No.'));
  assert.deepEqual(received(), [[7, 'done'], [7, 'acme.error.no']]);

  assert.throws(() => send('fault'), TypeError);
  assert.deepEqual(made.requests(), [], 'the hook failed');
  assert.throws(() => made.respond(get, 'text'), TypeError);
});

test('a response has its parts', () => {
  const response = new http.Response(299, Uint8Array.of(0x61, 0xff), [['A', '1'], ['a', '2']]);
  assert.deepEqual([response.ok, response.text(), response.header('a'), response.headers.length], [true, 'a\ufffd', '1', 2]);
  assert.equal(new http.Response(300).ok, false);
});

test('only onSubscribe waits for an answer', () => {
  const ask = (request) => http.fetch({ url: `https://a.example/${request.caller().authid}`, timeout: 5 });
  const made = site({
    onSubscribe: (request) => (ask(request).ok ? allow() : deny('Not a member.')),
    onPublish: (request) => drop(ask(request)),
  });
  const [ann, bob] = [made.join({ authid: 'ann' }), made.join({ authid: 'bob' })];
  const refused = (code) => (error) => error instanceof HttpError && error.code === code;
  assert.throws(() => made.subscribe(ann, 't/1'), refused('unreachable'));
  made.answerFetches(({ url, method, timeout }) => {
    assert.deepEqual([method, timeout], ['GET', 5]);
    return new http.Response(url.endsWith('/ann') ? 200 : 404);
  });
  made.subscribe(ann, 't/1');
  assert.throws(() => made.subscribe(bob, 't/1'), uri('wamp.error.not_authorized'));
  assert.throws(() => made.publish(ann, 't/1', new Event(1)), refused('denied'));
  made.answerFetches(() => new HttpError('timeout'));
  assert.throws(() => made.subscribe(bob, 't/1'), refused('timeout'));
  assert.deepEqual(made.requests(), []);
});

test('a result can come later, once', () => {
  let kept;
  const made = site({
    onCall(request, event) {
      if (event.args[0] === 'old') return kept;
      if (event.args[0] === 'twice') return Later.begin() && Later.begin();
      kept = Later.begin();
      if (event.args[0] === 'fault') throw new Error('after the promise');
      if (event.args[0] === 'refuse') throw new Refusal('acme.error.no', 'No.');
      http.send('https://a.example/', { later: kept });
      return kept;
    },
    onPublish: () => drop(Later.begin()),
    onResponse(request, answer, context) {
      const waits = new Later(context.later).complete(answer.error ?? new Event(answer.response().text()));
      log.info(waits);
    },
  });
  const ann = made.join();
  const later = made.callLater(ann, 't/1');
  assert.equal(made.completed(later), undefined);
  const [sent] = made.requests();
  made.respond(sent, new http.Response(200, 'sunny'));
  made.respond(sent, new http.Response(200, 'again'));
  assert.equal(made.completed(later).single(), 'sunny');
  assert.equal(made.completed(later), undefined);
  assert.deepEqual(made.logged().map(({ message }) => message), ['true', 'false']);
  const failing = made.callLater(ann, 't/1');
  made.respond(made.requests()[0], new HttpError('broken', 'x'));
  assert.match(made.completed(failing).message, /the answer is broken: x/);

  assert.throws(() => made.callLater(ann, 't/1', new Event('refuse')), uri('acme.error.no'));
  assert.throws(() => made.call(ann, 't/1'), /is deferred: use callLater/);
  assert.throws(() => made.call(ann, 't/1', new Event('old')), /the Later of another call/);
  assert.throws(() => made.call(ann, 't/1', new Event('twice')), /deferred already/);
  assert.throws(() => made.publish(ann, 't/1', new Event(1)), /in onCall only/);
  assert.throws(() => made.callLater(ann, 't/1', new Event('fault')), /after the promise/);
  assert.throws(() => site({ onCall: () => Event.empty() }).callLater(1, 't/1'), /no session 1/);
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
  const answered = plugin({ name: 't', version: '1', handlers: [handler('t', { onResponse() {}, onResult() {} })] });
  answered.checkAnswers({ http: {}, calls: {} });
  assert.throws(
    () => answered.checkAnswers({ store: {}, http: {} }),
    /onResult is never called: `calls` is not among the imports of this plugin; write in package.json: "jackfield": \{ "imports": \["store", "http", "calls"\] \}$/,
  );
  let kept;
  const made = site({ onCall: (request) => ((kept = request), Event.empty()) });
  made.call(made.join(), 't/1');
  assert.throws(() => kept.topic, /during its hook only/);
  const wrong = [() => topics.publish('t', 'text'), () => sessions.close(1n, 'a', 'b'), () => store.set(7, 1), () => store.set('a', 1, { ttl: '5' }), () => store.increment('a', 1.5), () => deliver('x'), () => store.setBytes('a', 'x'), () => topics.count('\ud800'), () => http.send({ uri: 'x' }), () => http.send(7), () => http.send({ url: 'x', body: 1 }), () => http.send({ url: 'x', body: '', json: 1 }), () => http.send({ url: 'x', headers: { a: 1 } }), () => http.send('x', () => 1), () => calls.call('a', 'text'), () => new Later('1')];
  for (const one of wrong) {
    const failing = site({ onCall: () => (one(), Event.empty()) });
    assert.throws(() => failing.call(failing.join(), 't/1'), TypeError);
  }
});

test('the contract of the package is that of the server', async () => {
  const read = (path) => readFile(new URL(path, import.meta.url), 'utf8');
  assert.equal(await read('../src/plugin.wit'), await read('../../wit/0.2/plugin.wit'));
});

test('a bundle has the imports of its list alone', async () => {
  const { settings, testedImports } = await import('../src/bundle.js');
  const made = plugin({
    name: 't',
    version: '1',
    handlers: [handler('t', { onPublish: (request, event) => (http.send(event.single('string'), null), drop()) })],
  });
  const publish = (imports) => {
    const one = new Harness(made, { imports });
    one.route('t/{id}', 't');
    one.publish(one.join('ann'), 't/1', new Event('https://a.example'));
    return one.requests();
  };
  assert.equal(publish(undefined).length, 1, 'outside of a bundle everything is imported');
  assert.equal(publish(['http']).length, 1);
  const line = '`http` is not among the imports of this plugin; write in package.json: "jackfield": { "imports": ["store", "http"] }';
  assert.throws(() => publish(['store']), { message: line });
  assert.throws(() => publish(['sotre']), /imports has the unknown interface `sotre`/);
  assert.throws(() => publish('http'), /imports is no list/);
  const answered = plugin({ name: 't', version: '1', handlers: [handler('t', { onResponse() {} })] });
  assert.throws(() => new Harness(answered, { imports: ['store'] }), /onResponse is never called: `http` is not among/);

  // By default the list is that of the bundle, above other packages.
  const folder = await mkdtemp(join(tmpdir(), 'bundle-'));
  const script = process.argv[1];
  try {
    await mkdir(join(folder, 'tests/fixture'), { recursive: true });
    await writeFile(join(folder, 'tests/fixture/package.json'), '{"name":"other"}');
    process.argv[1] = join(folder, 'tests/fixture/a.test.js');
    const list = async (own) => {
      await writeFile(join(folder, 'package.json'), JSON.stringify(own));
      return testedImports();
    };
    assert.deepEqual(await list({ jackfield: { imports: ['store'] } }), ['store']);
    assert.throws(() => publish(undefined), { message: line });
    assert.deepEqual(await list({ jackfield: { imports: [] } }), []);
    const standard = ['topics', 'sessions', 'store', 'log', 'later'];
    assert.deepEqual(await list({ dependencies: { 'jackfield-plugin': '1' } }), standard);
    assert.deepEqual(settings(folder).imports, standard);
    assert.equal(await list({ name: 'other' }), undefined);
    await assert.rejects(list({ jackfield: { imports: 'store' } }), /package.json: jackfield.imports is no list/);
  } finally {
    process.argv[1] = script;
    await rm(folder, { recursive: true });
  }
});
