//! Requests of HTTP: effects, whose answers `onResponse` receives, and those that `onSubscribe` waits
//! for.

import * as check from './check.js';
import { part } from './host.js';
import { parse, stringify } from './json.js';
import { HttpError } from './refusal.js';
import { TextDecoder, encode } from './utf8.js';

export function send(request, context = null) {
  part('http').send(recordOf(request), encode(stringify(context)));
}

export function fetch(request) {
  return part('fetch').send(recordOf(request));
}

/** The record of the contract. */
function recordOf(request) {
  const given = typeof request === 'string' ? { url: request } : request;
  const { url, method, headers = {}, body, json, timeout, ...rest } = given;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw new TypeError(`an HTTP request: unknown option \`${unknown}\``);
  if (body !== undefined && json !== undefined) {
    throw new TypeError('an HTTP request has either `body` or `json`');
  }
  const fields = pairs(headers);
  if (json !== undefined && !fields.some(([name]) => name.toLowerCase() === 'content-type')) {
    fields.push(['content-type', 'application/json']);
  }
  const content = json === undefined ? bytes(body) : encode(stringify(json));
  return {
    method: check.text(method ?? (body === undefined && json === undefined ? 'GET' : 'POST'), 'the method'),
    url: check.text(url, 'the URL'),
    headers: fields,
    body: content,
    timeout: check.timeout(timeout),
  };
}

/** An answer, also one with an error status or a redirect: redirects are not followed. */
export class Response {
  #text;

  constructor(status, body = '', headers = {}) {
    this.status = check.integer(status, 'the status');
    this.body = bytes(body);
    this.headers = pairs(headers);
    Object.freeze(this);
  }

  /** The answer of the contract, whose headers have bytes. */
  static ofContract({ status, headers, body }) {
    return new Response(status, Uint8Array.from(body), headers.map(([name, value]) => [name, decode(Uint8Array.from(value))]));
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  header(name) {
    return find(this.headers, name);
  }

  text() {
    return (this.#text ??= decode(this.body));
  }

  json() {
    try {
      return parse(this.text());
    } catch (error) {
      throw new HttpError('invalid', `the answer is not JSON: ${error.message}`);
    }
  }
}

/** The value of the first header of this name. */
export function find(headers, name) {
  const wanted = check.text(name, 'the name of a header').toLowerCase();
  return headers.find(([own]) => own.toLowerCase() === wanted)?.[1];
}

/** Names and values of headers, of an object or of a list of pairs. */
function pairs(headers) {
  const list = typeof headers?.[Symbol.iterator] === 'function' ? [...headers] : Object.entries(headers);
  return list.map(([name, value]) => [check.text(name, 'the name of a header'), check.text(value, `the header \`${name}\``)]);
}

function decode(bytes) {
  return new TextDecoder().decode(bytes);
}

function bytes(body) {
  if (body instanceof Uint8Array) return body;
  return encode(check.text(body ?? '', 'the body'));
}
