/**
 * SDK for topic handlers of Jackfield, a WAMP message broker.
 *
 * A handler decides about subscriptions to a topic and about events published to it. A plugin is a
 * set of handlers, the default export of the module that `main` in package.json names:
 *
 * ```js
 * import { Event, deliver, handler, plugin } from 'jackfield-plugin';
 *
 * export default plugin({
 *   name: 'acme-shout',
 *   version: '0.1.0',
 *   handlers: [
 *     handler('acme.shout', {
 *       summary: 'publishes texts in capitals',
 *       stateless: true,
 *       onPublish(request, event) {
 *         return deliver(new Event(event.single('string').toUpperCase()));
 *       },
 *     }),
 *   ],
 * });
 * ```
 *
 * A hook refuses by throwing a {@link Refusal}. Every other exception is a fault: what the hook did
 * is undone, and the next call gets a fresh instance. Hooks are not asynchronous.
 */

/** The id of a session, below 2^53. */
export type SessionId = number;

/** A value of JSON. Integers that a Number would round are BigInts. */
export type Json = null | boolean | number | bigint | string | Json[] | { [name: string]: Json };

/** Description of a plugin. */
export interface PluginOptions {
  /** Names the plugin's store, which its next version inherits. */
  name: string;
  version: string;
  /** The number of the layout of the plugin's store, 0 by default. */
  schema?: number;
  handlers: Handler[];
}

/** A plugin, made by {@link plugin}. */
export interface Plugin {
  readonly name: string;
  readonly version: string;
  readonly schema: number;
  readonly stateless: boolean;
  readonly handlers: readonly Handler[];
}

/** A handler, made by {@link handler}. */
export interface Handler {
  readonly name: string;
  readonly summary: string;
  /** The names of the registered hooks. */
  readonly hooks: readonly string[];
}

/** A route of a routing file that names a handler. */
export interface Route {
  readonly name: string;
  /** The channel pattern, `acme/chat/{room}`. */
  readonly channel: string;
  /** `handler.args` of the routing file; `null` if absent. */
  readonly args: any;
}

/** Description and hooks of a handler. A hook that is not registered is never called. */
export interface HandlerOptions<State = any> {
  /** One line for the operator. */
  summary?: string;
  /**
   * The handler keeps nothing in memory that it needs from one call to the next: the server may
   * replace its instance between two calls.
   */
  stateless?: boolean;
  /** The interval of `onTimer` in milliseconds, for routes without one. */
  every?: number;
  /**
   * Returns the state of a route, which is `request.state` in its hooks. An error refuses the route
   * and with it the reload; the operator sees its message. Without it, the state is `route.args`.
   */
  configure?(route: Route): State;
  /** Decides whether a session may subscribe. */
  onSubscribe?(request: Request<State>): SubscribeVerdict;
  /** Runs after a session has unsubscribed or left. */
  onUnsubscribe?(request: Request<State>): void;
  /** Decides about a published event. */
  onPublish?(request: Request<State>, event: Event): PublishVerdict;
  /** Answers a call of the topic as a procedure, or defers the result. */
  onCall?(request: Request<State>, event: Event): Event | Later;
  /** Runs at the interval for each topic with subscribers, or as the route says. */
  onTimer?(request: Request<State>): void;
  /**
   * Receives the answer to a request of {@link http}, with the context that the request carried.
   * `request` has the topic of the hook that sent it, and no session.
   */
  onResponse?(request: Request<State>, answer: HttpAnswer, context: any): void;
  /** Receives the result of a call of {@link calls}, with the context that the call carried. */
  onResult?(request: Request<State>, answer: CallAnswer, context: any): void;
}

/** Makes a plugin. */
export function plugin(options: PluginOptions): Plugin;

/** Makes a handler. Routes refer to the name in `handler.callback`. */
export function handler<State = any>(name: string, options?: HandlerOptions<State>): Handler;

/** The topic, route and session that a hook is called for. It can be read during the hook only. */
export interface Request<State = any> {
  readonly handler: string;
  /** The name of the route that the topic matched. */
  readonly route: string;
  /** What `configure` returned for the route, or else its `handler.args`. */
  readonly state: State;
  /** The topic's URI, as the client sent it. */
  readonly topic: string;
  /** The values of the channel's variables in this topic. */
  readonly attributes: { readonly [name: string]: string };
  /** The value of the channel's variable. */
  attribute(name: string): string;
  /** The value, converted: `request.attribute('id', Number)`. `NaN` refuses the request. */
  attribute<T>(name: string, convert: (text: string) => T): T;
  /** The session that caused the call; `null` in `onTimer`, `onResponse` and `onResult`. */
  readonly session: Session | null;
  /** The same session, or a refusal if there is none. */
  caller(): Session;
  /** The number of sessions that are subscribed to the topic by name. */
  readonly subscribers: number;
}

