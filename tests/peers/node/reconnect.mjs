// Session of a library that reconnects by itself: autobahn (26), autobahn22, or wampy.
//
// node --experimental-websocket reconnect.mjs CLIENT URL REALM TOPIC
//
// Prints {"joined": N} for the N-th session, once it is subscribed, and {"event": VALUE}.

import { createRequire } from 'node:module';

const require = createRequire(`${process.env.JACKFIELD_NODE_PEERS}/`);
const [client, url, realm, topic] = process.argv.slice(2);
const report = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
let joined = 0;

if (client === 'wampy') {
  const { Wampy } = require('wampy');
  const subscribe = async () => {
    await wampy.subscribe(topic, ({ argsList }) => report({ event: argsList[0] }));
    report({ joined: ++joined });
  };
  const wampy = new Wampy(url, {
    realm, ws: require('ws'), reconnectInterval: 200, maxRetries: 0, uriValidation: 'loose',
    // Wampy restores subscriptions by itself.
    onReconnectSuccess: () => report({ joined: ++joined }),
  });
  await wampy.connect();
  await subscribe();
} else {
  const { Connection } = require(client);
  const connection = new Connection({
    // Node 20 does not report a refused connection: the server has to listen again by then.
    url, realm, max_retries: -1, initial_retry_delay: 8, retry_delay_jitter: 0,
  });
  connection.onopen = async (session) => {
    await session.subscribe(topic, ([value]) => report({ event: value }));
    report({ joined: ++joined });
  };
  connection.open();
}
