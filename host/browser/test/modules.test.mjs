// Tests of the optional modules, with a fake connection.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ContentManager, contentTag } from '../content.js';
import { maintenanceNotice } from '../maintenance.js';
import { keepRelevant, stopTracking } from '../model.js';

class Bus extends EventTarget {
  state = 'connecting';
  handlers = [];
  published = [];

  subscribe(topic, handler) {
    this.handlers.push([topic, handler]);
    return { topic, unsubscribe: () => this.unsubscribe(topic, handler) };
  }

  unsubscribe(topic, handler) {
    this.handlers = this.handlers.filter(([itsTopic, it]) => itsTopic !== topic || it !== handler);
  }

  async publish(...rest) { this.published.push(rest); }

  says(topic, value, event = {}) {
    for (const [itsTopic, handler] of this.handlers) if (itsTopic === topic) handler(value, event);
  }

  get topics() { return this.handlers.map(([topic]) => topic); }
}

const change = (username, tagname) => ({ username, tagname });

test('reports changes by other users once per page', () => {
  const bus = new Bus();
  const told = [];
  const content = new ContentManager(bus, { user: 'ann', notify: (text) => told.push(text) });
  const page = content.open({ title: '$& Order 7', tags: ['Order_7', 'Order_type_collection'] });
  bus.says('oro/data/update', [change('ben', 'Order_8')]);
  assert.deepEqual([told, page.isOutdated], [[], false]);
  bus.says('oro/data/update', [change('ben', 'Order_7'), change('ben', 'Order_type_collection')]);
  bus.says('oro/data/update', [change(null, 'Order_7')]);
  assert.deepEqual(told, ['Content of $& Order 7 page is outdated, please refresh']);
  page.refreshed();
  bus.says('oro/data/update', [change(null, 'Order_7')]);
  assert.deepEqual([told.length, page.isOutdated], [2, true]);
  page.refreshed();
  page.close();
  bus.says('oro/data/update', [change('ben', 'Order_7')]);
  assert.equal(told.length, 2);
  content.close();
  assert.deepEqual(bus.topics, []);
});

test('ignores repeated events in pages and models', () => {
  const bus = new Bus();
  const told = [];
  new ContentManager(bus, { notify: (text) => told.push(text) }).open({ tags: ['Order_7'] });
  bus.says('oro/data/update', [change('eve', 'Order_7')], { repeated: true });
  assert.deepEqual(told, []);
  const model = { url: 'orders/7', total: 1 };
  keepRelevant(bus, model);
  bus.says('orders/7', { total: 2 }, { repeated: true });
  assert.equal(model.total, 1);
});

test('does not report own changes', () => {
  const bus = new Bus();
  const content = new ContentManager(bus, { user: 'ann', notify: assert.fail });
  const own = [];
  const page = content.open({ tags: ['a'], own: (_page, changes) => own.push(changes) });
  bus.says('oro/data/update', [change('ann', 'a'), change('ben', 'b')]);
  assert.deepEqual([own, page.isOutdated], [[[change('ann', 'a')]], false]);
  // A user without a name has no own changes.
  const told = [];
  const elsewhere = new Bus();
  const anybody = new ContentManager(elsewhere, { notify: (text) => told.push(text), message: 'old: {{title}}, {{title}}' });
  anybody.open({ title: 'T', tags: ['a'] });
  elsewhere.says('oro/data/update', [change(null, 'a')]);
  assert.deepEqual(told, ['old: T, T']);
});

test('calls the callback of a page instead of the default one', () => {
  const bus = new Bus();
  const content = new ContentManager(bus, { notify: assert.fail, topic: 'changes' });
  const told = [];
  const page = content.open({ tags: ['a'], outdated: (_text, which, changes) => told.push([which, changes]) });
  for (const nonsense of [null, 'a', {}, [null], [7], [{}]]) bus.says('changes', nonsense);
  assert.deepEqual(told, []);
  bus.says('changes', [change('ben', 'a')]);
  assert.deepEqual(told, [[page, [change('ben', 'a')]]]);
});

