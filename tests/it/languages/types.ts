// A plugin in TypeScript, which the compiler has to accept, and mistakes that it has to refuse.

import {
  Event,
  Refusal,
  allow,
  broadcast,
  deliver,
  deny,
  drop,
  handler,
  log,
  now,
  plugin,
  reject,
  sessions,
  store,
  topics,
} from 'jackfield-plugin';
import { Harness } from 'jackfield-plugin/testing';

interface Settings {
  most: number;
}

const texts = handler<Settings>('texts', {
  stateless: true,
  every: 10,
  configure: (route) => ({ most: route.args.most }),
  onSubscribe: (request) => (request.session?.hasRole('member') ? allow() : deny('Members only.')),
  onUnsubscribe(request) {
    topics.publish(request.topic, new Event(request.subscribers), { exclude: [1] });
  },
  onPublish(request, event) {
    const text: string = event.single('string');
    if (text.length > request.state.most) return reject('Too long.');
    if (text === '') return drop();
    if (text === 'x') return deliver(Event.of([text], { at: now().getTime() }));
    return broadcast().exclude([request.caller().id]).eligible(topics.subscribers('other'));
  },
  onCall(request) {
    const id: number = request.attribute('id', Number);
    store.set('last', id, { ttl: 5 });
    store.delete('last');
    const list: number[] | undefined = store.update<number[]>('list', (old = []) => [...old, id]);
    if (list === undefined) throw new Refusal('acme.error.none', 'None.');
    return Event.empty();
  },
  onTimer() {
    sessions.close(1, 'acme.error.over', 'Over.');
    log.info('closed', 1);
  },
});

const site = new Harness(plugin({ name: 'texts', version: '1', schema: 2, handlers: [texts] }));
site.route('texts/{id}', 'texts', { most: 3 });
site.call(site.join({ authid: 'ann' }), 'texts/1').args.length;

// @ts-expect-error: a mistyped hook
handler('texts', { onpublish: () => broadcast() });
// @ts-expect-error: a verdict of another hook
handler('texts', { onPublish: () => allow() });
// @ts-expect-error: a forgotten return
handler('texts', { onCall() {} });
