// Client in Node with the package `ws`, whose unhandled errors end the process: first without a
// server, then with one.
//
// The argument is the server's address. Prints its observations as JSON.

import { once } from 'node:events';
import { createServer } from 'node:net';
import { createRequire } from 'node:module';

import { Sync } from '../../host/browser/sync.js';

const require = createRequire(`${process.env.JACKFIELD_NODE_PEERS}/`);
const WebSocket = require('ws');
const [server] = process.argv.slice(2);

// A port without a listener.
const nobody = createServer().listen(0, '127.0.0.1');
await once(nobody, 'listening');
let url = `http://127.0.0.1:${nobody.address().port}/`;
nobody.close();
await once(nobody, 'close');

const told = [];
const heard = [];
const sync = new Sync({ url: () => url, WebSocket, retry: { first: 20, most: 20 } });
for (const name of ['connected', 'disconnected', 'retrying']) sync.addEventListener(name, () => told.push(name));
sync.subscribe('open/node', (value) => heard.push(value));
while (told.filter((name) => name === 'retrying').length < 2) await once(sync, 'retrying');
url = `http://${server}/`;
await once(sync, 'connected');
await sync.publish('open/node', 'here', { excludeMe: false });
const attempts = told.filter((name) => name === 'retrying').length;
// A close while connecting is also an error for `ws`.
sync.reconnect();
await new Promise(setImmediate);
sync.close();
process.stdout.write(`${JSON.stringify({ told, attempts, heard })}\n`);