/** The client that a hook runs for. */
export interface Session {
  /** The id that other clients see and {@link sessions} takes. */
  readonly id: SessionId;
  /** The authenticated identity; for an anonymous session, a generated one. */
  readonly authid: string;
  /** The first role: WAMP v2 has exactly one. */
  readonly authrole: string;
  readonly roles: readonly string[];
  /** The authentication method: `anonymous`, `ticket`, `jwt` … */
  readonly authmethod: string;
  /** The claims of the user, from the user source or the token. */
  readonly claims: { readonly [name: string]: any };
  hasRole(role: string): boolean;
}

/** The types that {@link Event.single} checks. */
export interface JsonTypes {
  string: string;
  number: number;
  boolean: boolean;
  object: { [name: string]: any };
  array: any[];
  bigint: bigint;
  null: null;
}

/**
 * A payload with positional `args` and named `kwargs`. A WAMP v1 event is one value, the only element
 * of `args`. A binary value is a string that begins with U+0000, followed by Base64.
 */
export class Event {
  /** An event of one JSON value, the form that clients of both versions read. */
  constructor(value: unknown);
  /** An event without values. */
  static empty(): Event;
  /** An event of several positional values, and of named ones. */
  static of(args: unknown[], kwargs?: object): Event;
  /** An event of the text of a JSON array and the text of a JSON object, unchanged. */
  static fromJson(args: string, kwargs?: string): Event;
  /** The positional values. */
  readonly args: any[];
  /** The named values. */
  readonly kwargs: { [name: string]: any };
  /** The positional values as the text of a JSON array, not parsed. */
  readonly argsJson: string;
  /** The named values as the text of a JSON object, not parsed. */
  readonly kwargsJson: string;
  /** The only positional value. Refuses the request if there is not exactly one. */
  single(): any;
  /** The only positional value, of this type: `event.single('string')`. Refuses others. */
  single<T extends keyof JsonTypes>(type: T): JsonTypes[T];
}

/** The answer of `onSubscribe`. */
export interface SubscribeVerdict {
  readonly refusal: Refusal | undefined;
}

/** The answer of `onPublish`. */
export interface PublishVerdict {
  readonly kind: 'broadcast' | 'deliver' | 'drop' | 'reject';
  /** These sessions do not receive the event either. */
  exclude(sessions: Iterable<SessionId>): PublishVerdict;
  /** Only these sessions receive the event. Repeated calls intersect. */
  eligible(sessions: Iterable<SessionId>): PublishVerdict;
}

/** The session becomes a subscriber. */
export function allow(): SubscribeVerdict;
/** The session receives `wamp.error.not_authorized`. For another URI, throw a {@link Refusal}. */
export function deny(message: string): SubscribeVerdict;
/** All subscribers receive the event, except those that the publisher excluded. */
export function broadcast(): PublishVerdict;
/** They receive this event instead. */
export function deliver(event: Event): PublishVerdict;
/** The event is accepted and delivered to no subscriber. */
export function drop(): PublishVerdict;
/** The event is refused with `wamp.error.not_authorized`. */
export function reject(message: string): PublishVerdict;

/** A WAMP error URI, and one sentence for a person. A hook throws it. */
export class Refusal extends Error {
  constructor(uri: string, message: string);
  readonly uri: string;
  /** `wamp.error.not_authorized`: the session may not do this. */
  static notAuthorized(message: string): Refusal;
  /** `wamp.error.invalid_argument`: the arguments do not have the right shape. */
  static invalidArgument(message: string): Refusal;
  /** `wamp.error.no_such_procedure`: the handler does not answer this procedure. */
  static noSuchProcedure(procedure: string): Refusal;
  /** `wamp.error.runtime_error`: the handler failed through no fault of the client. */
  static runtimeError(message: string): Refusal;
}

/** An error of the store. Unless the hook catches it, it refuses the request. */
export class StoreError extends Refusal {
  readonly code: 'full' | 'not-a-number';
  readonly key: string;
}

/** Why a request was not sent, or has no answer. Unless the hook catches it, it refuses the request. */
export class HttpError extends Refusal {
  constructor(code: HttpError['code'], detail?: string);
  readonly code: 'denied' | 'invalid' | 'busy' | 'unreachable' | 'timeout' | 'too-large' | 'broken';
}

/** The answer to a request. */
export interface HttpAnswer {
  /** The reason why there is no response. */
  readonly error: HttpError | undefined;
  /** The response, also one with an error status. Throws the error if there is none. */
  response(): http.Response;
}

/** The result of a call. */
export interface CallAnswer {
  /** The refusal of the callee, or of the server if there is no result. */
  readonly error: Refusal | undefined;
  /** The result. Throws the error if there is none. */
  result(): Event;
}

