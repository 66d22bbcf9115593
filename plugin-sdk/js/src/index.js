//! SDK for topic handlers of Jackfield in JavaScript. Types and documentation: index.d.ts.

export * as calls from './calls.js';
export { Event } from './event.js';
export { now } from './host.js';
export * as http from './http.js';
export { Later } from './later.js';
export * as log from './log.js';
export { handler, plugin } from './plugin.js';
export { HttpError, Refusal, StoreError } from './refusal.js';
export * as sessions from './sessions.js';
export * as store from './store.js';
export * as topics from './topics.js';
export { allow, broadcast, deliver, deny, drop, reject } from './verdict.js';