test('reports own changes and those of others separately', () => {
  const bus = new Bus();
  const told = [];
  const content = new ContentManager(bus, { user: 'ann' });
  content.open({
    tags: new Set(['a']),
    own: (_page, changes) => told.push(['own', changes]),
    outdated: (_text, _page, changes) => told.push(['outdated', changes]),
  });
  bus.says('oro/data/update', [change('ann', 'a'), change('ben', 'a')]);
  assert.deepEqual(told, [['own', [change('ann', 'a')]], ['outdated', [change('ben', 'a')]]]);
  // The page is outdated already, but may have further own changes.
  bus.says('oro/data/update', [change('ben', 'a'), change('ann', 'a')]);
  assert.deepEqual(told.slice(2), [['own', [change('ann', 'a')]]]);
});

test('notifies other pages after a callback throws', () => {
  const bus = new Bus();
  const [errors, told] = [[], []];
  const content = new ContentManager(bus, { user: 'ann' });
  const fails = () => { throw new Error('mine'); };
  content.open({ tags: ['a'], outdated: fails, own: fails });
  content.open({ tags: ['a'], outdated: () => told.push('outdated'), own: () => told.push('own') });
  globalThis.reportError = (error) => errors.push(error.message);
  bus.says('oro/data/update', [change('ben', 'a'), change('ann', 'a')]);
  delete globalThis.reportError;
  assert.deepEqual([errors, told], [['mine', 'mine'], ['own', 'outdated']]);
});

test('treats null and undefined options as absent', () => {
  const bus = new Bus();
  const told = [];
  const content = new ContentManager(bus, {
    user: undefined, topic: undefined, message: undefined, notify: (text) => told.push(text),
  });
  content.open({ title: 'T', tags: ['a'] });
  bus.says('oro/data/update', [change(null, 'a')]);
  assert.deepEqual(told, ['Content of T page is outdated, please refresh']);
});

test('publishes changes with their author', async () => {
  const bus = new Bus();
  await new ContentManager(bus, { user: 'ann' }).publish('a', 'b');
  assert.deepEqual(bus.published, [
    ['oro/data/update', [change('ann', 'a'), change('ann', 'b')], { excludeMe: false }],
  ]);
});

test('formats tags as OroPlatform does', () => {
  const check = (values, expect) => assert.equal(contentTag(...values), expect);
  check(['Oro\\Bundle\\UserBundle\\Entity\\User', 7], 'Oro_Bundle_UserBundle_Entity_User_7');
  check(['\\Oro\\Bundle\\UserBundle\\Entity\\User'], 'Oro_Bundle_UserBundle_Entity_User_type_collection');
  check(['A1B', 1, 'x'], 'A_B_1_x');
});

test('shows the maintenance notice to all users except its author', async () => {
  const bus = new Bus();
  const shown = [];
  const notice = (options) => maintenanceNotice(bus, {
    show: ({ userId }) => shown.push(`on ${userId}`), hide: () => shown.push('off'), ...options,
  });
  const check = (state, ...expect) => {
    bus.says('oro/maintenance', state);
    assert.deepEqual(shown.splice(0), expect);
  };
  const stop = notice({ user: 8 });
  check({ isOn: false, userId: 7 });
  check({ isOn: true, userId: 7 }, 'on 7');
  check({ isOn: true, userId: 7 });
  check({ isOn: false, userId: null }, 'off');
  check({ isOn: true, userId: 8 });
  check({ isOn: true, userId: '8' });
  check({ isOn: true, userId: null }, 'on null');
  check('nonsense', 'off');
  check({ isOn: true, userId: null }, 'on null');
  stop();
  assert.deepEqual([shown.splice(0), bus.topics], [['off'], []]);

  notice({ topic: 'm', user: null, current: async () => ({ isOn: true, userId: 1 }) });
  bus.dispatchEvent(new Event('connected'));
  await new Promise(setImmediate);
  assert.deepEqual(shown.splice(0), ['on 1']);
});

test('shows anonymous maintenance to anonymous pages', () => {
  for (const user of ['', null, undefined]) {
    for (const userId of ['', null, undefined, 7]) {
      const bus = new Bus();
      let shown = 0;
      maintenanceNotice(bus, { user, show: () => shown++ });
      bus.says('oro/maintenance', { isOn: true, userId });
      assert.equal(shown, 1, `${user} and ${userId}`);
    }
  }
});

