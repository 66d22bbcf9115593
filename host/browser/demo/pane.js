// A pane: one of two people with a connection of their own, who edit the same order and chat.

import { ContentManager } from '/sync/content.js';
import { maintenanceNotice } from '/sync/maintenance.js';

import { complain, connect, follow, keepLoaded } from './connection.js';

const RECORD = 'demo/record/7';
const ROOM = 'acme/chat/demo';
const TAG = 'Demo_Order_7';
const MAINTENANCE = 'oro/maintenance';

/** Maximum time that a message waits for its author to join the room, in milliseconds. */
const PATIENCE = 10_000;

/** The maximum number of lines in the chat. */
const LINES = 50;

export function openPane({ name, id }) {
  const element = document.getElementById('pane').content.cloneNode(true).querySelector('.pane');
  const part = (which) => element.querySelector(`[data-part="${which}"]`);
  element.id = `pane-${name.toLowerCase()}`;
  const heading = element.querySelector('h3');
  heading.textContent = name;
  heading.id = `${element.id}-name`;
  element.setAttribute('aria-labelledby', heading.id);
  element.querySelector('.avatar').textContent = name[0];
  document.getElementById('panes').append(element);

  const sync = connect();
  follow(sync, (state, words) => {
    element.dataset.state = state;
    part('session').textContent = state === 'connected' ? 'connected' : words.split(';')[0];
  });
  editRecord({ sync, name, part });
  talk({ sync, name, part });
  // Covers only this pane, not the whole page.
  const curtain = part('maintenance');
  const inside = [...element.children].filter((child) => child !== curtain);
  const cover = (covered) => {
    curtain.hidden = !covered;
    for (const child of inside) child.inert = covered;
  };
  maintenanceNotice(sync, { user: id, current: maintenance(sync), show: () => cover(true), hide: () => cover(false) });
  return { sync, id };
}

/** The current maintenance state, for a page that is opened during the maintenance. */
const maintenance = (sync) => () => sync.call(MAINTENANCE).catch(() => null);

function editRecord({ sync, name, part }) {
  const form = part('record');
  const fields = form.elements;
  const content = new ContentManager(sync, { user: name });
  let version = null;

  const say = (text, bad = false) => {
    part('saved').textContent = text;
    part('saved').toggleAttribute('data-bad', bad);
  };
  const show = (record) => {
    version = record.version;
    for (const field of ['title', 'status', 'note']) fields[field].value = record[field];
    say(record.saved_by ? `Version ${record.version}, saved by ${record.saved_by}` : 'Nobody has changed it yet');
    part('outdated').replaceChildren();
    page.refreshed();
  };
  const load = async () => show(await sync.call(`${RECORD}/read`));
  const warn = (text) => {
    const words = document.createElement('p');
    words.textContent = text;
    const refresh = document.createElement('button');
    Object.assign(refresh, { type: 'button', className: 'quiet', textContent: 'Refresh' });
    refresh.addEventListener('click', () => load().catch(({ message }) => say(message, true)));
    part('outdated').replaceChildren(words, refresh);
  };
  const page = content.open({
    title: 'Order 7', tags: [TAG], outdated: warn,
    // Saved by the same user elsewhere: own changes are not reported.
    own: () => {},
  });
  // Changes during an outage were missed: fetch the current state.
  const find = async () => {
    const record = await sync.call(`${RECORD}/read`);
    if (version === null) show(record);
    else if (record.version !== version) warn('This order has changed while you were away.');
  };
  keepLoaded(sync, RECORD, find, complain(part('record-missing'), 'demo'));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const { title, status, note } = fields;
    try {
      show(await sync.call(`${RECORD}/save`, [], {
        kwargs: { title: title.value, status: status.value, note: note.value, by: name },
      }));
      await content.publish(TAG);
    } catch (error) {
      say(error.message, true);
    }
  });
}

function talk({ sync, name, part }) {
  const log = part('log');
  const line = (text, from) => {
    const item = document.createElement('li');
    if (from) item.appendChild(document.createElement('b')).textContent = from;
    else item.className = 'aside';
    item.append(from ? ` ${text}` : text);
    log.append(item);
    while (log.children.length > LINES) log.firstElementChild.remove();
    log.scrollTop = log.scrollHeight;
  };
  // A client that sends before it has joined appears with another name.
  let enter;
  let entered;
  const wait = () => { entered = new Promise((resolve) => { enter = resolve; }); };
  wait();
  sync.addEventListener('disconnected', wait);
  const missing = complain(part('chat-missing'), 'chat');
  keepLoaded(sync, ROOM, () => sync.call(ROOM), (error) => {
    missing(error);
    if (error) enter();
  });
  sync.subscribe(ROOM, (heard) => {
    switch (heard?.type) {
      case 'history':
        log.replaceChildren();
        for (const { from, text } of heard.messages) line(text, from);
        rename(sync, name).finally(enter);
        break;
      case 'message':
        line(heard.text, heard.from);
        break;
      case 'renamed':
        line(`${heard.to} is here`);
        break;
    }
  });
  part('say').addEventListener('submit', async (event) => {
    event.preventDefault();
    const { text } = event.target.elements;
    if (text.value.trim() === '') return;
    try {
      await Promise.race([entered, late()]);
      await sync.publish(ROOM, { text: text.value }, { excludeMe: false });
      text.value = '';
    } catch (error) {
      line(error.message);
    }
  });
}

const late = () => new Promise((_, reject) => {
  setTimeout(() => reject(new Error('There is no connection: it was not said.')), PATIENCE);
});

/** Takes a name in the room; a client on another page may already have it. */
async function rename(sync, name) {
  for (let number = 1; number < 50; number++) {
    try {
      return await sync.publish(ROOM, { nick: number > 1 ? `${name} ${number}` : name });
    } catch (error) {
      if (error.uri !== 'acme.chat.error.name_taken') return;
    }
  }
}

/** Ann's maintenance switch: other users have to wait. */
export function switchMaintenance({ sync, id }) {
  const input = document.getElementById('maintenance');
  const missing = complain(document.getElementById('maintenance-missing'), 'sync');
  const show = (state) => { input.checked = state?.isOn === true && state.userId === id; };
  sync.subscribe(MAINTENANCE, show);
  keepLoaded(sync, MAINTENANCE, async () => show(await sync.call(MAINTENANCE)), (error) => {
    missing(error);
    input.disabled = Boolean(error);
  });
  input.addEventListener('change', async () => {
    try {
      await sync.publish(MAINTENANCE, { isOn: input.checked, userId: id });
    } catch (error) {
      input.checked = !input.checked;
      missing(error);
    }
  });
}
