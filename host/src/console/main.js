// The console: sign-in, the frame around the pages, addresses of pages, and keys.
//
// A page is a function that gets its arguments and a signal that is aborted when it is left, and
// returns its title and element. The state of the server is asked for here, once for all pages.

import { h, head, put } from './elements.js';
import { asApiError, forgetToken, get, hasToken, poll, sleep, whenRefused } from './api.js';
import { escapeText } from './escape.js';
import { show, tell } from './dialog.js';
import { icon } from './icons.js';
import { clock, duration, sentence } from './format.js';
import { signIn } from './sign-in.js';
import { overview } from './overview.js';
import { routes } from './routes.js';
import { topics } from './topics.js';
import { sessions } from './sessions.js';
import { plugins } from './plugins.js';
import { reloads } from './reloads.js';
import { trace } from './trace.js';
import { ended } from './ended.js';
import { publish } from './publish.js';

/** The interval at which the state of the server is read. */
const STATUS_INTERVAL = 2_000;
/** The time for the state of the server, in milliseconds: the page says that the values are old after it. */
const STATUS_TIME = 5_000;
/** The time for which rates are kept. */
const SAMPLE_SPAN = 300_000;

const PAGES = [
  ['overview', 'Overview', overview, 'o'],
  ['routes', 'Routes', routes, 'r'],
  ['topics', 'Topics', topics, 't'],
  ['sessions', 'Sessions', sessions, 's'],
  ['plugins', 'Plugins', plugins, 'p'],
  ['reloads', 'Reloads', reloads, 'l'],
  ['trace', 'Live trace', trace, 'm'],
  ['ended', 'Ended sessions', ended, 'e'],
  ['publish', 'Publish', publish, 'u'],
];

const root = document.getElementById('app');
const theme = localStorage.getItem('jackfield.theme');
if (theme) document.documentElement.dataset.theme = theme;

/** The state that pages share. */
const shared = {
  caller: null,
  status: null,
  samples: [],
  listeners: new Set(),

  /** Calls the listener with the state of the server, now and after each update. */
  onStatus(listener, signal) {
    this.listeners.add(listener);
    signal.addEventListener('abort', () => this.listeners.delete(listener), { once: true });
    if (this.status) listener(this.status);
  },

  go(address) {
    location.hash = address;
  },

  /** The reason why the user may not change anything; undefined if they may. */
  get denied() {
    return this.caller.read_only ? `The ${this.caller.kind} “${this.caller.name}” is for reading alone.` : undefined;
  },

  /** A button for a change, or the submit button of a form. Without the right to change, it shows the reason. */
  changeButton(label, onclick, { kind = '', sign, type = 'button' } = {}) {
    const denied = this.denied;
    const press = (event) => {
      if (denied) { event.preventDefault(); tell(denied, true); } else onclick?.(event.currentTarget);
    };
    return h('button', { class: `button ${kind}`, type, 'aria-disabled': denied ? 'true' : undefined, title: denied, onclick: press }, sign && icon(sign), label);
  },
};

/** Whether the browser may have a certificate of a client, as it can with TLS. After a sign-out, a token is asked for. */
let mayHaveCertificate = location.protocol === 'https:';

await start();

async function start() {
  let reason;
  for (;;) {
    shared.caller = await knownCaller() ?? await signIn(root, reason);
    mayHaveCertificate = false;
    reason = await run();
  }
}

/** The holder of the token of this tab or of the browser's certificate, if one is still valid. Waits for a server that does not answer. */
async function knownCaller() {
  while (hasToken() || mayHaveCertificate) {
    try {
      return await get('caller');
    } catch (error) {
      const { status, message } = asApiError(error);
      if (status === 401) {
        forgetToken();
        mayHaveCertificate = false;
        break;
      }
      const leave = h('button', { class: 'button', type: 'button', onclick: () => { forgetToken(); location.reload(); } }, 'Sign out');
      put(root, h('main', { class: 'sign-in' }, h('div', { class: 'card card-body' }, h('h1', {}, 'Jackfield console'),
        h('p', { class: 'note-box bad', role: 'alert' }, `${sentence(message)}. Trying again…`), leave)));
      await sleep(STATUS_INTERVAL);
    }
  }
  return null;
}