/**
 * Requests of HTTP, to the servers that the operator lists in `http.allow`. A request is sent when the
 * hook has returned, and not at all if it fails. `onResponse` receives the answer. The bundle names
 * `http` in its imports.
 */
export namespace http {
  /** A request. */
  interface Request {
    /** The whole URL, of `https` or `http`. */
    url: string;
    /** `GET` without a body and `POST` with one, if absent. */
    method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';
    headers?: { readonly [name: string]: string } | Iterable<readonly [string, string]>;
    body?: string | Uint8Array;
    /** The body as a value of JSON, with the header `content-type`. */
    json?: unknown;
    /** The time for the answer in milliseconds; the operator's limit applies if it is shorter. */
    timeout?: number;
  }
  /**
   * Sends a request, or a GET of a URL. The answer comes with the context, a value of JSON. Throws an
   * {@link HttpError} (`denied`, `invalid`, `busy`): nothing is sent, and no answer comes.
   */
  function send(request: Request | string, context?: unknown): void;
  /**
   * Sends a request at once, or a GET of a URL, and waits for the answer: in `onSubscribe` alone, whose
   * verdict may depend on it. Throws an {@link HttpError} if there is none; `denied` in other hooks.
   * The bundle names `fetch` in its imports, and the operator grants it with `http.blocking`.
   */
  function fetch(request: Request | string): Response;
  /** A response, also one with an error status or a redirect: redirects are not followed. */
  class Response {
    /** For tests. */
    constructor(
      status: number,
      body?: string | Uint8Array,
      headers?: { readonly [name: string]: string } | Iterable<readonly [string, string]>,
    );
    readonly status: number;
    /** Whether the status is one of success, 200 to 299. */
    readonly ok: boolean;
    readonly headers: readonly (readonly [string, string])[];
    readonly body: Uint8Array;
    /** The value of the first header of this name. */
    header(name: string): string | undefined;
    /** The body as text; malformed parts are replaced. */
    text(): string;
    /** The body, parsed. Throws an {@link HttpError} (`invalid`) if it is not JSON. */
    json(): any;
  }
}

/**
 * Calls of procedures, of handlers and of clients, that the operator lists in `calls.allow`. A call is
 * made when the hook has returned, and not at all if it fails. `onResult` receives the result. The
 * bundle names `calls` in its imports.
 */
export namespace calls {
  /**
   * Calls a procedure. The result comes with the context, a value of JSON. Throws a {@link Refusal} if
   * the operator does not allow it, or too many calls wait: no result comes.
   */
  function call(procedure: string, event: Event, context?: unknown, options?: { timeout?: number }): void;
}

/** A call whose result a later hook gives. `onCall` returns it in place of an event. */
export class Later {
  /** The deferred call with this `id`, of a context or of the store. */
  constructor(id: number);
  /** The number of the call, below 2^53. */
  readonly id: number;
  /**
   * Defers the result of the current `onCall`. Throws a {@link Refusal} if too many calls wait. If
   * `onCall` throws one afterwards, the caller receives it, and nothing is deferred.
   */
  static begin(): Later;
  /** Completes the call when the hook has returned. Returns whether the caller still waits. */
  complete(answer: Event | Refusal): boolean;
  toJSON(): number;
}

/** The time of the server's clock; in a test, of the test's clock. */
export function now(): Date;

/** The plugin's store. If a hook fails, its writes are undone. */
export * as store from './store.js';

/** Publications, sent when the hook has returned. They go to subscribers and enter no handler. */
export namespace topics {
  /** Publishes to the subscribers of a topic, except `exclude`, and to `eligible` only. */
  function publish(
    topic: string,
    event: Event,
    receivers?: { exclude?: Iterable<SessionId>; eligible?: Iterable<SessionId> },
  ): void;
  /** The sessions that are subscribed to the topic now. */
  function subscribers(topic: string): SessionId[];
  /** The number of sessions that are subscribed to the topic now. */
  function count(topic: string): number;
}

/** Actions on single sessions. They take effect when the hook has returned. */
export namespace sessions {
  /** Sends an event of `topic` to one session, if it is subscribed to the topic. */
  function send(session: SessionId, topic: string, event: Event): void;
  /** Ends the session's subscription to the topic, as if it had unsubscribed. */
  function unsubscribe(session: SessionId, topic: string): void;
  /** Ends the session. The client receives `reason`, a WAMP URI, and the message. */
  function close(session: SessionId, reason: string, message: string): void;
}

/** Lines of the operator's log, with plugin, handler and topic. `console.log` writes them, too. */
export namespace log {
  function trace(...values: unknown[]): void;
  function debug(...values: unknown[]): void;
  function info(...values: unknown[]): void;
  function warn(...values: unknown[]): void;
  function error(...values: unknown[]): void;
}
