//! The component: the exports of the contract, which drive the plugin. The build writes an entry
//! module that passes the plugin and the imports.

import './globals.js';

import { CallAnswer, HttpAnswer } from './answer.js';
import { Event } from './event.js';
import { exchange } from './host.js';
import { Response } from './http.js';
import { Later } from './later.js';
import { ANSWERS, Plugin, notify, procedure, publish, receive, subscribe } from './plugin.js';
import { HttpError, Refusal, StoreError } from './refusal.js';
import { decode } from './utf8.js';

/** The exports `handler` and `answers` of the contract. */
export function component(plugin, imports) {
  if (!(plugin instanceof Plugin)) {
    throw new TypeError('the default export of the module has to be a plugin: export default plugin({ … })');
  }
  const { store, http, fetch, calls, later } = imports;
  const host = {
    ...imports,
    store: store && storeOf(store),
    http: http && { send: guarded(http.send, httpError) },
    fetch: fetch && { send: guarded((request) => Response.ofContract(fetch.send(request)), httpError) },
    calls: calls && { call: guarded(calls.call, refusalOf) },
    later: later && { defer: guarded(later.defer, refusalOf), complete: later.complete },
  };
  plugin.checkAnswers(host);
  const { request } = imports;
  const routes = new Map();

  /** Runs an export. An error ends the instance; its name and stack go to the log. */
  const run = (body) => {
    exchange(host);
    try {
      return body();
    } catch (error) {
      throw fault(error);
    }
  };

  const handler = {
    describe: () => run(() => manifest(plugin)),
    configure(route) {
      // A message for the operator, in place of an error, becomes the error of the contract.
      const problem = run(() => {
        try {
          routes.set(route.id, plugin.configure(route));
          return undefined;
        } catch (error) {
          if (error instanceof TypeError || error instanceof ReferenceError) throw error;
          return String(error?.message ?? error);
        }
      });
      if (problem !== undefined) throw problem;
    },
    onSubscribe: (route) => run(() => subscribeVerdict(subscribe(routes.get(route), request))),
    onUnsubscribe: (route) => run(() => notify(routes.get(route), request, 'onUnsubscribe')),
    onPublish: (route) => run(() => publishVerdict(publish(routes.get(route), request))),
    onCall(route) {
      const answer = run(() => procedure(routes.get(route), request));
      if (answer instanceof Refusal) throw refusal(answer);
      // The host ignores the value of a call that is deferred.
      return (answer instanceof Later ? Event.empty() : answer).read();
    },
    onTimer: (route) => run(() => notify(routes.get(route), request, 'onTimer')),
  };
  const receives = (hook, read) => (route, context, answer) =>
    run(() => receive(routes.get(route), request, hook, read(answer), decode(Uint8Array.from(context))));
  const answers = {
    onResponse: receives('onResponse', httpAnswer),
    onResult: receives('onResult', callAnswer),
  };
  return { handler, answers };
}

function httpAnswer({ tag, val }) {
  if (tag === 'ok') return new HttpAnswer(Response.ofContract(val), undefined);
  return new HttpAnswer(undefined, httpError(val));
}

function callAnswer({ tag, val }) {
  if (tag === 'ok') return new CallAnswer(Event.fromJson(val.args, val.kwargs), undefined);
  return new CallAnswer(undefined, refusalOf(val));
}

function httpError({ tag, val }) {
  return new HttpError(tag, val);
}

function refusalOf({ uri, message }) {
  return new Refusal(uri, message);
}

/** An import whose error is one of the SDK. */
function guarded(run, errorOf) {
  return (...values) => {
    try {
      return run(...values);
    } catch (error) {
      if (error?.payload === undefined) throw error;
      throw errorOf(error.payload);
    }
  };
}

function manifest(plugin) {
  const handlers = plugin.handlers.map(({ name, summary, every, hooks }) => ({
    name,
    summary,
    timer: every,
    hooks: Object.fromEntries(
      hooks.filter((hook) => ANSWERS[hook] === undefined).map((hook) => [hook.slice(2).toLowerCase(), true]),
    ),
  }));
  const { name, version, stateless, schema } = plugin;
  return { name, version, handlers, stateless, schema };
}

function subscribeVerdict(verdict) {
  return verdict.refusal === undefined ? { tag: 'allow' } : { tag: 'deny', val: refusal(verdict.refusal) };
}

function publishVerdict({ kind, event, excluded, only, refusal: refused }) {
  if (kind === 'reject') return { tag: kind, val: refusal(refused) };
  if (kind !== 'deliver') return { tag: kind };
  return { tag: kind, val: { event: event?.read(), exclude: excluded, eligible: only } };
}

function refusal({ uri, message }) {
  return { uri: uri.toWellFormed(), message: message.toWellFormed() };
}

/** The store, whose errors have the key. */
function storeOf(functions) {
  const guard = (name) => (key, ...rest) => {
    try {
      return functions[name](key, ...rest);
    } catch (error) {
      throw new StoreError(error.payload?.tag ?? error.payload ?? error.message, key);
    }
  };
  const [set, increment, compareAndSet] = ['set', 'increment', 'compareAndSet'].map(guard);
  const { get, delete: remove, entries } = functions;
  return { get, set, delete: remove, increment, compareAndSet, entries };
}

/** The runtime reports message and stack of an error, and not its name. */
function fault(error) {
  if (!(error instanceof Error)) return new Error(`thrown: ${String(error)}`);
  const told = new Error(`${error.name}: ${error.message}`.toWellFormed());
  const frames = (error.stack ?? '').split('\n');
  told.stack = frames.filter((frame) => !frame.includes('/jackfield-plugin/src/')).join('\n');
  return told;
}
