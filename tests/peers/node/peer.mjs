// Third-party WAMP client, driven line by line like `peer.py`: one JSON command a line on standard
// input, one JSON report a line on standard output. `tests/src/peer.rs` is the other end.
//
// Binary values are strings of NUL and base64, in both directions; these libraries have no binary
// under JSON, where the strings pass unchanged.
//
// The modules are outside of the working tree's sources: JACKFIELD_NODE_PEERS names their folder.

import { createRequire } from 'node:module';
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    client: { type: 'string' },
    url: { type: 'string' },
    realm: { type: 'string', default: 'realm1' },
    serializer: { type: 'string', default: 'json' },
    // Authenticates as the user ann, if the server asks for a ticket.
    ticket: { type: 'string' },
  },
});
const require = createRequire(`${process.env.JACKFIELD_NODE_PEERS}/`);

// wamp.io is from 2012 and expects events here.
process.EventEmitter = EventEmitter;
// Node has a WebSocket of its own from version 22 on.
globalThis.WebSocket ??= class extends require('ws') {
  constructor(...rest) {
    super(...rest);
    // A browser does not require an error listener; `close` follows.
    this.addEventListener('error', () => {});
  }
};
// autobahn-js logs to the console, which would corrupt the protocol.
console.log = console.error;
console.warn = console.error;

const report = (line) => process.stdout.write(`${JSON.stringify(line, plain)}\n`);

// Session ids are BigInt under some serializers; JSON knows only numbers, and 53 bits fit.
const plain = (_key, value) => (typeof value === 'bigint' ? Number(value) : value);

const binary = options.serializer !== 'json';

/** Converts values of a command into values for the client. */
function fromLine(value) {
  if (typeof value === 'string' && value.startsWith('\0') && binary) {
    return Buffer.from(value.slice(1), 'base64');
  }
  if (Array.isArray(value)) return value.map(fromLine);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromLine(item)]));
}

/** Converts values from the client into values for a report. */
function toLine(value) {
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) {
    return `\0${Buffer.from(value).toString('base64')}`;
  }
  // msgpack5 leaves binary in a buffer list.
  if (typeof value?.slice === 'function' && typeof value?.append === 'function') {
    return toLine(value.slice());
  }
  if (value instanceof Map) return toLine(Object.fromEntries(value));
  if (Array.isArray(value)) return value.map(toLine);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toLine(item)]));
}

function reportEvent(topic, args, kwargs, details) {
  report({ event: topic, args: toLine(args ?? []), kwargs: toLine(kwargs ?? {}), details: toLine(details ?? {}) });
}

/** Executes commands in order, and reports the result of each. */
async function obey(client) {
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    const name = command.do;
    try {
      if (!client[name]) throw new Error(`${options.client} cannot ${name}`);
      report({ done: name, ...(await client[name](command)) });
    } catch (error) {
      const uri = error?.errorUri ?? error?.error ?? error?.name ?? String(error);
      report({ failed: name, error: uri, message: error?.message ?? toLine(error?.args ?? []) });
    }
    if (name === 'leave') break;
  }
  process.exit(0);
}

function autobahn() {
  const { Connection, serializer } = require('autobahn');
  const serializers = {
    json: () => new serializer.JSONSerializer(),
    msgpack: () => new serializer.MsgpackSerializer(),
    cbor: () => new serializer.CBORSerializer(),
  };
  const connection = new Connection({
    transports: [{ type: 'websocket', url: options.url, serializers: [serializers[options.serializer]()] }],
    realm: options.realm,
    max_retries: 0,
    ...(options.ticket && { authmethods: ['ticket'], authid: 'ann', onchallenge: () => options.ticket }),
  });
  const subscriptions = new Map();
  let ended;
  const end = new Promise((resolve) => { ended = resolve; });
  connection.onclose = (reason, details) => {
    if (connection.joined) report({ left: details.reason, message: details.message ?? null });
    else report({ refused: details.reason ?? reason, message: details.message ?? null });
    report({ disconnected: true });
    ended();
    if (!connection.joined) process.exit(0);
    return true;
  };
  connection.onopen = (session, details) => {
    connection.joined = true;
    report({ joined: session.id, protocol: details.transport?.protocol });
    obey({
      async subscribe({ topic, options }) {
        const handler = (args, kwargs, event) => reportEvent(
          event.topic ?? topic, args, kwargs, { publication: event.publication, publisher: event.publisher });
        const subscription = await session.subscribe(topic, handler, options);
        subscriptions.set(topic, subscription);
        return { subscription: subscription.id };
      },
      async unsubscribe({ topic }) {
        await session.unsubscribe(subscriptions.get(topic));
      },
      async publish({ topic, args, kwargs, options }) {
        const publication = await session.publish(topic, fromLine(args ?? []), fromLine(kwargs ?? {}), options);
        return { publication: publication?.id };
      },
      async burst({ procedure, count, size }) {
        // All calls are sent before any is awaited.
        const text = 'x'.repeat(size);
        const calls = Array.from({ length: count }, (_, n) => session.call(procedure, [`${n} ${text}`]));
        const results = await Promise.all(calls);
        return { whole: results.filter((result, n) => result === `${n} ${text}`).length };
      },
      async call({ procedure, args, kwargs, options }) {
        const result = await session.call(procedure, fromLine(args ?? []), fromLine(kwargs ?? {}), options);
        // The library gives a result of one value as that value, and any other as an object.
        const { Result } = require('autobahn');
        const { args: list, kwargs: dict } = result instanceof Result ? result : { args: [result], kwargs: {} };
        return { args: toLine(list), kwargs: toLine(dict) };
      },
      async register({ procedure }) {
        const { Result } = require('autobahn');
        const registration = await session.register(procedure, (args, kwargs) => new Result(args, kwargs));
        return { registration: registration.id };
      },
      async leave() {
        connection.close();
        await end;
      },
    });
  };
  connection.open();
}

