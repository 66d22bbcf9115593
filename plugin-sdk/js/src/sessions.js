//! Actions on single sessions. They take effect when the hook has returned.

import * as check from './check.js';
import { part } from './host.js';
import { payload } from './topics.js';

export function send(session, topic, event) {
  part('sessions').send(check.session(session), check.text(topic, 'the topic'), payload(event));
}

export function unsubscribe(session, topic) {
  part('sessions').unsubscribe(check.session(session), check.text(topic, 'the topic'));
}

export function close(session, reason, message) {
  part('sessions').close(check.session(session), check.text(reason, 'the reason'), check.text(message, 'the message'));
}