test('fetches the maintenance state on connect, and prefers newer events', async () => {
  const bus = new Bus();
  const told = [];
  const answers = [];
  const begin = () => maintenanceNotice(bus, {
    current: () => new Promise((resolve) => answers.push(resolve)),
    show: () => told.push('on'), hide: () => told.push('off'),
  });
  const answer = async (isOn) => {
    answers.shift()({ isOn, userId: null });
    await new Promise(setImmediate);
    return told.splice(0);
  };
  let stop = begin();
  assert.equal(answers.length, 0);
  bus.dispatchEvent(new Event('connected'));
  assert.deepEqual(await answer(true), ['on']);
  stop();
  assert.deepEqual(told.splice(0), ['off']);

  // The connection exists already.
  bus.state = 'connected';
  stop = begin();
  bus.says('oro/maintenance', { isOn: false, userId: null });
  assert.deepEqual(await answer(true), []);
  // Of two calls, the later one counts, in any order of their answers.
  bus.dispatchEvent(new Event('connected'));
  bus.dispatchEvent(new Event('connected'));
  const [first] = answers.splice(0, 1);
  assert.deepEqual(await answer(true), ['on']);
  first({ isOn: false, userId: null });
  await new Promise(setImmediate);
  assert.deepEqual(told, []);
  // After `stop`, no notice is shown.
  bus.dispatchEvent(new Event('connected'));
  stop();
  assert.deepEqual(told.splice(0), ['off']);
  assert.deepEqual(await answer(true), []);
});

test('applies events to attributes, and to no methods or prototypes', () => {
  const bus = new Bus();
  const check = (model, published, expect) => {
    const stop = keepRelevant(bus, model, { topic: 'm' });
    bus.says('m', JSON.parse(published));
    stop();
    assert.deepEqual(model, expect);
    assert.equal(Object.getPrototypeOf(model), Object.prototype);
  };
  check({ a: 1 }, '{"__proto__": {"admin": true}, "a": 2}', { a: 2 });
  check({ a: 1 }, '[1, 2]', { a: 1 });
  check({ url: 'm', a: 1 }, '{"url": "elsewhere", "a": 2}', { url: 'm', a: 2 });
  check({ a: 1 }, '{"toString": "x", "constructor": 1, "b": 3}', { a: 1, b: 3 });
  const attributes = {};
  // Like Backbone.
  const backbone = { url: 'n', set(values) { for (const name in values) attributes[name] = values[name]; } };
  keepRelevant(bus, backbone);
  bus.says('n', JSON.parse('{"__proto__": {"admin": true}, "set": 1, "a": 2}'));
  assert.deepEqual([attributes, attributes.admin, typeof backbone.set], [{ set: 1, a: 2 }, undefined, 'function']);
});

test('updates models from their topics', () => {
  const bus = new Bus();
  const backbone = { url: () => 'orders/7', attributes: {}, set(values) { Object.assign(this.attributes, values); } };
  const plain = { url: 'orders/8', total: 1 };
  const stop = keepRelevant(bus, backbone);
  keepRelevant(bus, plain);
  bus.says('orders/7', { total: 2 });
  bus.says('orders/8', { total: 3 });
  bus.says('orders/8', null);
  bus.says('orders/8', 'nonsense');
  assert.deepEqual([backbone.attributes, plain.total], [{ total: 2 }, 3]);
  stop();
  stopTracking(bus, plain);
  stopTracking(bus, plain);
  assert.deepEqual(bus.topics, []);

  // Another topic, another function, and only one of them at a time.
  const seen = [];
  keepRelevant(bus, plain, { topic: 'there' });
  const second = keepRelevant(bus, plain, { topic: 'here', apply: (model, values) => seen.push([model, values]) });
  assert.deepEqual(bus.topics, ['here']);
  bus.says('here', { total: 9 });
  assert.deepEqual([seen, plain.total], [[[plain, { total: 9 }]], 3]);
  second();
  assert.throws(() => keepRelevant(bus, {}), /`url`/);
});