async function wampy() {
  const { Wampy } = require('wampy');
  const serializers = {
    json: () => new (require('wampy/JsonSerializer.js').JsonSerializer)(),
    msgpack: () => new (require('wampy/MsgpackSerializer.js').MsgpackSerializer)(),
    cbor: () => new (require('wampy/CborSerializer.js').CborSerializer)(),
  };
  const subscriptions = new Map();
  let ended;
  const end = new Promise((resolve) => { ended = resolve; });
  const client = new Wampy(options.url, {
    ws: require('ws'),
    realm: options.realm,
    ...(options.ticket && { authmethods: ['ticket'], authid: 'ann', onChallenge: () => options.ticket }),
    serializer: serializers[options.serializer](),
    maxRetries: 0,
    autoReconnect: false,
    onClose: () => { report({ disconnected: true }); ended(); },
    onError: (error) => console.error(error),
  });
  let welcome;
  try {
    welcome = await client.connect();
  } catch (error) {
    report({ refused: error.errorUri ?? error.message, message: error.details?.message ?? null });
    process.exit(0);
  }
  report({ joined: client.getSessionId(), protocol: `wamp.2.${options.serializer}`, roles: Object.keys(welcome.roles ?? {}) });
  await obey({
    async subscribe({ topic, options }) {
      const handler = ({ argsList, argsDict, details }) => reportEvent(details.topic ?? topic, argsList, argsDict, details);
      // After options of any kind, even empty ones, wampy 8.0.2 cannot unsubscribe.
      const some = Object.keys(options ?? {}).length > 0 ? options : undefined;
      const subscription = await client.subscribe(topic, handler, some);
      subscriptions.set(topic, subscription.subscriptionId);
      return { subscription: subscription.subscriptionId };
    },
    async unsubscribe({ topic }) {
      await client.unsubscribe(subscriptions.get(topic));
    },
    async publish({ topic, args, kwargs, options }) {
      const payload = { argsList: fromLine(args ?? []), argsDict: fromLine(kwargs ?? {}) };
      const publication = await client.publish(topic, payload, options);
      return { publication: publication?.publicationId };
    },
    async call({ procedure, args, kwargs, options }) {
      const payload = { argsList: fromLine(args ?? []), argsDict: fromLine(kwargs ?? {}) };
      const { argsList, argsDict } = await client.call(procedure, payload, options);
      return { args: toLine(argsList ?? []), kwargs: toLine(argsDict ?? {}) };
    },
    async stream({ procedure, parts }) {
      const [first, ...rest] = parts.map((args) => ({ argsList: fromLine(args) }));
      const { result, sendData } = client.progressiveCall(procedure, first);
      rest.forEach((part, n) => sendData(part, { progress: n + 1 < rest.length }));
      return { args: toLine((await result).argsList ?? []) };
    },
    async register({ procedure }) {
      const echo = ({ argsList, argsDict }) => ({ argsList, argsDict });
      const { registrationId } = await client.register(procedure, echo);
      return { registration: registrationId };
    },
    async leave() {
      await client.disconnect();
      await end;
    },
  });
}

/** WAMP v1. The library's client has calls and nothing else; `raw` sends all other messages. */
function wampio() {
  const WebSocket = require('ws');
  // wamp.io passes the subprotocol in the form of the `ws` of its time.
  require.cache[require.resolve('ws')].exports = class extends WebSocket {
    constructor(url, { protocol }) {
      super(url, protocol);
    }
  };
  const wamp = require('wamp.io');
  let ended;
  const end = new Promise((resolve) => { ended = resolve; });
  const session = wamp.connect(options.url, opened, () => { report({ disconnected: true }); ended(); });
  const socket = session._websocket;
  socket.addEventListener('error', (error) => { report({ refused: error.message }); process.exit(0); });
  function opened() {
    report({ joined: session._session_id, protocol: socket.protocol });
    let refuse;
    socket.addEventListener('message', ({ data }) => {
      const [kind, subject, value, description] = JSON.parse(data);
      if (kind === 8) reportEvent(subject, [value]);
      // The library lets a failed call wait forever.
      if (kind === 4) refuse?.({ errorUri: value, message: description });
    });
    const raw = (...message) => { socket.send(JSON.stringify(message)); };
    obey({
      async subscribe({ topic }) { raw(5, topic); },
      async unsubscribe({ topic }) { raw(6, topic); },
      async publish({ topic, args }) { raw(7, topic, args[0]); },
      async call({ procedure, args }) {
        const refused = new Promise((_resolve, reject) => { refuse = reject; });
        return { result: await Promise.race([session.call(procedure, ...args).promise, refused]) };
      },
      async leave() {
        socket.close(1000);
        await end;
      },
    });
  }
}

await { autobahn, wampy, wampio }[options.client]();
