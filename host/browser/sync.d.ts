/** WAMP v2 client (`wamp.2.json`) for live updates in web pages, with automatic reconnects. */

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface SyncOptions {
  /**
   * URL of the server, absolute or relative to the page; `http` is changed to `ws`, and `https` to
   * `wss`. A function is called for every attempt. Default: `/`, at the page's own origin.
   */
  url?: string | URL | (() => string | URL);
  /** The realm to join. Default: `realm1`. */
  realm?: string;
  /**
   * Ticket or token to authenticate with, sent as the reply to WAMP's `ticket` challenge. A function
   * is called for every attempt; if it fails, the attempt fails, and another one follows later. With
   * `null`, the session is anonymous.
   */
  ticket?: string | null | (() => string | null | Promise<string | null>);
  /** Timeout of opening a connection, and of each reply, in milliseconds. Default: 10 000. */
  timeout?: number;
  /**
   * Exponential backoff with full jitter: the delay before the n-th attempt is random, between 0 and
   * `first * 2^(n-1)` milliseconds, and at most `most`. Default: 1 000 and 60 000. A server with many
   * sessions names a longer window than `first`, so that they do not all return at once.
   */
  retry?: { first?: number; most?: number };
  /**
   * Called when the server rejects the session, for example because of an invalid ticket. The next
   * attempt follows after 30 to 60 seconds (half of `retry.most` to all of it); `close()` cancels it,
   * and `reconnect()` tries at once.
   */
  onRefused?: (error: SyncError) => void;
  /** Whether events published by this session are not delivered to itself. Default: `true`. */
  excludeMe?: boolean;
  /**
   * Milliseconds without a message after which the server is probed; without a reply within
   * `timeout`, the connection is considered lost. 0 disables probes. Default: 25 000.
   */
  heartbeat?: number;
  /**
   * Milliseconds after which a hidden page closes its connection, until it is visible again.
   * `Infinity` keeps the connection. Default: 300 000.
   */
  pauseAfter?: number;
  /**
   * Called when events of a topic were missed and the server cannot send them again, after the
   * `onGap` of the subscriptions. `reload` reloads the page, at most once a minute. Default: the event `gap` alone.
   */
  onGap?: 'reload' | ((gap: Gap) => void);
  /** `WebSocket` class to use, if the environment has none. */
  WebSocket?: unknown;
}

/** Metadata and payload of an event. */
export interface SyncEvent {
  /** Topic of the publication; with `match`, it differs from the subscribed one. */
  topic: string;
  /** Publication id. */
  publication: number;
  /** Details of the server, such as `publisher`. */
  details: { [key: string]: Json };
  args: Json[];
  kwargs: { [key: string]: Json };
  /**
   * `true` if this event is older than the subscription: a route with `history` begins a new
   * subscription with its last events, and a further subscription of the page to the same topic begins
   * with the topic's last event, because the server sees only the first one.
   */
  repeated?: true;
}

/**
 * Called with the payload as one value: the only positional argument (as in WAMP v1); the array of
 * several positional arguments; the keyword arguments, if there are only these; `{ args, kwargs }` for
 * both; or `null` without a payload.
 */
export type Handler<T = any> = (value: T, event: SyncEvent) => void;

/** A position in the events of a topic with `history`, as the server's HTTP API returns it. */
export interface Position {
  epoch: string;
  offset: number;
}

/** A topic whose events were missed. */
export interface Gap {
  topic: string;
  match: string;
}

export interface SubscribeOptions {
  /** Default: `exact`. */
  match?: 'exact' | 'prefix' | 'wildcard';
  /**
   * Position at which the data of the page was read: later events follow. Used if this is the first
   * subscription of the page to the topic.
   */
  since?: Position;
  /**
   * The last event alone is of interest: after an outage, older missed events are not sent, and there
   * are no gaps. Used if all subscriptions of the page to the topic say so. Default: `false`.
   */
  latest?: boolean;
  /** Called when events were missed and the server cannot send them again: read the data again. */
  onGap?: (gap: Gap) => void;
}