/** Shows the pages until the user signs out or the token is refused; returns the reason. */
async function run() {
  const end = new AbortController();
  const { signal } = end;
  let reason;
  whenRefused((error) => {
    reason = `Signed out: ${error.message}.`;
    leave();
  });
  const leave = () => { forgetToken(); end.abort(); };
  Object.assign(shared, { status: null, samples: [] });
  const { frame, main, update, lose } = makeFrame(leave, signal);
  put(root, frame);
  navigation(main, signal);
  keys(signal);
  const ask = async () => {
    const status = await get('status', {}, signal, STATUS_TIME);
    sample(status);
    shared.status = status;
    for (const listener of [...shared.listeners]) listener(status);
    update(status);
  };
  poll(STATUS_INTERVAL, signal, ask, ({ message }) => lose(`${sentence(message)}. Trying again…`));
  await new Promise((resolve) => { signal.addEventListener('abort', resolve, { once: true }); });
  for (const dialog of document.querySelectorAll('dialog')) dialog.remove();
  return reason;
}

/** Keeps the rates since the last update, from the totals: the server's own rates are means of ten seconds. */
function sample({ traffic }) {
  const { samples } = shared;
  const at = performance.now();
  const last = samples.at(-1);
  const seconds = last && (at - last.at) / 1000;
  const since = (key) => Math.max(0, (traffic[key] - last.traffic[key]) / seconds);
  // The first update has no rate, and is replaced by the second one.
  if (last && !last.values) samples.pop();
  samples.push({ at, traffic, values: last && [since('messages_in'), since('messages_out')] });
  while (samples[0].at < at - SAMPLE_SPAN) samples.shift();
}

function makeFrame(leave, signal) {
  const links = PAGES.map(([name, title, , key]) => h('a', { href: `#/${name}`, title: `${title} (g ${key})` }, icon(name), title));
  const state = h('div', { class: 'row' });
  const count = h('span', { class: 'count', hidden: true, title: 'Problems of the site' });
  links[5].append(count);
  const side = h('aside', { class: 'side', id: 'side' },
    h('a', { class: 'brand', href: '#/overview' }, h('img', { src: '/console/icon.svg', alt: '' }), 'Jackfield'),
    h('nav', { 'aria-label': 'Pages' }, h('ul', {}, links.map((link) => h('li', {}, link)))),
    h('div', { class: 'side-foot' }, state,
      h('div', { class: 'who', title: shared.denied ?? `This ${shared.caller.kind} may change the server.` }, icon('user'), h('b', {}, shared.caller.name), shared.caller.read_only && h('span', { class: 'pill plain' }, 'read only')),
      h('div', { class: 'row' },
        h('button', { class: 'button small quiet', type: 'button', onclick: switchTheme, title: 'Light, dark, or as the system' }, icon('theme'), 'Theme'),
        h('button', { class: 'button small quiet', type: 'button', onclick: leave }, icon('leave'), 'Sign out'))));
  const veil = h('div', { class: 'veil', hidden: true, onclick: () => toggle(false) });
  const menu = h('button', { class: 'button quiet', type: 'button', 'aria-label': 'Menu', 'aria-controls': 'side', 'aria-expanded': 'false', onclick: () => toggle(true) }, icon('menu'));
  const toggle = (isOpen) => {
    side.classList.toggle('open', isOpen);
    veil.hidden = !isOpen;
    menu.setAttribute('aria-expanded', String(isOpen));
    if (isOpen) links[0].focus();
  };
  side.addEventListener('click', (event) => { if (event.target.closest('a')) toggle(false); });
  const top = h('header', { class: 'top' }, h('a', { class: 'brand', href: '#/overview' }, h('img', { src: '/console/icon.svg', alt: '' }), 'Jackfield'), menu);
  const lost = h('div', { class: 'lost', role: 'alert', hidden: true });
  const main = h('main', { class: 'main', id: 'main', tabindex: -1 });
  const skip = h('a', { class: 'skip', href: '#main', onclick: (event) => { event.preventDefault(); main.focus(); } }, 'Skip to the content');
  const frame = h('div', {}, skip, top, lost, h('div', { class: 'frame' }, side, veil, main));
  frame.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || veil.hidden) return;
    toggle(false);
    menu.focus();
  });
  window.addEventListener('hashchange', () => toggle(false), { signal });
  const update = (status) => {
    lost.hidden = true;
    frame.classList.remove('stale');
    const kind = status.state === 'serving' ? 'good' : 'warn';
    put(state, h('span', { class: `pill ${kind}` }, status.state), h('span', { title: 'Version and uptime' }, `${status.version} · up ${duration(status.uptime_seconds)}`));
    count.hidden = status.problem_count === 0;
    put(count, status.problem_count);
  };
  // The pages show the last known state, and look like it.
  const lose = (text) => {
    if (lost.hidden) put(state, h('span', { class: 'pill bad' }, 'no answer'), h('span', {}, `since ${clock(new Date())}`));
    lost.hidden = false;
    put(lost, text);
    frame.classList.add('stale');
  };
  return { frame, main, update, lose };
}

