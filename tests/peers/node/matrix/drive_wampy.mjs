// The features of Wampy.

import { ARGS, BINARY, KWARGS, Queue, SECRETS, authenticated, checkBinary, equal, fault, main, missing, require, source, uncaught, uri } from './features.mjs';

const { Wampy } = require('wampy');
const SERIALIZERS = {
  json: ['wampy/JsonSerializer.js', 'JsonSerializer'],
  msgpack: ['wampy/MsgpackSerializer.js', 'MsgpackSerializer'],
  cbor: ['wampy/CborSerializer.js', 'CborSerializer'],
};
// Its package names a file for `require('wampy/wampcra.js')` that it does not have.
const cra = await import(require.resolve('wampy').replace(/cjs.wampy.cjs$/, 'esm/auth/wampcra/wampy-cra.js'));
const cryptosign = require('wampy/cryptosign.js');

function features({ url, serializer: name }) {
  const [file, Serializer] = SERIALIZERS[name];

  /** Opens sessions, passes them and their details to `body`, and closes them. */
  async function sessions(count, body, authentication = {}) {
    let violation;
    const violated = new Promise((_resolve, reject) => { violation = reject; });
    const opened = [];
    let details;
    try {
      while (opened.length < count) {
        const client = new Wampy(url, {
          ws: require('ws'),
          realm: 'realm1',
          serializer: new (require(file)[Serializer])(),
          autoReconnect: false,
          onError: (error) => violation(error),
          ...authentication,
        });
        details = await client.connect();
        opened.push(client);
      }
      return await Promise.race([body(...opened, details), violated]);
    } finally {
      for (const client of opened) client.disconnect();
    }
  }

  /** A procedure of one session, for another one. */
  const procedure = (endpoint, body) => sessions(2, async (callee, caller) => {
    await callee.register(uri('procedure'), endpoint);
    return body(caller, uri('procedure'));
  });

  const publish = ({ options, unsubscribe }) => sessions(2, async (subscriber, publisher) => {
    const events = new Queue();
    const topic = uri('publish.topic');
    const { subscriptionId } = await subscriber.subscribe(
      options?.match ? uri('publish') : topic,
      ({ argsList, argsDict, details }) => events.push([details.topic ?? topic, argsList, argsDict]),
      options,
    );
    await publisher.publish(topic, { argsList: ARGS, argsDict: KWARGS });
    equal(await events.next(), [topic, ARGS, KWARGS], 'the event');
    if (unsubscribe) {
      await subscriber.unsubscribe(subscriptionId);
      await publisher.publish(topic);
      // Its answer is behind the event.
      await subscriber.publish(topic);
      equal(events.isEmpty, true, 'no event after the end of the subscription');
    }
  });

  /** The events of a topic, which the session has subscribed. */
  const subscribed = async (client, options) => {
    const events = new Queue();
    await client.subscribe(uri('topic'), ({ argsList, details }) => events.push([argsList[0], details]), options);
    return events;
  };

  const send = (client, value, options) => client.publish(uri('topic'), { argsList: [value] }, options);

  const retained = () => sessions(2, async (publisher, subscriber) => {
    await send(publisher, 1, { retain: true });
    const events = await subscribed(subscriber, { get_retained: true });
    await send(publisher, 2);
    const [value, { retained }] = await events.next();
    equal([value, retained], [1, true], 'the event');
  });

  const receivers = () => sessions(3, async (publisher, one, two) => {
    const [events, others] = [await subscribed(one), await subscribed(two)];
    const own = [Number(one.getSessionId())];
    await send(publisher, 'exclude', { exclude: own });
    await send(publisher, 'eligible', { eligible: own });
    await send(publisher, 'end');
    equal((await events.next())[0], 'eligible', 'the first event of one subscriber');
    equal((await others.next())[0], 'exclude', 'the first event of the other one');
    equal((await others.next())[0], 'end', 'the second event of the other one');
  });

  const ownEvent = () => sessions(2, async (publisher, other) => {
    const events = await subscribed(publisher);
    await send(publisher, 1);
    await send(publisher, 2, { exclude_me: false });
    await send(other, 'later');
    equal((await events.next())[0], 2, 'the first event');
  });

  const disclosed = () => sessions(2, async (publisher, subscriber) => {
    const events = await subscribed(subscriber);
    await send(publisher, 1, { disclose_me: true });
    equal(Number((await events.next())[1].publisher), Number(publisher.getSessionId()), 'the publisher');
  });

  const binary = () => sessions(2, async (publisher, subscriber) => {
    const events = await subscribed(subscriber);
    await send(publisher, BINARY);
    checkBinary((await events.next())[0], name);
  });

  const shared = () => sessions(3, async (one, two, caller) => {
    for (const callee of [one, two]) {
      await callee.register(uri('shared'), () => ({ argsList: [callee === one] }), { invoke: 'roundrobin' });
    }
    const call = async () => (await caller.call(uri('shared'))).argsList[0];
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

  const error = (argsDict) => procedure(
    () => { throw { error: 'matrix.error.none', argsList: ARGS, argsDict }; },
    async (caller, name) => {
      const error = await refused(caller.call(name));
      equal([error.errorUri, error.argsList, error.argsDict ?? {}], ['matrix.error.none', ARGS, argsDict ?? {}], 'the error');
    },
  );

  const challenge = {
    ticket: (secret) => () => secret,
    wampcra: cra.sign,
    wampcra_salted: cra.sign,
    cryptosign: cryptosign.sign,
  };

  const method = (name) => async () => {
    const [authid, secret] = SECRETS[name];
    if (name === 'scram') {
      const { exports } = JSON.parse(source('wampy/package.json'));
      missing(!Object.keys(exports).some((key) => /scram/i.test(key)), 'the package has `wampcra.js` and `cryptosign.js`, and no file for it');
    }
    const pair = require('tweetnacl').sign.keyPair.fromSeed(Buffer.from(SECRETS.cryptosign[1], 'hex'));
    await sessions(1, (_client, details) => authenticated(name, details), {
      authid,
      authmethods: [name.replace(/_salted$/, '')],
      authextra: name === 'cryptosign' ? { pubkey: Buffer.from(pair.publicKey).toString('hex') } : {},
      onChallenge: challenge[name](secret),
    });
  };

  return {
    publish: () => publish({}),
    unsubscribe: async () => {
      await publish({ unsubscribe: true });
      const error = await uncaught(() => publish({ options: {}, unsubscribe: true }));
      equal(error.name, 'TypeError', 'the error with options');
      return 'without options of `subscribe` alone. With any, the library looks for the subscription under a key without them: `TypeError`';
    },
    pattern: () => publish({ options: { match: 'prefix' } }),
    retained: () => fault('the event: [2,null] in place of', '`publish` takes `retain`, and does not send it', retained),
    receivers,
    own_event: () => fault('the first event: "later" in place of', '`publish` takes `exclude_me: false`, and does not send it', ownEvent),
    disclosed,
    binary,
    shared,
    register: () => sessions(2, async (callee, other) => {
      await callee.register(uri('procedure'), () => {});
      await callee.unregister(uri('procedure'));
      await other.register(uri('procedure'), () => {});
    }),
    call: () => procedure(({ argsList, argsDict }) => ({ argsList, argsDict }), async (caller, name) => {
      const { argsList, argsDict } = await caller.call(name, { argsList: ARGS, argsDict: KWARGS });
      equal([argsList, argsDict], [ARGS, KWARGS], 'the result');
    }),
    progress: () => procedure(
      ({ result_handler: send }) => {
        for (const number of [0, 1, 2]) send({ argsList: [number], options: { progress: true } });
        return { argsList: ['end'] };
      },
      async (caller, name) => {
        const parts = [];
        const result = await caller.call(name, null, { progress_callback: ({ argsList }) => parts.push(argsList[0]) });
        equal([parts, result.argsList], [[0, 1, 2], ['end']], 'the results');
      },
    ),
    cancel: async () => {
      const begun = new Queue();
      const endless = ({ argsList }) => {
        if (argsList?.length) return { argsList };
        begun.push(true);
        return new Promise(() => {});
      };
      await procedure(endless, async (caller, name) => {
        const pending = refused(caller.call(name));
        await begun.next();
        caller.cancel(caller.getOpStatus().reqId);
        equal((await pending).errorUri, 'wamp.error.canceled', 'the error');
        equal((await caller.call(name, { argsList: ['more'] })).argsList, ['more'], 'the result of a later call');
      });
    },
    interrupt: async () => {
      const handles = /^ *\[WAMP_MSG_SPEC.INTERRUPT\]/m.test(source('wampy/dist/esm/wampy.js'));
      missing(!handles, 'as a callee, the library does not handle INTERRUPT, and does not announce `call_canceling`');
    },
    timeout: () => procedure(() => new Promise(() => {}), async (caller, name) => {
      equal((await refused(caller.call(name, null, { timeout: 100 }))).errorUri, 'wamp.error.timeout', 'the error');
    }),
    error: () => error(),
    error_kwargs: () => error(KWARGS),
    anonymous: () => sessions(1, (_client, { authmethod }) => equal(authmethod, 'anonymous', 'authmethod')),
    ...Object.fromEntries(Object.keys(SECRETS).map((name) => [name, method(name)])),
  };
}

await main('wampy', features);
