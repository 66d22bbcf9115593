// wamp.io, a WAMP v1 server in Node, of the kind and age of the PHP servers with version 1. Takes
// its port as argument; the modules are those of `make peers`.

import { createRequire } from 'node:module';
import { EventEmitter } from 'node:events';

const require = createRequire(`${process.env.JACKFIELD_NODE_PEERS}/`);
// wamp.io was written when this was a global.
process.EventEmitter = EventEmitter;
const { WebSocketServer } = require('ws');
const port = Number(process.argv[2]);
const server = new WebSocketServer({ host: '127.0.0.1', port, handleProtocols: () => 'wamp' });
require('wamp.io').attach(server);
