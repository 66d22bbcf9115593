//! Publications to topics, and their subscribers.

import * as check from './check.js';
import { Event } from './event.js';
import { part } from './host.js';

export function publish(topic, event, { exclude = [], eligible } = {}) {
  const receivers = eligible === undefined ? undefined : check.sessions(eligible);
  part('topics').publish(check.text(topic, 'the topic'), payload(event), check.sessions(exclude), receivers);
}

export function subscribers(topic) {
  return part('topics').subscribers(check.text(topic, 'the topic'));
}

export function count(topic) {
  return part('topics').count(check.text(topic, 'the topic'));
}

/** The record of an event. */
export function payload(event) {
  if (event instanceof Event) return event.read();
  throw new TypeError(`expected an Event, not ${check.describe(event)}`);
}
