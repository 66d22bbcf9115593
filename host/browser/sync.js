// WAMP v2 client for live updates in web pages: JSON over one WebSocket, automatic reconnects, no
// dependencies.
//
// Subscriptions of the page are kept and renewed after each reconnect. Each attempt fetches a new
// ticket. Reconnects use exponential backoff with full jitter, so that the clients of a restarted
// server do not all return at once. Events of the meantime are recovered by their positions, or the
// page is told that there is a gap. The states:
//
//     connecting ─► connected ─► waiting ─► connecting …        paused, closed
//
// sync.d.ts documents the methods.

// WAMP message codes.
const HELLO = 1, WELCOME = 2, ABORT = 3, CHALLENGE = 4, AUTHENTICATE = 5, GOODBYE = 6, ERROR = 8, PUBLISH = 16, SUBSCRIBE = 32,
  UNSUBSCRIBE = 34, UNSUBSCRIBED = 35, EVENT = 36, CALL = 48, RESULT = 50;

/** An unused subscription id: its UNSUBSCRIBE is the probe of a silent connection. */
const PROBE_ID = Number.MAX_SAFE_INTEGER;

/** Maximum delay of a timer, in milliseconds: with a longer one, it fires at once. */
const MAX_DELAY = 2 ** 31 - 1;

/** ABORT reasons that are temporary. All others reject the session. */
const TEMPORARY = /^wamp\.(close\.|error\.(unavailable|authentication_failed)$)/;

/** A failed or rejected request: `uri` is for programs, `message` for people. */
export class SyncError extends Error {
  constructor(uri, message, args = [], kwargs = {}) {
    super(message || uri);
    Object.assign(this, { name: 'SyncError', uri, args, kwargs });
  }
}

const unreachable = (message) => new SyncError('jackfield.client.disconnected', message);
const ended = (why) => new SyncError(`jackfield.client.${why}`, `${why} by the page`);
const late = (timeout) => new SyncError('wamp.error.timeout', `no answer within ${timeout} ms`);
const later = (does, delay) => setTimeout(does, Math.min(delay, MAX_DELAY));
const given = (options) => Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value != null));

/** The payload of an event or a result as one value, by the rule of WAMP v1 clients. */
function single(args, kwargs) {
  const named = Object.keys(kwargs).length > 0;
  if (named) return args.length > 0 ? { args, kwargs } : kwargs;
  return args.length > 1 ? args : args.length ? args[0] : null;
}

/** Appends the payload to a message; empty parts are omitted. */
function withPayload(message, args = [], kwargs = {}) {
  if (Object.keys(kwargs).length > 0) return [...message, args, kwargs];
  return args.length > 0 ? [...message, args] : message;
}

/** A position. In a cluster, it follows the numbers of the events of each node, for other nodes. */
const positionOf = (it) => it.epoch?.includes?.('.') ? { at: {}, ...it } : { ...it };

/** Whether two positions are of the same history of one node. */
const isSameEpoch = (one, other) => `${one}`.split('.')[0] === `${other}`.split('.')[0];

/** Whether all subscriptions of the page to a topic want its last event alone. */
const isLatest = ({ handlers }) => [...handlers].every(({ latest }) => latest);

/** Reloads the page, once a minute: one from a cache may be older than all histories. */
function reload() {
  const { location, sessionStorage: storage } = globalThis;
  const key = 'jackfield.reloaded';
  if (Date.now() - Number(storage?.getItem(key) ?? -Infinity) < 60_000) return;
  storage?.setItem(key, Date.now());
  location.reload();
}

function checked(valid, name, expected, value) {
  if (!valid) throw new TypeError(`\`${name}\` must be ${expected}, not ${value === null ? 'null' : typeof value}`);
}

/** Checks a payload before it is sent: the server would drop an invalid one, or end the session. */
function checkPayload(args = [], kwargs = {}) {
  checked(Array.isArray(args), 'args', 'a list', args);
  checked(kwargs !== null && typeof kwargs === 'object' && !Array.isArray(kwargs), 'kwargs', 'an object', kwargs);
}

