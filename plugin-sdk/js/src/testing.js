//! A test double of the server: it drives a plugin in Node, without building a component.
//! Types and documentation: testing.d.ts.

import { Event } from './event.js';
import { exchange } from './host.js';
import { parse, stringify } from './json.js';
import { notify, procedure, publish, subscribe } from './plugin.js';
import { Refusal, StoreError } from './refusal.js';
import { decode, encode } from './utf8.js';

/** 1 January 2026, 00:00 UTC. */
const START = Date.UTC(2026, 0, 1);

/** The host's limit of effects of a hook. */
const MAX_EFFECTS = 1000;

/** The store of the plugin, with the clock of the test. */
class Store {
  entries = new Map();
  time = START;
  full = false;

  /** The functions of the contract. */
  functions() {
    const write = (key, bytes, ttl) => {
      if (this.full || key.length > 1024 || bytes.length > 1024 * 1024) throw new StoreError('full', key);
      this.entries.set(key, { bytes, until: ttl === undefined ? Infinity : this.time + ttl });
    };
    const remove = (key) => this.#live(key) !== undefined && this.entries.delete(key);
    return {
      get: (key) => this.#live(key)?.bytes,
      set: write,
      delete: remove,
      increment: (key, by) => {
        const found = this.#live(key);
        const text = found === undefined ? '0' : decode(found.bytes);
        if (!/^-?[0-9]+$/.test(text)) throw new StoreError('not-a-number', key);
        const sum = BigInt(text) + BigInt(by);
        if (BigInt.asIntN(64, sum) !== sum) throw new StoreError('not-a-number', key);
        write(key, encode(String(sum)), found === undefined ? undefined : found.until - this.time);
        return Number(sum);
      },
      compareAndSet: (key, expected, bytes, ttl) => {
        const hex = (value) => value && Array.from(value).join();
        if (hex(this.#live(key)?.bytes) !== hex(expected)) return false;
        if (bytes === undefined) remove(key);
        else write(key, bytes, ttl);
        return true;
      },
      entries: (prefix, limit) =>
        [...this.entries.keys()]
          .filter((key) => key.startsWith(prefix) && this.#live(key) !== undefined)
          .sort()
          .slice(0, limit)
          .map((key) => [key, this.entries.get(key).bytes]),
    };
  }

  #live(key) {
    const found = this.entries.get(key);
    return found !== undefined && this.time < found.until ? found : undefined;
  }
}

/** A server for one plugin. */
export class Harness {
  #plugin;
  #routes = [];
  #members = new Map();
  #audience = new Map();
  #store = new Store();
  #effects = [];
  #lines = [];

  constructor(plugin) {
    this.#plugin = plugin;
  }

  route(channel, handler, args = null) {
    const record = { handler, name: channel, channel, args: stringify(args) };
    const route = this.#run(() => this.#plugin.configure(record));
    this.#routes.push({ record, route, pattern: pattern(channel) });
  }

  join({ authid, roles, authmethod, claims = {} } = {}) {
    const id = this.#members.size + 1;
    this.#members.set(id, {
      authid: authid ?? 'anonymous',
      roles: roles ?? (authid === undefined ? ['anonymous'] : []),
      authmethod: authmethod ?? (authid === undefined ? 'anonymous' : 'ticket'),
      claims: stringify(claims),
      inbox: [],
    });
    return id;
  }

  leave(session) {
    for (const [topic, audience] of this.#audience) {
      if (audience.has(session)) this.unsubscribe(session, topic);
    }
  }

  subscribe(session, topic) {
    if (this.isSubscribed(session, topic)) return;
    const { route, functions } = this.#ask(session, topic);
    if (has(route, 'onSubscribe')) {
      const { refusal } = this.#run(() => subscribe(route, functions));
      if (refusal !== undefined) this.#settle(refusal);
    }
    this.#subscribers(topic).add(session);
    this.#settle();
  }