export interface Subscription {
  topic: string;
  /** Resolves when the server confirms. Rejects with a `SyncError` when the server refuses or does
   * not reply, when the page unsubscribes before that, and when the connection is closed. */
  ready: Promise<void>;
  /** Ends this subscription only, even if another one has the same handler. */
  unsubscribe(): void;
}

export interface PublishOptions {
  /** Positional arguments, instead of the single value. */
  args?: unknown[];
  kwargs?: { [key: string]: any };
  /** Whether the event is not delivered to this session. Default: the client's option. */
  excludeMe?: boolean;
  /** Ids of sessions that do not receive the event. */
  exclude?: number[];
  /** Ids of the only sessions that may receive the event. */
  eligible?: number[];
  /** Further options of WAMP PUBLISH, such as `exclude_authid`. */
  wamp?: { [key: string]: any };
}

export interface CallOptions {
  kwargs?: { [key: string]: any };
  /** Timeout of the reply in milliseconds. Default: the client's option. */
  timeout?: number;
}

/**
 * A failed or rejected request. The client itself uses the URIs `jackfield.client.disconnected`,
 * `jackfield.client.closed` and `jackfield.client.unsubscribed`. If the connection was lost during a
 * request, it is unknown whether the server has executed it.
 */
export class SyncError extends Error {
  constructor(uri: string, message?: string, args?: Json[], kwargs?: { [key: string]: Json });
  /** WAMP error URI. */
  uri: string;
  args: Json[];
  kwargs: { [key: string]: Json };
}

export interface SyncEvents {
  /** A session is open, and every topic is subscribed to or refused. Data fetched now is complete, as
   * later changes arrive as events. `resumed` is false for the first connection. */
  connected: CustomEvent<{ session: number; resumed: boolean }>;
  /** The connection is lost. Fired once, regardless of the number of attempts that follow. */
  disconnected: CustomEvent<{ error: Error }>;
  /** The next attempt follows in `delay` milliseconds. `refused`: the server has rejected the session,
   * for example because of its ticket. */
  retrying: CustomEvent<{ attempt: number; delay: number; error: Error; refused: boolean }>;
  /** The server has refused a subscription, has not replied in time, or has ended the subscription. A
   * subscription that it has ended is retried with backoff, others with the next connection. */
  refused: CustomEvent<{ topic: string; match: string; error: SyncError }>;
  /** A refused topic is subscribed to again. Without `history`, events in the meantime were missed. */
  restored: CustomEvent<{ topic: string; match: string }>;
  /** Events of a topic were missed, and the server cannot send them again. Fired by servers that recover
   * events, for topics without `history` after each outage. */
  gap: CustomEvent<Gap>;
}

/** A connection that reconnects automatically. The constructor starts to connect. */
export class Sync extends EventTarget {
  constructor(options?: SyncOptions);

  /** `waiting`: for the next attempt. `paused`: until the page is visible again. */
  readonly state: 'connecting' | 'connected' | 'waiting' | 'paused' | 'closed';
  /** Session id, while connected. */
  readonly session: number | null;

  /** Calls `handler` for each event of the topic, also after reconnects. Each call creates a separate
   * subscription: a handler that is subscribed twice is called twice. A further subscription to the
   * same topic begins with the topic's last event, marked `repeated`. */
  subscribe<T = any>(topic: string, handler: Handler<T>, options?: SubscribeOptions): Subscription;
  /** Ends all subscriptions of a handler to the topic; without a handler, all of the topic. */
  unsubscribe(topic: string, handler?: Handler<any>, options?: SubscribeOptions): void;
  /**
   * Publishes an event, and resolves with the publication id once the server has accepted it. Without
   * a connection, it waits for one, up to `timeout`. Rejects with a `TypeError` if `args`, `exclude`
   * or `eligible` is no array, or if `kwargs` is no object.
   */
  publish(topic: string, value?: unknown, options?: PublishOptions): Promise<number>;
  /** Calls a procedure. The result is one value, by the rule of `Handler`. Rejects with a `TypeError`
   * if `args` is no array. */
  call<T = any>(procedure: string, args?: unknown[], options?: CallOptions): Promise<T>;
  /** Reconnects at once, also after `close`. */
  reconnect(): void;
  /** Closes the connection for good. */
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
