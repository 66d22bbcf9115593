// The features of kraftfahrstrasse.

import { createHmac, pbkdf2Sync } from 'node:crypto';

import { ARGS, BINARY, KWARGS, Queue, SECRETS, authenticated, checkBinary, equal, fault, main, missing, require, source, uri } from './features.mjs';

const PACKAGE = '@verkehrsministerium/kraftfahrstrasse';
const library = require(PACKAGE);
const { AnonymousAuthProvider, Connection, NodeWebSocketTransport, TicketAuthProvider, WampError } = library;
const CLOSED = 'the connection has closed';
const SERIALIZERS = { json: 'JSONSerializer', msgpack: 'NodeMSGPackSerializer' };

function features({ url, serializer: name }) {
  if (name === 'cbor') missing(!Object.keys(library).some((key) => /cbor/i.test(key)), 'the library exports no serializer for it');

  /** Opens sessions, passes them and their details to `body`, and closes them. */
  async function sessions(count, body, { authProvider = new AnonymousAuthProvider(), ...more } = {}) {
    const opened = [];
    let details;
    let closed;
    const end = new Promise((_resolve, reject) => { closed = () => reject(new Error(CLOSED)); });
    try {
      while (opened.length < count) {
        const connection = new Connection({
          endpoint: url,
          realm: 'realm1',
          serializer: new library[SERIALIZERS[name]](),
          transport: NodeWebSocketTransport,
          authProvider,
          logFunction: () => {},
          ...more,
        });
        details = await connection.Open();
        connection.OnClose().then(closed, closed);
        opened.push(connection);
      }
      return await Promise.race([body(...opened, details), end]);
    } finally {
      for (const connection of opened) connection.Close().catch(() => {});
    }
  }

  /** A procedure of one session, for another one. */
  const procedure = (endpoint, body) => sessions(2, async (callee, caller) => {
    await callee.Register(uri('procedure'), endpoint);
    return body(caller, uri('procedure'));
  });

  const acknowledged = async (session, ...publication) =>
    (await session.Publish(...publication, { acknowledge: true })).OnPublished();

  const publish = ({ match, unsubscribe }) => sessions(2, async (subscriber, publisher) => {
    const events = new Queue();
    const topic = uri('publish.topic');
    const subscription = await subscriber.Subscribe(
      match ? uri('publish') : topic,
      (args, kwargs, { topic }) => events.push([topic, args, kwargs]),
      match ? { match } : {},
    );
    await acknowledged(publisher, topic, ARGS, KWARGS);
    equal(await events.next(), [topic, ARGS, KWARGS], 'the event');
    if (unsubscribe) {
      await subscription.Unsubscribe();
      await acknowledged(publisher, topic, [], {});
      // Its answer is behind the event.
      await acknowledged(subscriber, topic, [], {});
      equal(events.isEmpty, true, 'no event after the end of the subscription');
    }
  });

  /** The events of a topic, which the session has subscribed. */
  const subscribed = async (session, options) => {
    const events = new Queue();
    await session.Subscribe(uri('topic'), ([value], _kwargs, details) => events.push([value, details]), options);
    return events;
  };

  const send = async (session, value, options) =>
    (await session.Publish(uri('topic'), [value], {}, { acknowledge: true, ...options })).OnPublished();

  const retained = (transportOptions) => sessions(1, async (publisher) => {
    await send(publisher, 1, { retain: true });
    // Without the option, the library closes its connection when EVENT arrives together with SUBSCRIBED.
    for (let round = 0; round < 20; round += 1) {
      await sessions(1, async (subscriber) => {
        const [value, { retained }] = await (await subscribed(subscriber, { get_retained: true })).next();
        equal([value, retained], [1, true], 'the event');
      }, { transportOptions });
    }
  });

  const receivers = () => sessions(3, async (publisher, one, two) => {
    const [events, others] = [await subscribed(one), await subscribed(two)];
    await send(publisher, 'exclude', { exclude: [one.sessionId] });
    await send(publisher, 'eligible', { eligible: [one.sessionId] });
    await send(publisher, 'end');
    equal((await events.next())[0], 'eligible', 'the first event of one subscriber');
    equal((await others.next())[0], 'exclude', 'the first event of the other one');
    equal((await others.next())[0], 'end', 'the second event of the other one');
  });

  const ownEvent = () => sessions(1, async (publisher) => {
    const events = await subscribed(publisher);
    await send(publisher, 1);
    await send(publisher, 2, { exclude_me: false });
    equal((await events.next())[0], 2, 'the first event');
  });

  const disclosed = () => sessions(2, async (publisher, subscriber) => {
    const events = await subscribed(subscriber);
    await send(publisher, 1, { disclose_me: true });
    equal((await events.next())[1].publisher, publisher.sessionId, 'the publisher');
  });

  const binary = () => sessions(2, async (publisher, subscriber) => {
    const events = await subscribed(subscriber);
    await send(publisher, BINARY);
    checkBinary((await events.next())[0], name);
  });

  const shared = () => sessions(3, async (one, two, caller) => {
    for (const callee of [one, two]) {
      await callee.Register(uri('shared'), async () => ({ args: [callee === one] }), { invoke: 'roundrobin' });
    }
    const call = async () => (await caller.Call(uri('shared'))[0]).args[0];
    equal([await call(), await call()], [true, false], 'the callees');
  });

  /** The call must end with an error. */
  const refused = async (call) => {
    try {
      await call;
    } catch (error) {
      return error;
    }
    throw new Error('the call has succeeded');
  };

  const cancel = async (interrupt) => {
    const begun = new Queue();
    const interrupted = new Queue();
    const endless = async ([first], _kwargs, { onCancel }) => {
      if (first) return { args: [first] };
      onCancel.then(() => interrupted.push(true));
      begun.push(true);
      return new Promise(() => {});
    };
    await procedure(endless, async (caller, name) => {
      const [result, id] = caller.Call(name);
      const ended = refused(result);
      await begun.next();
      caller.CancelCall(id, 'killnowait');
      equal(await ended, 'wamp.error.canceled', 'the error');
      equal((await caller.Call(name, ['more'])[0]).args, ['more'], 'the result of a later call');
      // INTERRUPT is before the invocation of this call.
      if (interrupt) equal(interrupted.isEmpty, false, 'no INTERRUPT');
    });
  };

  const error = (kwargs) => fault(
    'the error: "matrix.error.none" in place of',
    'the caller gets the URI alone: the library drops the arguments of ERROR',
    () => procedure(
      async () => { throw new WampError('matrix.error.none', ARGS, kwargs); },
      async (caller, name) => equal(await refused(caller.Call(name)[0]), ['matrix.error.none', ARGS, kwargs], 'the error'),
    ),
  );

  const method = (name) => async () => {
    const [authid, secret] = SECRETS[name];
    if (name === 'scram' || name === 'cryptosign') {
      const extra = source(`${PACKAGE}/build/cjs/generic/Connection.js`).includes('authextra');
      missing(!extra, 'HELLO has no `authextra`');
    }
    const compute = async ({ challenge, salt, iterations, keylen }) => {
      if (name === 'ticket') return { signature: secret };
      const key = salt ? pbkdf2Sync(secret, salt, iterations, keylen, 'sha256').toString('base64') : secret;
      return { signature: createHmac('sha256', key).update(challenge).digest('base64') };
    };
    const provider = new TicketAuthProvider(authid, compute, name.replace(/_salted$/, ''));
    await sessions(1, (_connection, details) => authenticated(name, details), { authProvider: provider });
    if (name !== 'ticket') {
      equal(Object.keys(library).some((key) => /cra/i.test(key)), false, 'a class for it');
      return 'the application signs the challenge in a `TicketAuthProvider`: the library has no class for it';
    }
  };

  return {
    publish: () => publish({}),
    unsubscribe: () => publish({ unsubscribe: true }),
    pattern: () => publish({ match: 'prefix' }),
    retained: async () => {
      equal((await refused(retained({}))).message, CLOSED, 'without the option');
      await retained({ allowSynchronousEvents: false });
      return 'with `transportOptions: { allowSynchronousEvents: false }` alone. Otherwise, the library takes an event that arrives together with SUBSCRIBED as a violation of the protocol, and closes the connection';
    },
    receivers,
    own_event: ownEvent,
    disclosed,
    binary,
    shared,
    register: () => sessions(2, async (callee, other) => {
      const registration = await callee.Register(uri('procedure'), async () => ({}));
      await registration.Unregister();
      await other.Register(uri('procedure'), async () => ({}));
    }),
    call: () => procedure(async (args, kwArgs) => ({ args, kwArgs }), async (caller, name) => {
      const { args, kwArgs } = await caller.Call(name, ARGS, KWARGS)[0];
      equal([args, kwArgs], [ARGS, KWARGS], 'the result');
    }),
    progress: () => {
      const from = (number) => (number < 3 ? { args: [number], nextResult: Promise.resolve(from(number + 1)) } : { args: ['end'] });
      return procedure(async () => from(0), async (caller, name) => {
        const results = [];
        let pending = caller.Call(name, [], {}, { receive_progress: true })[0];
        while (pending) {
          const { args, nextResult } = await pending;
          results.push(args[0]);
          pending = nextResult;
        }
        equal(results, [0, 1, 2, 'end'], 'the results');
      });
    },
    cancel: () => cancel(),
    interrupt: () => fault(
      'no INTERRUPT',
      'as a callee, the library announces `call_canceling` beside `features`, and the specification has it in `features`. So the server sends it no INTERRUPT',
      () => cancel(true),
    ),
    timeout: () => procedure(() => new Promise(() => {}), async (caller, name) => {
      equal(await refused(caller.Call(name, [], {}, { timeout: 100 })[0]), 'wamp.error.timeout', 'the error');
    }),
    error: () => error({}),
    error_kwargs: () => error(KWARGS),
    anonymous: () => sessions(1, (_connection, { authmethod }) => equal(authmethod, 'anonymous', 'authmethod')),
    ...Object.fromEntries(Object.keys(SECRETS).map((name) => [name, method(name)])),
  };
}

await main(PACKAGE, features);
