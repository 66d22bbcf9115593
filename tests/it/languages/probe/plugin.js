// Shows the sandbox to a test, and grows with each call.

import { Event, Refusal, broadcast, handler, log, now, plugin, store } from 'jackfield-plugin';

const kept = [];

const COMMANDS = {
  /** Counts its calls in the store and in memory. */
  grow(size) {
    kept.push('x'.repeat(size));
    return [store.increment('calls'), kept.length];
  },
  random: () => [Math.random(), Math.random(), crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(300))]],
  echo: (...values) => values,
  types: (...values) => values.map((value) => typeof value),
  clock: () => [now().getTime()],
  text(text) {
    const bytes = new TextEncoder().encode(text);
    store.setBytes('text', bytes);
    return [new TextDecoder().decode(store.getBytes('text')), bytes.length];
  },
  stored(key) {
    store.set(key, { big: 9007199254740993n });
    return [store.get(key).big, store.entries(key, 10).length, store.delete(key), store.get(key) ?? null];
  },
  full: () => [store.set('x'.repeat(2000), 1)],
  sum: () => [store.set('number', 'x'), store.increment('number')],
  exact: () => [store.set('number', Number.MAX_SAFE_INTEGER), store.increment('number')],
  log: () => [console.log('from the console', { a: 1 }, '\ud800'), log.warn('from the log')],
  refuse() {
    throw new Refusal('acme.error.refused', 'Refused.');
  },
  fail() {
    store.set('failed', true);
    return [undefined.missing];
  },
  failed: () => [store.get('failed') ?? null],
  wrong: () => [store.increment('calls', '1')],
};

export default plugin({
  name: 'probe-js',
  version: '1.0.0',
  schema: 7,
  handlers: [
    handler('probe', {
      stateless: true,
      configure({ args }) {
        if (args?.refused) throw new Error('handler.args: refused by the plugin');
        return args;
      },
      onPublish: () => broadcast().eligible([]),
      onCall: (request, event) => Event.of(COMMANDS[request.attribute('command')](...event.args)),
    }),
  ],
});