/** Calls a callback of the page. Its errors are reported, and do not propagate. */
function run(callback, ...values) {
  try {
    callback(...values);
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
}

export class Sync extends EventTarget {
  /** `connecting`, `connected`, `waiting` (for the next attempt), `paused` or `closed`. */
  state = 'waiting';
  /** The id of the session, while connected. */
  session = null;

  #options;
  #socket = null;
  /** Incremented with each attempt, to ignore results of older ones. */
  #attempt = 0;
  /** Attempts since the last stable connection. */
  #failures = 0;
  #opened = 0;
  /** The window in milliseconds in which the server wants its clients to reconnect after an outage. */
  #window = 0;
  /** Time of the last message, in milliseconds of a monotonic clock. */
  #received = 0;
  /** The ticket of this attempt. */
  #ticket = null;
  /** Whether there was a connection before; the attempt that was announced as connected, or `lost`. */
  #was = false;
  #told = false;
  #requests = new Map();
  #lastRequest = 0;
  /** Whether the server sends the events that were missed. */
  #recovers = false;
  /** Topics of the page by match and topic, and by the subscription id of the server. */
  #topics = new Map();
  #byId = new Map();
  #waiting = new Set();
  #timers = {};
  #listening = new AbortController();

  constructor(options = {}) {
    super();
    this.#options = {
      url: '/', realm: 'realm1', timeout: 10_000, heartbeat: 25_000, pauseAfter: 300_000,
      WebSocket: globalThis.WebSocket, ...given(options),
      retry: { first: 1_000, most: 60_000, ...given(options.retry) },
    };
    this.#followPage();
    if (globalThis.document?.prerendering) this.state = 'paused';
    else this.#open();
  }

  subscribe(topic, handler, { match = 'exact', since = null, latest = false, onGap } = {}) {
    checked(typeof handler === 'function', 'handler', 'a function', handler);
    checked(since === null || typeof since === 'object', 'since', 'a position', since);
    const key = `${match} ${topic}`;
    let entry = this.#topics.get(key);
    const isKnown = !!entry;
    if (!entry) {
      entry = { key, topic, match, handlers: new Set(), id: 0, asked: false, lost: 0, position: since && positionOf(since) };
      this.#topics.set(key, entry);
    }
    if (!entry.ready) {
      entry.ready = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      // Prevents an unhandled rejection; pages can use `ready` or the event `refused`.
      entry.ready.catch(() => {});
      if (entry.id) entry.resolve();
    }
    // A subscription of its own, even for the same function.
    const mine = { handler, latest, onGap };
    entry.handlers.add(mine);
    const { ready } = entry;
    if (this.state === 'closed') this.#fail(entry, ended('closed'));
    if (this.session !== null && !entry.asked) this.#ask(entry);
    // Events that other handlers of the topic have received are not sent again.
    const { last, position } = entry;
    if (since && isKnown && !latest && !(isSameEpoch(position?.epoch, since.epoch) && position.offset <= since.offset)) {
      queueMicrotask(() => entry.handlers.has(mine) && this.#gap(entry, [mine]));
    }
    // Only the first subscription of a session triggers `on_subscribe`; others get the last event.
    if (last) queueMicrotask(() => entry.last === last && entry.handlers.has(mine) && run(handler, last.value, { ...last.event, repeated: true }));
    return { topic, ready, unsubscribe: () => this.#giveUp(entry, (it) => it === mine) };
  }

  unsubscribe(topic, handler, { match = 'exact' } = {}) {
    const entry = this.#topics.get(`${match} ${topic}`);
    if (entry) this.#giveUp(entry, (it) => !handler || it.handler === handler);
  }

  async publish(topic, value, { args, kwargs, excludeMe = this.#options.excludeMe, exclude, eligible, wamp } = {}) {
    checkPayload(args, kwargs);
    checked(Array.isArray(exclude ?? []), 'exclude', 'a list', exclude);
    checked(Array.isArray(eligible ?? []), 'eligible', 'a list', eligible);
    await this.#connected();
    const options = { acknowledge: true, exclude_me: excludeMe, exclude, eligible, ...wamp };
    const list = args ?? (value === undefined ? [] : [value]);
    const [, , publication] = await this.#request((id) => withPayload([PUBLISH, id, options, topic], list, kwargs));
    return publication;
  }

  async call(procedure, args = [], { kwargs, timeout } = {}) {
    checkPayload(args, kwargs);
    await this.#connected();
    const [, , , list, dict] = await this.#request((id) => withPayload([CALL, id, {}, procedure], args, kwargs), timeout);
    return single(list ?? [], dict ?? {});
  }

  reconnect() {
    const error = unreachable('the page reconnects');
    this.#drop(error);
    if (!this.#lost(error)) return;
    this.#failures = 0;
    this.#followPage();
    this.#open();
  }

  close() {
    if (this.state === 'closed') return;
    this.#listening.abort();
    this.#rest('closed', ended('closed'));
  }

  // --- The connection ----------------------------------------------------------------------------

  async #open() {
    this.#stop('retry');
    const attempt = ++this.#attempt;
    const current = () => attempt === this.#attempt;
    this.state = 'connecting';
    const { url, ticket, timeout, WebSocket } = this.#options;
    this.#start('opening', timeout, () => this.#lose(unreachable('the server did not answer in time')));
    try {
      // Lets the page add listeners before the first event is fired.
      await null;
      if (!current()) return;
      this.#ticket = typeof ticket === 'function' ? await ticket() : ticket;
      if (!current()) return;
      const target = new URL(typeof url === 'function' ? url() : url, globalThis.location?.href);
      target.protocol = target.protocol.replace('http', 'ws');
      const socket = this.#socket = new WebSocket(target.href, 'wamp.2.json');
      // `onclose` reports the error; without this listener, the package `ws` would throw.
      socket.onerror = () => {};
      socket.onopen = () => this.#send([HELLO, this.#options.realm, {
        agent: 'Jackfield sync.js',
        // Not in the URL: browsers hide the reason of a rejected upgrade, and URLs are logged.
        authmethods: this.#ticket == null ? undefined : ['ticket', 'anonymous'],
        roles: { subscriber: { features: { pattern_based_subscription: true, subscription_revocation: true } }, publisher: {}, caller: {} },
      }]);
      socket.onmessage = ({ data }) => this.#receive(data);
      // Browsers report neither the reason of a failed connection nor the HTTP response.
      socket.onclose = ({ code, reason }) => this.#lose(unreachable(
        `connection ${this.session === null ? 'refused' : 'lost'} (${code}${reason && ' '}${reason})`));
    } catch (error) {
      if (current()) this.#lose(error instanceof Error ? error : unreachable(`could not connect: ${error}`));
    }
  }

  #receive(data) {
    this.#received = performance.now();
    // The reply to a probe may be queued behind other messages.
    if (this.#timers.probe) this.#awaitReply();
    let message;
    try {
      message = JSON.parse(data);
    } catch {}
    if (!Array.isArray(message)) {
      return this.#lose(new SyncError('wamp.error.protocol_violation', 'the server sent an invalid message'));
    }
    switch (message[0]) {
      case WELCOME: return this.#welcome(message[1], message[2]);
      case CHALLENGE:
        if (this.#ticket != null && message[1] === 'ticket') return this.#send([AUTHENTICATE, this.#ticket, {}]);
        return this.#lose(new SyncError('wamp.error.authentication_required',
          'the server requires authentication, and the option `ticket` is not set'), true);
      case EVENT: return this.#event(...message.slice(1));
      case ERROR: {
        const [, , id, details, uri, args, kwargs] = message;
        return this.#answer(id, new SyncError(uri, details?.message ?? args?.[0], args ?? [], kwargs ?? {}));
      }
      case ABORT:
        return this.#lose(new SyncError(message[2], message[1]?.message), !TEMPORARY.test(message[2]));
      case GOODBYE:
        this.#send([GOODBYE, {}, 'wamp.close.goodbye_and_out']);
        // Closes the socket even if the server does not.
        return this.#lose(new SyncError(message[2], message[1]?.message));
      case UNSUBSCRIBED:
        if (message[1] === 0) return this.#revoked(message[2] ?? {});
    }
    // Every other message is a reply; its second element is the request id.
    this.#answer(message[1], null, message);
  }

  #welcome(session, details) {
    if (this.session !== null) return;
    this.#window = Number(details?._retry?.max_ms) || 0;
    this.#recovers = details?.roles?.broker?.features?.x_event_recovery === true;
    this.#stop('opening');
    this.session = session;
    this.state = 'connected';
    this.#opened = Date.now();
    this.#watch();
    for (const entry of this.#topics.values()) this.#ask(entry);
    for (const waiter of [...this.#waiting]) waiter();
    this.#settled();
  }

  /** Fires `connected` once every subscription is answered: data that the page fetches then is
   * complete, as later changes arrive as events. */
  #settled() {
    if (this.session === null || this.#told === this.#attempt) return;
    for (const { asked, id } of this.#topics.values()) if (asked && !id) return;
    const resumed = this.#was;
    this.#was = true;
    this.#told = this.#attempt;
    this.#tell('connected', { session: this.session, resumed });
  }

  /** Drops the connection and schedules a reconnect: late after a rejection, which would repeat. */
  #lose(error, refused = false) {
    const held = this.session !== null && Date.now() - this.#opened > 5_000;
    this.#drop(error);
    this.#failures = held ? 1 : this.#failures + 1;
    const { retry: { most }, onRefused } = this.#options;
    const delay = refused ? Math.min(most, MAX_DELAY) * (1 + Math.random()) / 2 : this.#delay(this.#failures - 1, this.#window);
    this.state = 'waiting';
    this.#start('retry', delay, () => this.#open());
    const attempt = this.#attempt;
    if (refused && onRefused) run(onRefused, error);
    if (attempt === this.#attempt && this.#lost(error)) this.#tell('retrying', { attempt: this.#failures, delay, error, refused });
  }

  /** Exponential backoff with full jitter, over at least `window` milliseconds. */
  #delay(failures, window = 0) {
    const { first, most } = this.#options.retry;
    return Math.random() * Math.min(most, Math.max(window, first * 2 ** failures), MAX_DELAY);
  }

  /** Fires `disconnected` once per outage. False if a listener has closed or reconnected. */
  #lost(error) {
    const attempt = this.#attempt;
    if (this.#told !== 'lost') {
      this.#told = 'lost';
      this.#tell('disconnected', { error });
    }
    return attempt === this.#attempt;
  }

  /** Closes the connection: paused, or closed for good. */
  #rest(state, error) {
    if (this.session !== null) this.#send([GOODBYE, {}, 'wamp.close.close_realm']);
    this.#stop('pause');
    this.#drop(error);
    this.state = state;
    if (state === 'closed') {
      for (const waiter of [...this.#waiting]) waiter(error);
      for (const entry of this.#topics.values()) this.#fail(entry, error);
    }
    this.#lost(error);
  }

  /** Drops the socket and all pending requests. */
  #drop(error) {
    this.#attempt++;
    for (const name of Object.keys(this.#timers)) if (name !== 'pause') this.#stop(name);
    const socket = this.#socket;
    this.#socket = this.session = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#byId.clear();
    for (const entry of this.#topics.values()) {
      clearTimeout(entry.timer);
      Object.assign(entry, { id: 0, asked: false, lost: 0, last: null });
    }
    for (const id of [...this.#requests.keys()]) this.#answer(id, error);
    this.#lastRequest = 0;
  }

  /** Probes the server when the connection has been silent for `heartbeat`. */
  #watch() {
    const { heartbeat } = this.#options;
    if (!(heartbeat > 0)) return;
    const silent = performance.now() - this.#received;
    if (silent >= heartbeat) this.#probe();
    this.#start('beat', silent >= heartbeat ? heartbeat : heartbeat - silent, () => this.#watch());
  }

  /** Sends a probe: any message counts as the reply. */
  #probe(timeout) {
    if (this.session === null || this.#timers.probe) return;
    this.#awaitReply(timeout);
    this.#send([UNSUBSCRIBE, this.#expect(() => this.#stop('probe')), PROBE_ID]);
  }

  #awaitReply(timeout = this.#options.timeout) {
    this.#start('probe', timeout, () => this.#lose(unreachable('the server does not respond')));
  }

  // --- The page ----------------------------------------------------------------------------------

  #followPage() {
    this.#listening.abort();
    const { signal } = this.#listening = new AbortController();
    const { document } = globalThis;
    const on = (target, name, does) => target?.addEventListener?.(name, does, { signal });
    const { pauseAfter, timeout } = this.#options;
    const wake = () => {
      if (this.state === 'paused' || this.state === 'waiting') this.#open();
      // The machine may have slept, and the connection with it.
      else this.#probe(Math.min(5_000, timeout));
    };
    const rest = () => {
      if (pauseAfter < Infinity) this.#start('pause', pauseAfter, () => this.#rest('paused', unreachable('the page is hidden')));
    };
    if (document?.visibilityState === 'hidden') rest();
    on(document, 'prerenderingchange', wake);
    on(document, 'visibilitychange', () => {
      this.#stop('pause');
      document.visibilityState === 'hidden' ? rest() : wake();
    });
    // Browsers do not keep a page with an open connection in the back/forward cache.
    on(globalThis, 'pagehide', () => this.#rest('paused', unreachable('the page was left')));
    on(globalThis, 'pageshow', ({ persisted }) => persisted && wake());
    on(globalThis, 'online', () => {
      if (this.state === 'waiting') this.#start('retry', this.#delay(0), () => this.#open());
      else this.#probe(Math.min(5_000, timeout));
    });
  }

  // --- Requests and topics -----------------------------------------------------------------------

  /** Waits for a connection, at most `timeout`. */
  #connected() {
    if (this.session !== null) return;
    if (this.state === 'closed') throw ended('closed');
    return new Promise((resolve, reject) => {
      const done = (error) => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        error ? reject(error) : resolve();
      };
      const timer = later(() => done(unreachable('there is no connection')), this.#options.timeout);
      this.#waiting.add(done);
    });
  }

  /** A new request id. `done` is called with its reply, before the next message is handled. */
  #expect(done) {
    this.#requests.set(++this.#lastRequest, done);
    return this.#lastRequest;
  }

  #answer(id, error, message) {
    const done = this.#requests.get(id);
    this.#requests.delete(id);
    done?.(error, message);
  }

  #request(message, timeout = this.#options.timeout) {
    return new Promise((resolve, reject) => {
      if (this.session === null) return reject(unreachable('connection lost'));
      const id = this.#expect((error, answer) => {
        clearTimeout(timer);
        error ? reject(error) : resolve(answer);
      });
      const timer = later(() => this.#answer(id, late(timeout)), timeout);
      this.#send(message(id));
    });
  }

  #send(message) {
    // 1 is OPEN. Requests lost with a closing socket fail when it has closed.
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #ask(entry) {
    clearTimeout(entry.timer);
    entry.asked = true;
    const { timeout } = this.#options;
    entry.timer = later(() => this.#refused(entry, late(timeout)), timeout);
    const options = entry.match === 'exact' ? {} : { match: entry.match };
    Object.assign(entry, { old: 0, expects: entry.known || !!entry.position });
    if (this.#recovers) options._since = { ...entry.position, latest: isLatest(entry) || undefined };
    this.#send([SUBSCRIBE, this.#expect((error, message) => this.#asked(entry, error, message?.[2])), options, entry.topic]);
  }

  #asked(entry, error, id) {
    const wanted = this.#topics.get(entry.key);
    // After a lost connection, the topic is subscribed to again with the next one.
    if (this.session === null) return;
    if (error) {
      if (wanted === entry) return this.#refused(entry, error);
    } else if (wanted) {
      // Unsubscribed and subscribed again meanwhile: one subscription for the server.
      clearTimeout(wanted.timer);
      this.#byId.set(id, wanted);
      // A server that recovers tells the position next.
      Object.assign(wanted, { id, asked: true, lost: 0, known: true, awaits: this.#recovers });
      wanted.resolve();
      if (!this.#recovers && wanted.position) this.#locate(wanted, {});
      if (wanted.told) this.#tellOf('restored', wanted);
    } else {
      this.#leave(id);
    }
    this.#settled();
  }

  /** Fails a topic. A revoked subscription is retried with backoff. */
  #refused(entry, error, again = entry.lost > 0) {
    clearTimeout(entry.timer);
    Object.assign(entry, { id: 0, asked: false, last: null });
    this.#fail(entry, error);
    const first = !entry.lost;
    if (again) entry.timer = later(() => this.#ask(entry), this.#delay(entry.lost++));
    if (first) this.#tellOf('refused', entry, error);
    this.#settled();
  }

  #fail(entry, error) {
    entry.reject(error);
    entry.ready = null;
  }

  #giveUp(entry, which) {
    for (const one of entry.handlers) if (which(one)) entry.handlers.delete(one);
    if (entry.handlers.size > 0 || this.#topics.get(entry.key) !== entry) return;
    this.#topics.delete(entry.key);
    this.#fail(entry, ended('unsubscribed'));
    clearTimeout(entry.timer);
    if (entry.id) this.#leave(entry.id);
  }

  #leave(id) {
    this.#byId.delete(id);
    this.#send([UNSUBSCRIBE, this.#expect(() => {}), id]);
  }

  /** The server has revoked a subscription, for example because its route was removed. */
  #revoked({ subscription, reason = 'wamp.error.no_such_subscription' }) {
    const entry = this.#byId.get(subscription);
    this.#byId.delete(subscription);
    if (entry) this.#refused(entry, new SyncError(reason, 'the server has ended the subscription'), true);
  }

  /** Takes over the server's position in the events of a topic, and tells the page of a gap. */
  #locate(entry, { epoch, offset, recovered, replayed: left = 0 }) {
    const { position, awaits } = entry;
    // A position that is no answer tells that events may be missing.
    const expects = entry.expects || !awaits;
    entry.awaits = false;
    // The page has what it has, although there is a gap behind it.
    const isSame = epoch != null && isSameEpoch(position?.epoch, epoch);
    entry.position = epoch == null ? null : positionOf(isSame ? { ...position, epoch, offset: Math.max(position.offset, offset) } : { epoch, offset });
    // What a subscription begins with is older than the page.
    entry.old = isSame || recovered || (expects && isLatest(entry)) ? 0 : left;
    if (expects && !(position && recovered) && !isLatest(entry)) this.#gap(entry, [...entry.handlers]);
  }

  /** Tells the page that handlers of a topic have missed events. */
  #gap(entry, handlers) {
    const gap = { topic: entry.topic, match: entry.match };
    for (const one of handlers) {
      if (one.onGap && entry.handlers.has(one) && this.state !== 'closed') run(one.onGap, gap);
    }
    if (this.state === 'closed') return;
    this.#tell('gap', gap);
    const { onGap } = this.#options;
    if (onGap === 'reload') reload();
    else if (onGap) run(onGap, gap);
  }

  #event(subscription, publication, details, args, kwargs) {
    const entry = this.#byId.get(subscription);
    if (!entry) return;
    if (details?._stream) return this.#locate(entry, details._stream);
    const { position } = entry;
    const offset = details?._offset;
    if (position && offset != null) {
      if (offset <= position.offset) return;
      position.offset = offset;
      // In a cluster: the node of the event, and its number there.
      const [node, number] = details._at ?? [];
      if (node && position.at) position.at[node] = number;
    }
    const event = { topic: details?.topic ?? entry.topic, publication, details, args: args ?? [], kwargs: kwargs ?? {} };
    if (entry.old > 0) {
      entry.old--;
      event.repeated = true;
    }
    const value = single(event.args, event.kwargs);
    if (entry.match === 'exact') entry.last = { value, event };
    for (const one of [...entry.handlers]) {
      // A handler before may have unsubscribed it, or closed the connection. After a reconnect, the event
      // does not come again if the topic has a position.
      const comes = this.#byId.has(subscription) || (entry.position && this.state !== 'closed');
      if (entry.handlers.has(one) && comes) run(one.handler, value, event);
    }
  }

  // --- Helpers -----------------------------------------------------------------------------------

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #tellOf(name, entry, error) {
    entry.told = !!error;
    this.#tell(name, { topic: entry.topic, match: entry.match, error });
  }

  #start(name, delay, does) {
    this.#stop(name);
    this.#timers[name] = later(does, delay);
  }

  #stop(name) {
    clearTimeout(this.#timers[name]);
    delete this.#timers[name];
  }
}
