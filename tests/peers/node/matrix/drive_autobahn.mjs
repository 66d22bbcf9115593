// The features of autobahn-js, in its versions 22 (`--library autobahn22`) and 26 (`autobahn`).

import { ARGS, BINARY, KWARGS, Queue, SECRETS, authenticated, checkBinary, equal, main, missing, require, source, uri } from './features.mjs';

const VIOLATION = 'the library sees a violation of the protocol';

function features({ library, url, serializer: name }) {
  const autobahn = require(library);
  const { Connection, Result, auth_cra: cra, auth_cryptosign: cryptosign, serializer } = autobahn;
  const serializers = {
    json: serializer.JSONSerializer,
    msgpack: serializer.MsgpackSerializer,
    cbor: serializer.CBORSerializer,
  };

  /** Opens sessions, passes them and their details to `body`, and closes them. */
  async function sessions(count, body, authentication = {}) {
    // The library closes a connection whose server, as it thinks, violates the protocol.
    let violation;
    const violated = new Promise((_resolve, reject) => { violation = reject; });
    const open = () => new Promise((resolve, reject) => {
      const connection = new Connection({
        transports: [{ type: 'websocket', url, serializers: [new serializers[name]()] }],
        realm: 'realm1',
        max_retries: 0,
        // Errors of the application's own functions are expected.
        on_user_error: () => {},
        // It has no argument, because the library forgets `new` before `Error`.
        on_internal_error: () => violation(new Error(VIOLATION)),
        authmethods: ['anonymous'],
        ...authentication,
      });
      connection.onopen = (session, details) => resolve([connection, session, details]);
      connection.onclose = (reason, details) => { reject(new Error(details?.reason ?? reason)); return true; };
      connection.open();
    });
    const opened = [];
    try {
      while (opened.length < count) opened.push(await open());
      return await Promise.race([body(...opened.map(([, session]) => session), opened[0][2]), violated]);
    } finally {
      for (const [connection, session] of opened) if (session.isOpen) connection.close();
    }
  }

  /** A procedure of one session, for another one. */
  const procedure = (endpoint, body) => sessions(2, async (callee, caller) => {
    await callee.register(uri('procedure'), endpoint);
    return body(caller, uri('procedure'));
  });

  const publish = ({ pattern, unsubscribe }) => sessions(2, async (subscriber, publisher) => {
    const events = new Queue();
    const topic = uri('publish.topic');
    const subscription = await subscriber.subscribe(
      pattern ? uri('publish') : topic,
      (args, kwargs, { topic }) => events.push([topic, args, kwargs]),
      pattern ? { match: 'prefix' } : {},
    );
    await publisher.publish(topic, ARGS, KWARGS, { acknowledge: true });
    equal(await events.next(), [topic, ARGS, KWARGS], 'the event');
    if (unsubscribe) {
      await subscription.unsubscribe();
      await publisher.publish(topic, [], {}, { acknowledge: true });
      // Its answer is behind the event.
      await subscriber.publish(topic, [], {}, { acknowledge: true });
      equal(events.isEmpty, true, 'no event after the end of the subscription');
    }
  });

  /** The events of a topic, which the session has subscribed. */
  const subscribed = async (session, options) => {
    const events = new Queue();
    await session.subscribe(uri('topic'), ([value], _kwargs, event) => events.push([value, event]), options);
    return events;
  };

  const send = (session, value, options) =>
    session.publish(uri('topic'), [value], {}, { acknowledge: true, ...options });

  const retained = () => sessions(2, async (publisher, subscriber) => {
    await send(publisher, 1, { retain: true });
    const [value, event] = await (await subscribed(subscriber, { get_retained: true })).next();
    equal([value, event.retained], [1, true], 'the event');
  });

  const receivers = () => sessions(3, async (publisher, one, two) => {
    const [events, others] = [await subscribed(one), await subscribed(two)];
    await send(publisher, 'exclude', { exclude: [one.id] });
    await send(publisher, 'eligible', { eligible: [one.id] });
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
    equal((await events.next())[1].publisher, publisher.id, 'the publisher');
  });

  const binary = () => sessions(2, async (publisher, subscriber) => {
    const events = await subscribed(subscriber);
    await send(publisher, BINARY);
    checkBinary((await events.next())[0], name);
  });

  const shared = () => sessions(3, async (one, two, caller) => {
    for (const callee of [one, two]) {
      await callee.register(uri('shared'), () => callee === one, { invoke: 'roundrobin' });
    }
    equal([await caller.call(uri('shared')), await caller.call(uri('shared'))], [true, false], 'the callees');
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

  const cancel = async (mode) => {
    const begun = new Queue();
    const endless = ([first]) => {
      if (first) return first;
      begun.push(true);
      return new Promise(() => {});
    };
    await procedure(endless, async (caller, name) => {
      const pending = caller.call(name);
      await begun.next();
      pending.cancel({ mode });
      const error = await refused(pending);
      if (mode === 'kill') equal(error.error, 'wamp.error.canceled', 'the error');
      // The server's answer to CANCEL arrives before this result.
      equal(await caller.call(name, ['more']), 'more', 'the result of a later call');
    });
  };

  const error = (kwargs) => procedure(
    () => { throw new autobahn.Error('matrix.error.none', ARGS, kwargs); },
    async (caller, name) => {
      const error = await refused(caller.call(name));
      equal([error.error, error.args, error.kwargs ?? {}], ['matrix.error.none', ARGS, kwargs], 'the error');
    },
  );

  const pair = (seed) => require('tweetnacl').sign.keyPair.fromSeed(Buffer.from(seed, 'hex'));
  const challenge = {
    ticket: (secret) => () => secret,
    wampcra: (secret) => (_session, _method, { challenge, salt, iterations, keylen }) =>
      cra.sign(salt ? cra.derive_key(secret, salt, iterations, keylen) : secret, challenge),
    cryptosign: (secret) => (_session, _method, extra) => cryptosign.sign_challenge(pair(secret), extra),
  };
  challenge.wampcra_salted = challenge.wampcra;

  const method = (name) => async () => {
    if (name === 'scram') missing(!Object.keys(autobahn).some((key) => /scram/i.test(key)), 'the module has `auth_cra`, `auth_cryptosign` and `auth_persona`, and no `auth_scram`');
    const [authid, secret] = SECRETS[name];
    await sessions(1, (_session, details) => authenticated(name, details), {
      authid,
      authmethods: [name.replace(/_salted$/, '')],
      authextra: name === 'cryptosign' ? { pubkey: cryptosign.public_key(pair(secret)) } : undefined,
      onchallenge: challenge[name](secret),
    });
  };

  return {
    publish: () => publish({}),
    unsubscribe: () => publish({ unsubscribe: true }),
    pattern: () => publish({ pattern: true }),
    retained,
    receivers,
    own_event: ownEvent,
    disclosed,
    binary,
    shared,
    register: () => sessions(2, async (callee, other) => {
      const registration = await callee.register(uri('procedure'), () => {});
      await registration.unregister();
      await other.register(uri('procedure'), () => {});
    }),
    call: () => procedure((args, kwargs) => new Result(args, kwargs), async (caller, name) => {
      const { args, kwargs } = await caller.call(name, ARGS, KWARGS);
      equal([args, kwargs], [ARGS, KWARGS], 'the result');
    }),
    progress: () => procedure(
      (_args, _kwargs, { progress }) => {
        for (const number of [0, 1, 2]) progress([number]);
        return 'end';
      },
      async (caller, name) => {
        const parts = [];
        const pending = caller.call(name, [], {}, { receive_progress: true });
        // Version 22 of the library gives a promise of when.js, version 26 may give another one.
        const result = await new Promise((resolve, reject) => pending.then(resolve, reject, (part) => parts.push(part)));
        equal([parts, result], [[0, 1, 2], 'end'], 'the results');
      },
    ),
    cancel: async () => {
      await cancel('kill');
      equal((await refused(cancel('killnowait'))).message, VIOLATION, 'the mode `killnowait`');
      return "with `cancel({ mode: 'kill' })` alone. In the other modes, the library forgets the call, takes the ERROR that the server sends for it as a violation of the protocol, and closes the connection. The specification has this ERROR in each mode";
    },
    interrupt: async () => {
      const handles = source(`${library}/lib/session.js`).includes('MAP[MSG_TYPE.INTERRUPT]');
      missing(!handles, 'as a callee, the library does not handle INTERRUPT, and does not announce `call_canceling`');
    },
    timeout: () => procedure(() => new Promise(() => {}), async (caller, name) => {
      const error = await refused(caller.call(name, [], {}, { timeout: 100 }));
      equal(error.error, 'wamp.error.timeout', 'the error');
    }),
    error: () => error({}),
    error_kwargs: () => error(KWARGS),
    anonymous: () => sessions(1, (_session, { authmethod }) => equal(authmethod, 'anonymous', 'authmethod')),
    ...Object.fromEntries(Object.keys(SECRETS).map((name) => [name, method(name)])),
  };
}

const remark = ({ library }) =>
  (library === 'autobahn' ? 'needs the WebSocket of browsers. Node has it from version 22 on, and Node 20 with `--experimental-websocket`' : '');

await main('autobahn', features, remark);
