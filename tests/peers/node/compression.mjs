// Sessions of WAMP v2 with compressed messages, by `ws`: URL TOPIC. Prints one JSON line for each client,
// which publishes a long event to itself.

import { createRequire } from 'node:module';

const WebSocket = createRequire(`${process.env.JACKFIELD_NODE_PEERS}/`)('ws');
const [url, topic] = process.argv.slice(2);
const text = Array.from({ length: 2000 }, (_, number) => `order ${(number * 7919) % 1000} of ünï`).join(' ');

function session(client, perMessageDeflate) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, 'wamp.2.json', { perMessageDeflate });
    let extensions = '';
    socket.on('upgrade', ({ headers }) => (extensions = headers['sec-websocket-extensions'] ?? ''));
    const tell = (message) => socket.send(JSON.stringify(message));
    socket.on('error', reject);
    socket.on('close', (code) => reject(new Error(`${client}: closed with ${code}`)));
    socket.on('open', () => tell([1, 'realm1', { roles: { publisher: {}, subscriber: {} } }]));
    socket.on('message', (data) => {
      const message = JSON.parse(data);
      if (message[0] === 2) tell([32, 1, {}, topic]);
      if (message[0] === 33) tell([16, 2, { exclude_me: false }, topic, [text]]);
      if (message[0] !== 36) return;
      if (message[4][0] !== text) reject(new Error(`${client}: another text`));
      console.log(JSON.stringify({ client, extensions }));
      socket.terminate();
      resolve();
    });
  });
}

await session('ws', { threshold: 0 });
await session('small windows', { threshold: 0, serverMaxWindowBits: 13, clientMaxWindowBits: 9 });
await session('contexts', { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true });
await session('off', false);
