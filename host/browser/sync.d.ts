/** Live updates in a page: a client of WAMP v2 (`wamp.2.json`) that stays connected. */

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface SyncOptions {
  /**
   * Where the server is: absolute, or relative to the page; `http` is read as `ws`, and `https` as
   * `wss`. A function is asked anew for every attempt. Default: `/`, the page's own origin.
   */
  url?: string | URL | (() => string | URL);
  /** The realm to join. Default: `realm1`. */
  realm?: string;
  /**
   * The ticket or token that proves who this is, sent as the answer to WAMP's challenge `ticket`. A
   * function is asked anew for every attempt; if it fails, so does the attempt, and the next one
   * follows later. Nothing is sent for `null`.
   */
  ticket?: string | null | (() => string | null | Promise<string | null>);
  /** Milliseconds for a connection to open, and for an answer to come. Default: 10 000. */
  timeout?: number;
  /**
   * The n-th attempt after a loss comes at a random moment within `first * 2^(n-1)` milliseconds,
   * and within `most` at the latest. Default: 1 000 and 60 000.
   */
  retry?: { first?: number; most?: number };
  /**
   * Called when the server refuses the session, as it does for a ticket that is not accepted. The
   * next attempt comes after 30 to 60 seconds (half to all of `retry.most`); `close()` ends that,
   * and `reconnect()` tries at once.
   */
  onRefused?: (error: SyncError) => void;
  /** Whether `publish` leaves this session out, unless the call says otherwise. Default: `true`. */
  excludeMe?: boolean;
  /**
   * Milliseconds of silence after which the server is probed; without an answer within `timeout`,
   * the connection is lost. 0 disables probes. Default: 25 000.
   */
  heartbeat?: number;
  /**
   * Milliseconds after which a hidden page gives its connection up, until it is seen again.
   * `Infinity` keeps it. Default: 300 000.
   */
  pauseAfter?: number;
  /** The `WebSocket` to use, where the environment has none. */
  WebSocket?: unknown;
}

/** What an event brings beside its value. */
export interface SyncEvent {
  /** The topic it was published to; with `match`, not the one that was subscribed to. */
  topic: string;
  /** The publication's id. */
  publication: number;
  /** What the server says of it, such as `publisher`. */
  details: { [key: string]: Json };
  args: Json[];
  kwargs: { [key: string]: Json };
  /**
   * `true` for the last event of a topic that the page was subscribed to already: a further
   * subscription begins with it, because the server greets the first one alone.
   */
  repeated?: true;
}

/**
 * Is given the event's value: its one positional value, as WAMP v1 publishes; the list, if there
 * are several; the named ones, if there are only those; `{ args, kwargs }` for both; or `null`.
 */
export type Handler<T = any> = (value: T, event: SyncEvent) => void;

export interface SubscribeOptions {
  /** `exact` if nothing is said. */
  match?: 'exact' | 'prefix' | 'wildcard';
}

export interface Subscription {
  topic: string;
  /** Fulfilled when the server confirms. Rejected with a `SyncError` when it refuses or does not
   * answer, when the page has unsubscribed before that, and when the connection was closed. */
  ready: Promise<void>;
  /** Ends this subscription and no other, though another one have the same handler. */
  unsubscribe(): void;
}

export interface PublishOptions {
  /** Positional values instead of the one. */
  args?: unknown[];
  kwargs?: { [key: string]: any };
  /** Whether this session is left out, if it is subscribed. Default: the client's option. */
  excludeMe?: boolean;
  /** Ids of sessions that do not receive it. */
  exclude?: number[];
  /** Ids of the sessions that alone receive it. */
  eligible?: number[];
  /** More options of WAMP's PUBLISH, such as `exclude_authid`. */
  wamp?: { [key: string]: any };
}

export interface CallOptions {
  kwargs?: { [key: string]: any };
  /** Milliseconds for the answer, instead of the connection's own. */
  timeout?: number;
}

/**
 * Why something was refused, or did not happen. `jackfield.client.disconnected`,
 * `jackfield.client.closed` and `jackfield.client.unsubscribed` are this client's own; for what was
 * under way when the connection was lost, nobody knows whether it happened.
 */
export class SyncError extends Error {
  constructor(uri: string, message?: string, args?: Json[], kwargs?: { [key: string]: Json });
  /** WAMP's error URI. */
  uri: string;
  args: Json[];
  kwargs: { [key: string]: Json };
}

export interface SyncEvents {
  /** There is a session, and every topic is subscribed to (or refused) again. What is fetched now
   * misses nothing. `resumed` is false the first time. */
  connected: CustomEvent<{ session: number; resumed: boolean }>;
  /** There is no connection: told once, however many attempts follow. */
  disconnected: CustomEvent<{ error: Error }>;
  /** The next attempt comes in `delay` milliseconds. `refused`: the server is there, and refuses the
   * session, for instance because of its ticket. */
  retrying: CustomEvent<{ attempt: number; delay: number; error: Error; refused: boolean }>;
  /** The server refuses a topic, does not answer for it in time, or has ended its subscription.
   * What it has ended is asked for again from time to time, and the rest with the next connection. */
  refused: CustomEvent<{ topic: string; match: string; error: SyncError }>;
  /** A topic that was refused is subscribed to now. What happened meanwhile was not heard. */
  restored: CustomEvent<{ topic: string; match: string }>;
}

/** A connection that comes back by itself. It begins to connect when it is made. */
export class Sync extends EventTarget {
  constructor(options?: SyncOptions);

  /** `waiting` is for the next attempt; `paused` is until the page is seen again. */
  readonly state: 'connecting' | 'connected' | 'waiting' | 'paused' | 'closed';
  /** The session's id, while there is one. */
  readonly session: number | null;

  /** Has `handler` called for each event of the topic, from now on and across reconnects. Each is a
   * subscription of its own: who subscribes twice is called twice. A second one to the same topic
   * begins with the topic's last event, marked `repeated`. */
  subscribe<T = any>(topic: string, handler: Handler<T>, options?: SubscribeOptions): Subscription;
  /** Ends all subscriptions that a handler has to the topic; without one, all of the topic's. */
  unsubscribe(topic: string, handler?: Handler<any>, options?: SubscribeOptions): void;
  /**
   * Publishes, and returns the publication's id once the server has accepted it. Waits for a
   * connection if there is none, as long as `timeout` says. Rejected with a `TypeError` for `args`,
   * `exclude` or `eligible` that are no list, and for `kwargs` that are no object.
   */
  publish(topic: string, value?: unknown, options?: PublishOptions): Promise<number>;
  /** Calls a procedure. The result is one value, by the rule of `Handler`. Rejected with a
   * `TypeError` for `args` that are no list. */
  call<T = any>(procedure: string, args?: unknown[], options?: CallOptions): Promise<T>;
  /** Connects anew at once, also after `close`. */
  reconnect(): void;
  /** Ends the connection, and comes not back. */
  close(): void;

  addEventListener<K extends keyof SyncEvents>(
    type: K, listener: (event: SyncEvents[K]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(
    type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof SyncEvents>(
    type: K, listener: (event: SyncEvents[K]) => void, options?: boolean | EventListenerOptions): void;
  removeEventListener(
    type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}
