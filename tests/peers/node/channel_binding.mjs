// A client with channel binding: RawSocket over the TLS of OpenSSL, whose keying material is the channel id.
// Arguments: PORT SEED BINDING and the channel, which is `own`, `none` or `other` (that of another
// connection); then the CERTIFICATE to trust and the VERSION of TLS. Without these, there is no TLS. Prints
// CHALLENGE, if there is one, and the last answer, each as a line.

import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';

const [port, seed, binding, channel, certificate, version] = process.argv.slice(2);

async function connect() {
  const address = { port: Number(port), host: '127.0.0.1' };
  if (!certificate) {
    const socket = net.connect(address);
    await once(socket, 'connect');
    return socket;
  }
  const [minVersion, maxVersion] = [version, version];
  const socket = tls.connect({
    ...address, servername: 'localhost', ca: readFileSync(certificate), minVersion, maxVersion,
  });
  await once(socket, 'secureConnect');
  return socket;
}

const socket = await connect();
let received = Buffer.alloc(0);
let arrived = () => {};
socket.on('data', (bytes) => {
  received = Buffer.concat([received, bytes]);
  arrived();
});
socket.on('close', () => process.exit(1));

async function read(count) {
  while (received.length < count) await new Promise((resolve) => { arrived = resolve; });
  const bytes = received.subarray(0, count);
  received = received.subarray(count);
  return bytes;
}

async function message() {
  const length = (await read(4)).readUInt32BE();
  return JSON.parse(await read(length));
}

function send(value) {
  const text = Buffer.from(JSON.stringify(value));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(text.length);
  socket.write(Buffer.concat([head, text]));
}

// PKCS #8 of an Ed25519 key (RFC 8410), and the end of its SubjectPublicKeyInfo.
const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(seed, 'hex')]);
const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
const pubkey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');

socket.write(Buffer.from([0x7f, 0xf1, 0, 0]));
await read(4);
const authextra = { pubkey, channel_binding: binding };
send([1, 'realm1', { roles: { caller: {} }, authmethods: ['cryptosign'], authextra }]);
let answer = await message();
if (answer[0] === 4) {
  console.log(JSON.stringify(answer));
  const signed = Buffer.from(answer[2].challenge, 'hex');
  if (channel !== 'none') {
    const source = channel === 'own' ? socket : await connect();
    const id = source.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0));
    for (let at = 0; at < 32; at++) signed[at] ^= id[at];
  }
  send([5, Buffer.concat([sign(null, signed, key), signed]).toString('hex'), {}]);
  answer = await message();
}
console.log(JSON.stringify(answer));
process.exit(0);
