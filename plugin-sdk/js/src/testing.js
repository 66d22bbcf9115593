//! A test double of the server: it drives a plugin in Node, without building a component.
//! Types and documentation: testing.d.ts.

import { checked, testedImports } from './bundle.js';
import { Event } from './event.js';
import { CallAnswer, HttpAnswer } from './answer.js';
import { CONTRACT, exchange } from './host.js';
import { Response, find } from './http.js';
import { parse, stringify } from './json.js';
import { Later } from './later.js';
import { notify, procedure, publish, receive, subscribe } from './plugin.js';
import { HttpError, Refusal, StoreError } from './refusal.js';
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

/** A request that a hook has sent. */
class SentRequest {
  constructor({ method, url, headers, body, timeout }, topic, context) {
    Object.assign(this, { method, url, headers, body, timeout, topic, context });
    Object.freeze(this);
  }

  header(name) {
    return find(this.headers, name);
  }

  text() {
    return decode(this.body);
  }

  json() {
    return parse(this.text());
  }
}

/** The call of a hook, while it runs. */
class Current {
  constructor(topic, isCall) {
    this.topic = topic;
    this.isCall = isCall;
    this.mayWait = false;
    this.deferred = undefined;
  }
}

/** A server for one plugin. */
export class Harness {
  #plugin;
  #imports;
  #routes = [];
  #members = new Map();
  #audience = new Map();
  #store = new Store();
  #effects = [];
  #lines = [];
  #current = new Current('', false);
  #requests = [];
  #answerFetch = () => new HttpError('unreachable', 'the test has no answerFetches');
  #calls = [];
  #deferrals = 0;
  #waiting = new Set();
  #completed = new Map();

  constructor(plugin, { imports } = {}) {
    this.#plugin = plugin;
    this.#imports = imports === undefined ? (testedImports() ?? CONTRACT) : checked(imports, 'imports');
    plugin.checkAnswers(this.#host());
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
      this.#current.mayWait = true;
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
    const { answer, deferred } = this.#call(session, topic, event);
    if (deferred !== undefined) {
      throw new Error(`the result of the call of ${topic} is deferred: use callLater`);
    }
    return answer;
  }

  callLater(session, topic, event = Event.empty()) {
    const { deferred } = this.#call(session, topic, event);
    if (deferred === undefined) throw new Error(`the result of the call of ${topic} is not deferred`);
    return new Later(deferred);
  }

  #call(session, topic, event) {
    const { route, functions } = this.#ask(session, topic, event, true);
    if (!has(route, 'onCall')) throw Refusal.noSuchProcedure(topic);
    const answer = this.#run(() => procedure(route, functions));
    const { deferred } = this.#current;
    const refusal = answer instanceof Refusal ? answer : undefined;
    if (refusal !== undefined) this.#waiting.delete(deferred);
    this.#settle(refusal);
    return { answer, deferred };
  }

  completed({ id }) {
    const answer = this.#completed.get(id);
    this.#completed.delete(id);
    return answer;
  }

  requests() {
    return this.#requests.splice(0);
  }

  answerFetches(answer) {
    this.#answerFetch = answer;
  }

  calls() {
    return this.#calls.splice(0);
  }

  respond({ topic, context }, answer) {
    if (!(answer instanceof Response || answer instanceof HttpError)) {
      throw new TypeError('the answer to a request is an http.Response or an HttpError');
    }
    const isError = answer instanceof HttpError;
    this.#receive(topic, 'onResponse', isError ? new HttpAnswer(undefined, answer) : new HttpAnswer(answer), context);
  }

  giveResult({ topic, context }, answer) {
    if (!(answer instanceof Event || answer instanceof Refusal)) {
      throw new TypeError('the result of a call is an Event or a Refusal');
    }
    const isError = answer instanceof Refusal;
    this.#receive(topic, 'onResult', isError ? new CallAnswer(undefined, answer) : new CallAnswer(answer), context);
  }

  #receive(topic, hook, answer, context) {
    const { route, functions } = this.#ask(null, topic);
    this.#run(() => receive(route, functions, hook, answer, context));
    this.#settle();
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
  #ask(session, topic, event = Event.empty(), isCall = false) {
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
    this.#current = new Current(topic, isCall);
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
      this.#waiting.delete(this.#current.deferred);
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

  /** The parts of the host that the bundle imports. */
  #host() {
    const parts = this.#parts();
    const imported = this.#imports.map((name) => [name, parts[name]]);
    return { now: () => this.#store.time, ...Object.fromEntries(imported) };
  }

  #parts() {
    const effect = (act) => void this.#effects.push(act);
    const { topic } = this.#current;
    return {
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
      http: {
        send: (request, context) => effect(() => this.#requests.push(new SentRequest(request, topic, decode(context)))),
      },
      fetch: { send: (request) => this.#fetch(request) },
      calls: {
        call: (procedure, { args, kwargs }, timeout, context) =>
          effect(() => {
            const event = Event.fromJson(args, kwargs);
            this.#calls.push(Object.freeze({ procedure, event, timeout, topic, context: decode(context) }));
          }),
      },
      later: {
        defer: () => this.#defer(),
        complete: (id, { tag, val }) => {
          effect(() => {
            if (!this.#waiting.delete(id)) return;
            const answer = tag === 'ok' ? Event.fromJson(val.args, val.kwargs) : new Refusal(val.uri, val.message);
            this.#completed.set(id, answer);
          });
          return this.#waiting.has(id);
        },
      },
    };
  }

  #fetch(request) {
    const { topic, mayWait } = this.#current;
    if (!mayWait) throw new HttpError('denied', 'only onSubscribe may wait for an answer');
    const answer = this.#answerFetch(new SentRequest(request, topic, 'null'));
    if (answer instanceof HttpError) throw answer;
    if (answer instanceof Response) return answer;
    throw new TypeError('the answer to a request is an http.Response or an HttpError');
  }

  #defer() {
    const current = this.#current;
    if (!current.isCall) throw new Error('a result can be deferred in onCall only');
    if (current.deferred !== undefined) throw new Error('the result of this call is deferred already');
    current.deferred = this.#deferrals += 1;
    this.#waiting.add(current.deferred);
    return current.deferred;
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
