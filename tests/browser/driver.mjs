// The driver of Chromium for tests in Rust: one JSON object a line, each answered by one.
//
// Commands:
//   {"do": "open", "page", "url"}: a new window, with "width", "height" and "scheme", or a tab
//     beside another page with "beside": PAGE
//   {"do": "run", "page", "code", "arg"}: the body of an async function
//   {"do": "until", "page", "code", "arg"}: waits until the expression is true
//   {"do": "serve", "path", "text"}: serves a page of the test
//   {"do": "value", "page", "code"}: the value of an expression; {"do": "press", "page", "key"}
//   {"do": "look", "page", "width", "height", "scheme"}: another size and colour scheme
//   {"do": "click"|"fill", "page", "at", "text"}, {"do": "shot", "page", "path"}
//   {"do": "complaints", "page"}: the errors of the page so far
// Answers are {"done": value} or {"failed": text}. The first line is {"ready": address}, where the
// test's own page is served, from another origin than the server under test.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const require = createRequire(`${process.env.JACKFIELD_NODE_PEERS}/`);
const { chromium } = require('playwright-core');

/** Time limit of a command on a busy machine; the test's own limit is a minute. */
const PATIENCE = 50_000;
const FILES = { '/page.html': 'text/html', '/autobahn08.js': 'text/javascript' };
/** Pages that the test serves, by path. */
const served = new Map();

const report = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const pages = new Map();

const server = createServer(async ({ url }, response) => {
  if (served.has(url)) return response.writeHead(200, { 'content-type': 'text/html' }).end(served.get(url));
  const kind = FILES[url];
  // Browsers request an icon; a missing one is not an error of the page.
  if (!kind) return response.writeHead(url === '/favicon.ico' ? 204 : 404).end();
  const file = await readFile(new URL(`.${url}`, import.meta.url));
  response.writeHead(200, { 'content-type': kind }).end(file);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

const browser = await chromium.launch({
  executablePath: process.env.JACKFIELD_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run'],
});

const commands = {
  async open({ page: name, url, beside, width = 1280, height = 900, scheme = 'light' }) {
    const options = { viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce' };
    const context = beside ? pages.get(beside).page.context() : await browser.newContext(options);
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const complaints = [];
    const sockets = [];
    page.on('pageerror', ({ message }) => complaints.push(message));
    page.on('console', (line) => line.type() === 'error' && complaints.push(line.text()));
    page.on('websocket', (socket) => sockets.push(socket.url()));
    pages.set(name, { page, complaints, sockets });
    await page.goto(url);
  },
  run: ({ page, code, arg }) => pages.get(page).page.evaluate(
    ([body, value]) => new (Object.getPrototypeOf(async () => {}).constructor)('arg', body)(value), [code, arg ?? null]),
  // Polled from here: a page with a strict policy may not evaluate strings itself.
  until: async ({ page, code }) => {
    const end = Date.now() + PATIENCE;
    // A page that is being replaced has no value yet.
    const isTrue = () => pages.get(page).page.evaluate(code).catch((error) => {
      if (String(error).includes('Execution context was destroyed')) return false;
      throw error;
    });
    while (!(await isTrue())) {
      if (Date.now() > end) throw new Error('it never came true');
      await delay(20);
    }
  },
  serve: async ({ path, text }) => { served.set(path, text); },
  // An expression, also in a page that may not evaluate strings itself.
  value: async ({ page, code }) => (await pages.get(page).page.evaluate(code)) ?? null,
  press: ({ page, key }) => pages.get(page).page.keyboard.press(key),
  look: async ({ page, width, height, scheme }) => {
    await pages.get(page).page.setViewportSize({ width, height });
    await pages.get(page).page.emulateMedia({ colorScheme: scheme });
  },
  click: ({ page, at }) => pages.get(page).page.click(at),
  fill: ({ page, at, text }) => pages.get(page).page.fill(at, text),
  shot: async ({ page, path }) => { await pages.get(page).page.screenshot({ path, fullPage: true }); },
  complaints: async ({ page }) => pages.get(page).complaints,
  sockets: async ({ page }) => pages.get(page).sockets,
};

report({ ready: `http://127.0.0.1:${server.address().port}` });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    report({ done: (await commands[command.do](command)) ?? null });
  } catch (error) {
    report({ failed: error.message });
  }
}
await browser.close();
process.exit(0);