/** Shows the page of the address, now and when it changes. */
function navigation(main, signal) {
  let left = new AbortController();
  const open = () => {
    left.abort();
    left = new AbortController();
    const [path, search = ''] = location.hash.replace(/^#\/?/, '').split('?');
    const [name, ...rest] = path.split('/');
    const [key, title, page] = name === '' ? PAGES[0] : PAGES.find(([it]) => it === name) ?? [name, 'Unknown page', unknownPage];
    const args = rest.map(decode).filter((it) => it !== '');
    for (const link of document.querySelectorAll('.side nav a')) {
      if (link.getAttribute('href') === `#/${key}`) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    const shown = page({ args, query: new URLSearchParams(search), signal: left.signal, shared });
    document.title = `${escapeText(shown.title ?? title)} · Jackfield console`;
    put(main, h('div', { class: 'main-inner', 'data-page': key }, shown.element));
    window.scrollTo(0, 0);
    if (!main.contains(document.activeElement)) main.focus({ preventScroll: true });
  };
  window.addEventListener('hashchange', open, { signal });
  signal.addEventListener('abort', () => left.abort(), { once: true });
  open();
}

function unknownPage() {
  return { element: head('Unknown page', 'The console has no page with this address.', [], ['#/overview', 'Overview']) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function switchTheme() {
  const order = { '': 'light', light: 'dark', dark: '' };
  const next = order[document.documentElement.dataset.theme ?? ''];
  if (next) {
    document.documentElement.dataset.theme = next;
    localStorage.setItem('jackfield.theme', next);
  } else {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem('jackfield.theme');
  }
  tell(`Theme: ${next || 'as the system'}.`);
}

/** Keys: `/` to the search, `g` and a letter to a page, `?` for help. */
function keys(signal) {
  let isGo = false;
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (event.target.closest('input, textarea, select')) {
      if (event.key === 'Escape') event.target.blur();
      return;
    }
    const page = isGo && PAGES.find(([, , , key]) => key === event.key);
    isGo = event.key === 'g';
    const search = event.key === '/' && document.querySelector('[data-search]');
    if (page) location.hash = `/${page[0]}`;
    else if (search) search.focus();
    else if (event.key === '?') help();
    else return;
    event.preventDefault();
  }, { signal });
}

function help() {
  const row = (keys, text) => [h('dt', {}, keys.map((key) => [h('kbd', {}, key), ' '])), h('dd', {}, text)];
  show('Keys', h('dl', { class: 'keys' }, row(['/'], 'Search'), PAGES.map(([, title, , key]) => row(['g', key], title)),
    row(['?'], 'These keys'), row(['Esc'], 'Leave a field or a window')));
}

