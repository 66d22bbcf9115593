// Hidden tab: a tab that is really hidden. A browser under driver.mjs considers all of its pages
// visible, so this one is driven by the DevTools protocol only: two tabs, one of them in front.
//
// The argument is the server's address. Prints the tab's observations as JSON.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.env.JACKFIELD_NODE_PEERS}/`);
const WebSocket = require('ws');
const [server] = process.argv.slice(2);

const profile = await mkdtemp(join(tmpdir(), 'jackfield-hidden-'));
const chromium = spawn(process.env.JACKFIELD_CHROMIUM ?? '/usr/bin/chromium', [
  '--headless=new', '--no-sandbox', '--disable-background-networking', '--disable-component-update',
  '--no-first-run', '--remote-debugging-port=0', `--user-data-dir=${profile}`,
], { stdio: ['ignore', 'ignore', 'pipe'] });
const gone = once(chromium, 'exit');
process.on('exit', () => chromium.kill());

let address;
for await (const line of createInterface({ input: chromium.stderr })) {
  address = /DevTools listening on (ws:\S+)/.exec(line)?.[1];
  if (address) break;
}
if (!address) throw new Error('Chromium offers no DevTools');
chromium.stderr.resume();

const socket = new WebSocket(address);
await once(socket, 'open');
const waiting = new Map();
socket.on('message', (text) => {
  const { id, result, error } = JSON.parse(text);
  const done = waiting.get(id);
  if (error) done?.reject(new Error(error.message));
  else done?.resolve(result);
});
let last = 0;
const tell = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
  waiting.set(++last, { resolve, reject });
  socket.send(JSON.stringify({ id: last, method, params, sessionId }));
});

/** A new tab, in front. */
async function tab() {
  const { targetId } = await tell('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await tell('Target.attachToTarget', { targetId, flatten: true });
  // The server's own pages allow no other scripts.
  await tell('Page.setBypassCSP', { enabled: true }, sessionId);
  await tell('Page.navigate', { url: `http://${server}/health` }, sessionId);
  const run = async (code) => {
    const expression = `(async () => { ${code} })()`;
    const { result, exceptionDetails } = await tell(
      'Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  for (let there = false; !there;) {
    // Until the page has loaded, the old or empty page answers, or there is an error.
    const loaded = `return location.pathname === '/health' && document.readyState === 'complete';`;
    there = await run(loaded).catch(() => false);
  }
  return { run, show: () => tell('Target.activateTarget', { targetId }) };
}

const until = (condition) => `await new Promise((resolve) => {
  const look = () => (${condition}) ? resolve() : setTimeout(look, 20);
  look();
});`;

const first = await tab();
await first.run(`
  const { Sync } = await import('http://${server}/sync.js');
  globalThis.states = [];
  globalThis.heard = [];
  globalThis.sync = new Sync({ url: 'http://${server}/', pauseAfter: 200, ticket: () => 'ticket-' + states.length });
  for (const name of ['connected', 'disconnected']) {
    sync.addEventListener(name, () => states.push(name + ' ' + document.visibilityState));
  }
  await sync.subscribe('open/hidden', (value) => heard.push(value)).ready;
  ${until("states.length === 1")}
`);
const second = await tab();
await first.run(until("sync.state === 'paused'"));
// A publication without a subscriber.
const sessions = await second.run(`
  return (await (await fetch('http://${server}/health')).json()).sessions;
`);
await first.show();
await first.run(until("sync.state === 'connected' && states.length === 3"));
const heard = await first.run(`
  await sync.publish('open/hidden', 'back', { excludeMe: false });
  ${until('heard.length > 0')}
  return heard;
`);
const states = await first.run('return states;');
process.stdout.write(`${JSON.stringify({ sessions, states, heard })}\n`);

chromium.kill();
await gone;
await rm(profile, { recursive: true, force: true, maxRetries: 5 });
process.exit(0);
