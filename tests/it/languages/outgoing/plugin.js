// Sends requests and makes calls as events say, and publishes the answers with their contexts.

import { Event, HttpError, Later, allow, calls, deny, drop, handler, http, plugin, reject, topics } from 'jackfield-plugin';

export default plugin({
  name: 'outgoing',
  version: '1.0.0',
  handlers: [
    handler('outgoing', {
      onPublish(request, event) {
        const { url, procedure, ...options } = event.single('object');
        if (url !== undefined) {
          try {
            http.send({ url, ...options }, { 'ü': url });
          } catch (error) {
            if (!(error instanceof HttpError)) throw error;
            topics.publish(request.topic, new Event(['refused', error.code, error.message]));
          }
        } else {
          calls.call(procedure, Event.of([procedure], { big: 9007199254740993n }), [procedure], options);
        }
        return drop();
      },
      onCall(request, event) {
        if (event.args.length === 0) return new Event('at once');
        const later = Later.begin();
        http.send(event.single('string'), { later });
        return later;
      },
      onResponse(request, answer, context) {
        if (context.later !== undefined) {
          new Later(context.later).complete(answer.error ?? new Event(answer.response().json()));
          return;
        }
        const found = answer.response();
        const value = [context, found.status, found.ok, found.header('X-Kind') ?? null, found.text()];
        topics.publish(request.topic, new Event(value));
      },
      onResult(request, answer, context) {
        const { error } = answer;
        const value = error === undefined ? answer.result().args : [error.uri, error.message];
        topics.publish(request.topic, new Event([context, value]));
      },
    }),
    handler('guarded', {
      onSubscribe(request) {
        const answer = http.fetch(`${request.state.url}/${request.attribute('name')}`);
        return answer.ok ? allow() : deny(answer.text());
      },
      onPublish(request) {
        return reject(http.fetch(request.state.url).text());
      },
    }),
  ],
});
