// A plugin in TypeScript, which the compiler has to accept, and mistakes that it has to refuse.

import {
  Event,
  HttpError,
  Later,
  Refusal,
  allow,
  broadcast,
  calls,
  deliver,
  deny,
  drop,
  handler,
  http,
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

const outgoing = handler('outgoing', {
  onCall(request, event) {
    if (event.args.length === 0) return Event.empty();
    const later = Later.begin();
    http.send({ url: event.single('string'), method: 'PUT', json: [1], headers: { a: 'b' }, timeout: 5 }, { later });
    http.send('https://example.com/');
    calls.call('acme.b', event, later.id, { timeout: 5 });
    return later;
  },
  onSubscribe: (request) => (http.fetch('https://example.com/').ok ? allow() : deny('No.')),
  onResponse(request, answer, context: { later: number }) {
    const code: string | undefined = answer.error?.code;
    const later = new Later(context.later);
    if (code === 'timeout') later.complete(new HttpError('timeout'));
    else if (answer.response().ok) later.complete(new Event(answer.response().json()));
  },
  onResult(request, answer, context) {
    log.info(answer.error?.uri, answer.result().args, context);
  },
});

const site = new Harness(plugin({ name: 'texts', version: '1', schema: 2, handlers: [texts, outgoing] }));
site.route('texts/{id}', 'texts', { most: 3 });
site.call(site.join({ authid: 'ann' }), 'texts/1').args.length;

const later = site.callLater(1, 'outgoing', new Event('https://example.com/'));
site.respond(site.requests()[0], new http.Response(200, 'x'));
site.giveResult(site.calls()[0], new Refusal('acme.error.no', 'No.'));
site.answerFetches(({ url }) => new http.Response(url === '' ? 404 : 200));
const completed: Event | Refusal | undefined = site.completed(later);

// @ts-expect-error: a method that the server does not send
() => http.send({ url: 'https://example.com/', method: 'TRACE' });
// @ts-expect-error: a mistyped hook
handler('texts', { onpublish: () => broadcast() });
// @ts-expect-error: a verdict of another hook
handler('texts', { onPublish: () => allow() });
// @ts-expect-error: a forgotten return
handler('texts', { onCall() {} });
