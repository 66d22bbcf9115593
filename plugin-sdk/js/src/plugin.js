//! A plugin: its name, its version and its handlers, and the calls of their hooks.

import * as check from './check.js';
import { Event } from './event.js';
import { missing } from './host.js';
import { parse } from './json.js';
import { Later } from './later.js';
import * as log from './log.js';
import { Refusal } from './refusal.js';
import { Request, Source } from './request.js';
import { PublishVerdict, SubscribeVerdict } from './verdict.js';

const HOOKS = ['onSubscribe', 'onUnsubscribe', 'onPublish', 'onCall', 'onTimer'];
/** The hooks for answers, and the import without which none comes. The contract does not list them. */
export const ANSWERS = { onResponse: 'http', onResult: 'calls' };
const OPTIONS = ['summary', 'stateless', 'every', 'configure', ...HOOKS, ...Object.keys(ANSWERS)];

/** A handler: its name and its hooks. */
class Handler {
  constructor(name, options) {
    if (check.text(name, 'the name of a handler') === '') throw new TypeError('a handler has no name');
    const unknown = Object.keys(options).find((key) => !OPTIONS.includes(key));
    if (unknown !== undefined) {
      throw new TypeError(`handler ${name}: unknown option \`${unknown}\`; expected one of ${OPTIONS.join(', ')}`);
    }
    for (const hook of ['configure', ...HOOKS, ...Object.keys(ANSWERS)]) {
      if (options[hook] !== undefined && typeof options[hook] !== 'function') {
        throw new TypeError(`handler ${name}: ${hook} has to be a function`);
      }
    }
    this.name = name;
    this.summary = check.text(options.summary ?? '', 'summary');
    this.stateless = options.stateless === true;
    this.every = check.milliseconds(options.every, 'every');
    this.options = options;
    Object.freeze(this);
  }

  /** The registered hooks, such as `onPublish`. */
  get hooks() {
    return [...HOOKS, ...Object.keys(ANSWERS)].filter((hook) => this.options[hook] !== undefined);
  }
}

/** The route of a handler, as `configure` receives it. */
class Route {
  constructor({ name, channel, args }, handler) {
    this.name = name;
    this.channel = channel;
    this.args = parse(args);
    this.handler = handler;
  }
}

/** A plugin, which is the default export of a bundle's module. */
export class Plugin {
  constructor({ name, version, schema = 0, handlers, ...rest }) {
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) throw new TypeError(`plugin: unknown option \`${unknown}\``);
    if (check.text(name, 'the name of the plugin') === '') throw new TypeError('the plugin has no name');
    if (!Array.isArray(handlers) || !handlers.every((one) => one instanceof Handler)) {
      throw new TypeError('plugin: `handlers` has to be a list of handler(…)');
    }
    const names = handlers.map((one) => one.name);
    const twice = names.find((one, index) => names.indexOf(one) !== index);
    if (twice !== undefined) throw new TypeError(`plugin: two handlers are named ${twice}`);
    this.name = name;
    this.version = check.text(version, 'the version of the plugin');
    this.schema = check.integer(schema, 'schema');
    this.handlers = [...handlers];
    Object.freeze(this);
  }

  /** Whether every handler is declared stateless. */
  get stateless() {
    return this.handlers.length > 0 && this.handlers.every((one) => one.stateless);
  }

  /** Refuses a hook for answers that never come, because the component lacks the import. */
  checkAnswers(host) {
    for (const { name, options } of this.handlers) {
      for (const [hook, needed] of Object.entries(ANSWERS)) {
        if (options[hook] !== undefined && host[needed] === undefined) {
          throw new TypeError(`handler ${name}: ${hook} is never called: ${missing(needed, host)}`);
        }
      }
    }
  }

  /** The state of a route; `record` is that of the contract. Throws what `configure` throws. */
  configure(record) {
    const handler = this.handlers.find((one) => one.name === record.handler);
    if (handler === undefined) throw new Error(`the plugin has no handler \`${record.handler}\``);
    const route = new Route(record, handler);
    const configure = handler.options.configure ?? (({ args }) => args);
    route.state = settled(configure(route), 'configure');
    return route;
  }
}

export function plugin(options) {
  return new Plugin(options);
}

export function handler(name, options = {}) {
  return new Handler(name, options);
}

/** Calls `onSubscribe`. */
export function subscribe(route, functions) {
  return call(route, functions, 'onSubscribe', (verdict) => {
    if (verdict instanceof Refusal) return new SubscribeVerdict(verdict);
    return expect(verdict, SubscribeVerdict, 'onSubscribe', 'allow() or deny("…")');
  });
}

/** Calls `onPublish`. */
export function publish(route, functions) {
  return call(route, functions, 'onPublish', (verdict) => {
    if (verdict instanceof Refusal) return new PublishVerdict('reject', { refusal: verdict });
    return expect(verdict, PublishVerdict, 'onPublish', 'broadcast(), deliver(event), drop() or reject("…")');
  });
}

/** Calls `onCall`. Returns an event, a deferred call or a refusal. */
export function procedure(route, functions) {
  Later.takeDeferred();
  return call(route, functions, 'onCall', (answer) => {
    const deferred = Later.takeDeferred();
    if (answer instanceof Later && answer.id !== deferred) {
      throw new TypeError('onCall returned the Later of another call');
    }
    if (answer instanceof Refusal || answer instanceof Later) return answer;
    return expect(answer, Event, 'onCall', 'an Event or a Later');
  });
}

/** Calls `onResponse` or `onResult`, if the handler has it, with the text of the context. */
export function receive(route, functions, hook, answer, context) {
  if (route.handler.options[hook] !== undefined) notify(route, functions, hook, answer, contextOf(context));
}

function contextOf(text) {
  try {
    return parse(text);
  } catch (error) {
    throw new TypeError(`the context is not JSON: ${error.message}`);
  }
}

/** Calls a hook whose refusals no client receives, such as `onTimer`. */
export function notify(route, functions, hook, ...values) {
  const finish = (answer) => {
    if (answer instanceof Refusal) log.warn(`${hook}: ${answer.uri}: ${answer.message}`);
  };
  call(route, functions, hook, finish, ...values);
}

function call(route, functions, hook, finish, ...values) {
  const source = new Source(functions);
  const request = new Request(route, source);
  try {
    const run = route.handler.options[hook];
    const withEvent = hook === 'onPublish' || hook === 'onCall';
    const answer = withEvent ? run(request, Event.ofCall(source)) : run(request, ...values);
    const result = finish(settled(answer, hook));
    // The texts of an event that is passed on are asked for now.
    if (result instanceof Event) result.read();
    else result?.event?.read();
    return result;
  } catch (error) {
    if (error instanceof Refusal) return finish(error);
    throw error;
  } finally {
    source.end();
  }
}

/** Refuses promises: nothing would wait for them. */
function settled(answer, hook) {
  if (typeof answer?.then === 'function') {
    throw new TypeError(`${hook} returned a promise: hooks are not asynchronous`);
  }
  return answer;
}

function expect(answer, type, hook, expected) {
  if (answer instanceof type) return answer;
  throw new TypeError(`${hook} has to return ${expected}, not ${check.describe(answer)}`);
}
