// Greeting: the handler that is replaced while the page watches, and the command that replaces it.

import { complain, keepLoaded } from './connection.js';
import { copyable } from './copy.js';

const part = (id) => document.getElementById(id);

/** The maximum number of previous versions on the card. */
const REMEMBERED = 3;

export function showGreeting(sync) {
  let current = null;
  let versions = 0;
  let since = null;
  let reconnects = 0;

  const showDuration = () => {
    part('greeting-connection').textContent = since === null ? 'none' : duration(Date.now() - since);
  };
  const show = (greeting) => {
    if (typeof greeting?.text !== 'string' || !Number.isFinite(greeting.number)) return;
    part('greeting-number').textContent = greeting.number.toLocaleString('en');
    beat();
    const version = `${greeting.built} ${greeting.text}`;
    if (version === current?.version) return;
    if (current) {
      remember(current.text);
      restart(part('live'), 'is-new');
    }
    current = { version, text: greeting.text };
    part('greeting').textContent = greeting.text;
    // Scrollable content must be reachable by keyboard.
    part('greeting').toggleAttribute('tabindex', false);
    if (part('greeting').scrollHeight > part('greeting').clientHeight) part('greeting').tabIndex = 0;
    part('greeting-versions').textContent = String(++versions);
  };
  sync.subscribe('demo/greeting', show);
  sync.addEventListener('connected', ({ detail }) => {
    since = Date.now();
    if (detail.resumed) reconnects++;
    part('greeting-reconnects').textContent = String(reconnects);
    showDuration();
  });
  const load = async () => show(await sync.call('demo/greeting'));
  keepLoaded(sync, 'demo/greeting', load, complain(part('greeting-missing'), 'greeting'));
  sync.addEventListener('disconnected', () => { since = null; });
  part('crash').addEventListener('click', () => crash(sync));
  setInterval(showDuration, 500);
  writeCommand();
}

/** Makes the handler panic, and shows the result. */
async function crash(sync) {
  const say = (text) => { part('crashed').textContent = text; };
  try {
    await sync.call('demo/greeting', ['crash']);
    say('This version of the handler does not crash. Run make plugins for one that does.');
  } catch ({ uri, message }) {
    const failed = uri === 'jackfield.error.handler_failed';
    say(failed
      ? 'It panicked. This one call was refused, the backtrace is in the server’s log, and a fresh instance goes on: no connection was lost.'
      : `${message} (${uri})`);
  }
}

/** Escapes a text for the shell and make. */
export function command(text) {
  const quoted = text.replaceAll('$', '$$$$').replaceAll("'", "'\\''");
  return `make greeting TEXT='${quoted}'`;
}

function writeCommand() {
  const words = part('words');
  const line = part('command');
  const copy = part('copy');
  const write = () => { line.textContent = command(words.value.trim() || words.defaultValue); };
  words.addEventListener('input', write);
  write();
  copyable(copy, line, part('copied'));
}

function remember(text) {
  const list = part('greeting-history');
  const item = document.createElement('li');
  const before = item.appendChild(document.createElement('s'));
  before.textContent = text;
  const when = item.appendChild(document.createElement('time'));
  when.textContent = `until ${new Date().toLocaleTimeString('en-GB')}`;
  list.prepend(item);
  while (list.children.length > REMEMBERED) list.lastElementChild.remove();
  list.hidden = false;
}

function beat() {
  restart(document.querySelector('.beat'), 'now-beating');
}

/** Restarts the animation of a class. */
function restart(element, name) {
  element.classList.remove(name);
  void element.offsetWidth;
  element.classList.add(name);
}

function duration(milliseconds) {
  const seconds = Math.floor(milliseconds / 1_000);
  const two = (number) => String(number).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  return hours > 0 ? `${hours}:${two(minutes % 60)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
