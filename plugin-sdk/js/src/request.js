//! The request of a hook: the topic, the route that it matched, and the session. The host is asked
//! for what the hook reads.

import { parse } from './json.js';
import { Refusal } from './refusal.js';

/** The functions of the contract about the current call, until the hook has returned. */
export class Source {
  #functions;

  constructor(functions) {
    this.#functions = functions;
  }

  read(name) {
    if (this.#functions === undefined) {
      throw new Error(`\`${name}\` of a request can be read during its hook only`);
    }
    return this.#functions[name]();
  }

  end() {
    this.#functions = undefined;
  }
}

/** The client that a hook runs for. */
export class Session {
  #source;
  #authid;
  #authrole;
  #roles;
  #authmethod;
  #claims;

  constructor(id, source) {
    this.id = id;
    this.#source = source;
  }

  get authid() {
    return (this.#authid ??= this.#source.read('authid'));
  }

  get authrole() {
    return (this.#authrole ??= this.#source.read('authrole'));
  }

  get roles() {
    return (this.#roles ??= this.#source.read('roles'));
  }

  get authmethod() {
    return (this.#authmethod ??= this.#source.read('authmethod'));
  }

  get claims() {
    return (this.#claims ??= parse(this.#source.read('claims')));
  }

  hasRole(role) {
    return this.roles.includes(role);
  }
}

/** The topic, route and session that a hook is called for. */
export class Request {
  #source;
  #topic;
  #attributes;
  #session;
  #subscribers;

  constructor(route, source) {
    this.handler = route.handler.name;
    this.route = route.name;
    this.state = route.state;
    this.#source = source;
  }

  get topic() {
    return (this.#topic ??= this.#source.read('topic'));
  }

  get attributes() {
    return (this.#attributes ??= Object.fromEntries(this.#source.read('attributes')));
  }

  attribute(name, convert = String) {
    const { attributes } = this;
    if (!Object.hasOwn(attributes, name)) {
      throw Refusal.runtimeError(
        `Failed to find the attribute \`${name}\`: the channel of route \`${this.route}\` does not capture it.`,
      );
    }
    const value = convert(attributes[name]);
    if (Number.isNaN(value)) {
      throw Refusal.invalidArgument(`Failed to read the attribute \`${name}\` from \`${attributes[name]}\`.`);
    }
    return value;
  }

  get session() {
    if (this.#session === undefined) {
      const id = this.#source.read('session') ?? null;
      this.#session = id === null ? null : new Session(id, this.#source);
    }
    return this.#session;
  }

  caller() {
    if (this.session === null) {
      throw Refusal.notAuthorized('Failed to find the session: this hook has none.');
    }
    return this.session;
  }

  get subscribers() {
    return (this.#subscribers ??= this.#source.read('subscribers'));
  }
}
