// Versions of the greeting: the one in the shadow with its first difference, and those that have
// served. The server tells them to this page alone, and asks no one to log in.

import { copyable } from './copy.js';

const part = (id) => document.getElementById(id);

const ADDRESS = '/demo/greeting.json';

/** Time between two questions, in milliseconds. */
const PERIOD = 1_000;

/** The maximum number of versions on the card. */
const SHOWN = 5;

/** What each version says, by its digest, as far as the page has heard it. */
const texts = new Map();
let greeting = null;
let served = null;

export function showVersions(sync) {
  sync.subscribe('demo/greeting', (value) => { if (typeof value?.text === 'string') greeting = value.text; });
  for (const command of document.querySelectorAll('.versions .command')) {
    copyable(command.querySelector('button'), command.querySelector('code'), part('version-copied'));
  }
  const ask = async () => {
    // A hidden page is not read.
    if (!document.hidden) await load();
    setTimeout(ask, PERIOD);
  };
  ask();
}

async function load() {
  const missing = part('versions-missing');
  const before = greeting;
  try {
    const response = await fetch(ADDRESS, { cache: 'no-store' });
    const { versions, shadow } = await response.json();
    missing.hidden = versions.length > 0;
    if (versions.length === 0) missing.textContent = 'The plugin “greeting” is not in this site. Add it, and load the page again.';
    const serves = versions.find(({ ended }) => !ended)?.digest;
    // Neither has changed meanwhile, so that the text is that of this version.
    if (serves && serves === served && before !== null && before === greeting) texts.set(serves, greeting);
    served = serves;
    showShadow(shadow);
    showPeriods(versions, serves);
  } catch {
    // The server is away; the connection at the top says so.
  }
}

function showShadow(shadow) {
  part('shadow-found').hidden = !shadow?.digest;
  if (shadow?.error) say('shadow-state', `The version in the shadow does not run: ${shadow.error}`);
  else if (!shadow) say('shadow-state', 'No version is in the shadow.');
  else if (!shadow.digest) say('shadow-state', 'A version is being compiled for the shadow …');
  else say('shadow-state', `Version ${short(shadow.digest)} runs behind the one in service.`);
  if (!shadow?.digest) return;
  part('promote-command').textContent =
    `target/release/jackfield promote jackfield-greeting ${short(shadow.digest)} --site target/demo/site`;
  for (const count of ['compared', 'differing', 'faults']) {
    part(`shadow-${count}`).textContent = shadow[count].toLocaleString('en');
  }
  const diff = part('shadow-diff');
  diff.hidden = !shadow.diff;
  if (diff.dataset.text === shadow.diff) return;
  diff.dataset.text = shadow.diff ?? '';
  diff.replaceChildren(...(shadow.diff ?? '').trimEnd().split('\n').map((text) => {
    const sign = text.trimStart()[0];
    const line = document.createElement(sign === '-' ? 'del' : sign === '+' ? 'ins' : 'span');
    line.textContent = text;
    return line;
  }));
}

const ENDS = {
  replaced: 'replaced by its file',
  rolled_back: 'rolled back',
  taken_back: 'taken back by the server',
  promoted: 'replaced by a promoted version',
  removed: 'removed',
};

/** The ends of periods whose versions a roll-back passes over. */
const PASSED_OVER = ['rolled_back', 'taken_back'];

function showPeriods(versions, serves) {
  const list = part('version-periods');
  const passed = new Set(versions.filter(({ ended }) => PASSED_OVER.includes(ended)).map(({ digest }) => digest));
  const canReturn = versions.some(({ digest }) => digest !== serves && !passed.has(digest));
  part('rollback').hidden = !canReturn;
  // Unchanged lines are not announced again.
  const state = JSON.stringify([versions, ...texts]);
  if (list.dataset.state === state) return;
  list.dataset.state = state;
  list.replaceChildren(...versions.slice(0, SHOWN).map(({ digest, since, ended }) => {
    const item = document.createElement('li');
    item.appendChild(document.createElement('code')).textContent = short(digest);
    if (texts.has(digest)) item.appendChild(document.createElement('q')).textContent = texts.get(digest);
    const words = item.appendChild(document.createElement('span'));
    words.textContent = ended ? (ENDS[ended] ?? ended) : 'in service';
    item.toggleAttribute('data-serves', !ended);
    const when = item.appendChild(document.createElement('time'));
    const began = new Date(since * 1_000);
    when.dateTime = began.toISOString();
    when.textContent = `since ${began.toLocaleTimeString('en-GB')}`;
    return item;
  }));
  const more = versions.length - SHOWN;
  say('version-state', !canReturn
    ? 'Replace the handler; then there is a version to return to.'
    : more > 0 ? `The last ${SHOWN} of ${versions.length} periods.` : 'Pages stay connected when a version returns.');
}

/** The first digits of a digest, as the commands print it. */
const short = (digest) => digest.replace('sha256:', '').slice(0, 12);

function say(id, text) {
  if (part(id).textContent !== text) part(id).textContent = text;
}