  unsubscribe(session, topic) {
    if (!this.#subscribers(topic).delete(session)) return;
    const { route, functions } = this.#ask(session, topic);
    if (has(route, 'onUnsubscribe')) this.#run(() => notify(route, functions, 'onUnsubscribe'));
    this.#settle();
  }

  publish(session, topic, event) {
    const { route, functions } = this.#ask(session, topic, event);
    const verdict = has(route, 'onPublish')
      ? this.#run(() => publish(route, functions))
      : { kind: 'broadcast', excluded: [] };
    if (verdict.kind === 'broadcast' || verdict.kind === 'deliver') {
      this.#deliver(topic, verdict.event ?? event, [...verdict.excluded, session], verdict.only);
    }
    this.#settle(verdict.refusal);
  }

  call(session, topic, event = Event.empty()) {
    const { route, functions } = this.#ask(session, topic, event);
    if (!has(route, 'onCall')) throw Refusal.noSuchProcedure(topic);
    const answer = this.#run(() => procedure(route, functions));
    this.#settle(answer instanceof Refusal ? answer : undefined);
    return answer;
  }

  timer(topic) {
    const { route, functions } = this.#ask(null, topic);
    if (has(route, 'onTimer')) this.#run(() => notify(route, functions, 'onTimer'));
    this.#settle();
  }

  advance(milliseconds) {
    this.#store.time += milliseconds;
  }

  received(session) {
    return this.#member(session).inbox.splice(0);
  }

  isSubscribed(session, topic) {
    return this.#subscribers(topic).has(session);
  }

  closed(session) {
    return this.#member(session).closed;
  }

  stored(key) {
    const bytes = this.#store.functions().get(key);
    return bytes === undefined ? undefined : parse(decode(bytes));
  }

  logged() {
    return this.#lines.splice(0);
  }

  setStoreFull(full) {
    this.#store.full = full;
  }

  /** The route of a topic, and the functions of the contract about a call. */
  #ask(session, topic, event = Event.empty()) {
    const found = this.#routes.find(({ pattern: one }) => one.test(topic));
    if (found === undefined) throw new Error(`no route matches ${topic}`);
    const member = session === null ? { authid: '', roles: [], authmethod: '', claims: '{}' } : this.#member(session);
    const functions = {
      topic: () => topic,
      attributes: () => Object.entries(found.pattern.exec(topic).groups ?? {}),
      subscribers: () => this.#subscribers(topic).size,
      session: () => session,
      authid: () => member.authid,
      authrole: () => member.roles[0] ?? '',
      roles: () => member.roles,
      authmethod: () => member.authmethod,
      claims: () => member.claims,
      args: () => event.argsJson,
      kwargs: () => event.kwargsJson,
    };
    // A stateless handler keeps no state of a route from call to call.
    if (this.#plugin.stateless) this.#renew();
    return { route: found.route, functions };
  }

  /** Calls the plugin. An exception undoes everything and makes the states of the routes anew. */
  #run(body) {
    const before = new Map(this.#store.entries);
    const outside = exchange(this.#host());
    try {
      const answer = body();
      if (this.#effects.length > MAX_EFFECTS) throw new Error(`more than ${MAX_EFFECTS} effects`);
      return answer;
    } catch (error) {
      this.#store.entries = before;
      this.#effects = [];
      this.#renew();
      throw error;
    } finally {
      exchange(outside);
    }
  }

  #renew() {
    const outside = exchange(this.#host());
    try {
      for (const { record, route } of this.#routes) route.state = this.#plugin.configure(record).state;
    } finally {
      exchange(outside);
    }
  }

  #host() {
    const effect = (act) => void this.#effects.push(act);
    return {
      now: () => this.#store.time,
      log: { log: (level, message) => void this.#lines.push({ level, message }) },
      store: this.#store.functions(),
      topics: {
        publish: (topic, event, exclude, eligible) =>
          effect(() => this.#deliver(topic, Event.fromJson(event.args, event.kwargs), exclude, eligible)),
        subscribers: (topic) => [...this.#subscribers(topic)],
        count: (topic) => this.#subscribers(topic).size,
      },
      sessions: {
        send: (session, topic, event) =>
          effect(() => this.#deliver(topic, Event.fromJson(event.args, event.kwargs), [], [session])),
        unsubscribe: (session, topic) => effect(() => this.unsubscribe(session, topic)),
        close: (session, reason, message) =>
          effect(() => {
            const member = this.#members.get(session);
            if (member === undefined || member.closed !== undefined) return;
            member.closed = { reason, message };
            this.leave(session);
          }),
      },
    };
  }

  /** Applies the effects of the last hook in order, and then throws its refusal. */
  #settle(refusal) {
    for (const act of this.#effects.splice(0)) act();
    if (refusal !== undefined) throw refusal;
  }

  #deliver(topic, event, exclude, eligible) {
    for (const session of this.#subscribers(topic)) {
      if (exclude.includes(session) || eligible?.includes(session) === false) continue;
      this.#member(session).inbox.push({ topic, args: parse(event.argsJson), kwargs: parse(event.kwargsJson) });
    }
  }

  #subscribers(topic) {
    if (!this.#audience.has(topic)) this.#audience.set(topic, new Set());
    return this.#audience.get(topic);
  }

  #member(session) {
    const member = this.#members.get(session);
    if (member === undefined) throw new Error(`no session ${session} has joined`);
    return member;
  }
}

function has(route, hook) {
  return route.handler.hooks.includes(hook);
}

/** The topics of a channel. A variable takes one segment. */
function pattern(channel) {
  const parts = channel.split(/(\{\w+\})/);
  const source = parts.map((part) =>
    /^\{\w+\}$/.test(part) ? `(?<${part.slice(1, -1)}>[^/]+)` : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'),
  );
  return new RegExp(`^${source.join('')}$`, 'u');
}
