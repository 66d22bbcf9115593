//! The component: the exports of the contract, which drive the plugin. The build writes an entry
//! module that passes the plugin and the imports.

import './globals.js';

import { exchange } from './host.js';
import { Plugin, notify, procedure, publish, subscribe } from './plugin.js';
import { Refusal, StoreError } from './refusal.js';

/** The export `handler` of the contract. */
export function component(plugin, imports) {
  if (!(plugin instanceof Plugin)) {
    throw new TypeError('the default export of the module has to be a plugin: export default plugin({ … })');
  }
  const host = { ...imports, store: imports.store && store(imports.store) };
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

  return {
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
      return answer.read();
    },
    onTimer: (route) => run(() => notify(routes.get(route), request, 'onTimer')),
  };
}

function manifest(plugin) {
  const handlers = plugin.handlers.map(({ name, summary, every, hooks }) => ({
    name,
    summary,
    timer: every,
    hooks: Object.fromEntries(hooks.map((hook) => [hook.slice(2).toLowerCase(), true])),
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
function store(functions) {
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
