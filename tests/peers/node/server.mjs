// wamp.io as a WAMP v1 server: a second opinion on the tests' own v1 client. Prints its port, and
// serves until standard input ends.

import { createRequire } from 'node:module';
import { EventEmitter } from 'node:events';

const require = createRequire(`${process.env.JACKFIELD_NODE_PEERS}/`);
process.EventEmitter = EventEmitter;
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'wamp' });
const wamp = require('wamp.io').attach(server);
wamp.on('call', (procedure, args, answer) => {
  if (procedure === 'sum') answer(null, args.reduce((sum, next) => sum + next, 0));
  else answer(`no such procedure: ${procedure}`);
});
server.on('listening', () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on('end', () => process.exit(0));
