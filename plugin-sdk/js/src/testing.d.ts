/**
 * A test double of the server. It drives a plugin in Node, without building a component:
 *
 * ```js
 * import assert from 'node:assert/strict';
 * import { test } from 'node:test';
 * import { Event } from 'jackfield-plugin';
 * import { Harness } from 'jackfield-plugin/testing';
 * import plugin from '../plugin.js';
 *
 * test('publishes texts in capitals', () => {
 *   const site = new Harness(plugin);
 *   site.route('acme/shout/{room}', 'acme.shout');
 *   const ann = site.join({ authid: 'ann' });
 *   site.subscribe(ann, 'acme/shout/kitchen');
 *   site.publish(site.join(), 'acme/shout/kitchen', new Event('hello'));
 *   assert.deepEqual(site.received(ann), [{ topic: 'acme/shout/kitchen', args: ['HELLO'], kwargs: {} }]);
 * });
 * ```
 *
 * It ignores `requirements`, has no limits of time and memory, and keeps variables of modules.
 * `jackfield test` runs the component in the real sandbox.
 */
import type { Event, HttpError, Later, Plugin, Refusal, SessionId, http } from './index.js';

/** A user who joins. Without `authid`, an anonymous one. */
export interface User {
  authid?: string;
  roles?: string[];
  authmethod?: string;
  claims?: object;
}

/** An event that a session has received. */
export interface Received {
  topic: string;
  args: any[];
  kwargs: { [name: string]: any };
}

/** A request that a hook has sent. */
export interface SentRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
  /** In milliseconds; `undefined` is the operator's limit. */
  readonly timeout: number | undefined;
  /** The topic of the hook. */
  readonly topic: string;
  /** The context, as the text of a JSON value. */
  readonly context: string;
  /** The value of the first header of this name. */
  header(name: string): string | undefined;
  /** The body as text. */
  text(): string;
  /** The body, parsed. */
  json(): any;
}

/** A call that a hook has made. */
export interface MadeCall {
  readonly procedure: string;
  readonly event: Event;
  /** In milliseconds; `undefined` is the operator's limit. */
  readonly timeout: number | undefined;
  /** The topic of the hook. */
  readonly topic: string;
  /** The context, as the text of a JSON value. */
  readonly context: string;
}

/** A server for one plugin. A refusal of the plugin is thrown as a `Refusal`. */
export class Harness {
  /**
   * `imports` is the list of the bundle. By default it is that of the package.json above the test's
   * file or the current folder, as in a build; everything is imported if there is no bundle. A
   * function of another interface throws an `Error` with the line to write.
   */
  constructor(plugin: Plugin, options?: { imports?: readonly string[] });
  /** Adds a route, with its channel as its name. Throws what `configure` throws. */
  route(channel: string, handler: string, args?: unknown): void;
  /** Opens a session. */
  join(user?: User): SessionId;
  /** Ends the session and its subscriptions. */
  leave(session: SessionId): void;
  subscribe(session: SessionId, topic: string): void;
  unsubscribe(session: SessionId, topic: string): void;
  /** Publishes to all subscribers except the publisher. `null` publishes as the server. */
  publish(session: SessionId | null, topic: string, event: Event): void;
  /** Calls the topic as a procedure. */
  call(session: SessionId, topic: string, event?: Event): Event;
  /** Calls the topic as a procedure whose handler defers the result. */
  callLater(session: SessionId, topic: string, event?: Event): Later;
  /** Takes the result of a deferred call, if the plugin has completed it. */
  completed(later: Later): Event | Refusal | undefined;
  /** Takes the requests that hooks have sent since the last call. In a test, all are allowed. */
  requests(): SentRequest[];
  /** Answers a request. */
  respond(sent: SentRequest, answer: http.Response | HttpError): void;
  /** Sets the function that answers requests that `onSubscribe` waits for. */
  answerFetches(answer: (request: SentRequest) => http.Response | HttpError): void;
  /** Takes the calls that hooks have made since the last call. In a test, all are allowed. */
  calls(): MadeCall[];
  /** Gives the result of a call. */
  giveResult(made: MadeCall, result: Event | Refusal): void;
  /** Runs the timer hook of the topic once. */
  timer(topic: string): void;
  /** Moves the clock of `now()` and of the store. It starts at 1 January 2026, 00:00 UTC. */
  advance(milliseconds: number): void;
  /** Takes the events that the session has received since the last call. */
  received(session: SessionId): Received[];
  isSubscribed(session: SessionId, topic: string): boolean;
  /** Reason and message, if the plugin ended the session. */
  closed(session: SessionId): { reason: string; message: string } | undefined;
  /** The value of a key in the plugin's store. */
  stored(key: string): any;
  /** Takes the lines that the plugin has logged since the last call. */
  logged(): { level: string; message: string }[];
  /** Makes the store refuse writes, or accept them again. */
  setStoreFull(full: boolean): void;
}
