// Authenticates by one method of a third-party WAMP v2 client, and reports the result.
//
// Arguments: client, URL, method, authid, secret. The secret of cryptosign is a private key in hexadecimal
// digits. The report is one JSON object: `session`, `authid`, `authrole` and `authmethod`, or `refused`.

import { createRequire } from 'node:module';

const [client, url, method, authid, secret] = process.argv.slice(2);
const require = createRequire(`${process.env.JACKFIELD_NODE_PEERS}/`);
globalThis.WebSocket ??= require('ws');

function report(line) {
  console.log(JSON.stringify(line));
  process.exit(0);
}

const result = (session, { authid, authrole, authmethod }) => report({ session, authid, authrole, authmethod });

function autobahn() {
  const { Connection, auth_cra: cra, auth_cryptosign: cryptosign } = require('autobahn');
  const pair = () => require('tweetnacl').sign.keyPair.fromSeed(Buffer.from(secret, 'hex'));
  const challenges = {
    ticket: () => secret,
    wampcra: (_session, _method, { challenge, salt, iterations, keylen }) =>
      cra.sign(salt ? cra.derive_key(secret, salt, iterations, keylen) : secret, challenge),
    cryptosign: (_session, _method, extra) => cryptosign.sign_challenge(pair(), extra),
  };
  const connection = new Connection({
    url,
    realm: 'realm1',
    max_retries: 0,
    authmethods: [method],
    authid: authid || undefined,
    authextra: method === 'cryptosign' ? { pubkey: cryptosign.public_key(pair()) } : undefined,
    onchallenge: challenges[method],
  });
  connection.onclose = (reason, details) => report({ refused: details?.reason ?? reason, message: details?.message ?? null });
  connection.onopen = (session, details) => result(session.id, details);
  connection.open();
}

async function wampy() {
  const { Wampy } = require('wampy');
  // Its package names a file for `require` that it does not have.
  const { sign } = await import(require.resolve('wampy').replace(/cjs.wampy.cjs$/, 'esm/auth/wampcra/wampy-cra.js'));
  const peer = new Wampy(url, {
    ws: require('ws'),
    realm: 'realm1',
    authmethods: [method],
    authid,
    onChallenge: method === 'wampcra' ? sign(secret) : () => secret,
    maxRetries: 0,
    autoReconnect: false,
  });
  try {
    result(peer.getSessionId(), await peer.connect());
  } catch (error) {
    report({ refused: error.errorUri ?? error.message, message: error.details?.message ?? null });
  }
}

await ({ autobahn, wampy })[client]();
