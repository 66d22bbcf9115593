// Live trace: the steps of messages about a topic or of a user, as they happen.

import { brief, card, empty, h, head, pill, put } from './elements.js';
import { ApiError, lines } from './api.js';
import { tell } from './dialog.js';
import { icon } from './icons.js';
import { count, duration, number } from './format.js';

/** The maximum number of messages that are shown; the oldest are removed first. */
const MAX_MESSAGES = 200;

/** The maximum number of receivers that are named. */
const MAX_NAMES = 4;

const KINDS = { publish: 'accent', subscribe: 'good', unsubscribe: '', call: 'accent', register: 'good', effect: '' };

export function trace({ query, signal, shared }) {
  const field = (label, name, placeholder) => h('label', { class: 'field' }, h('span', {}, label),
    h('input', { name, placeholder, value: query.get(name) ?? '', autocomplete: 'off', spellcheck: 'false', ...(name === 'topic' && { 'data-search': '' }) }));
  const payload = h('input', { type: 'checkbox', name: 'payload' });
  const begin = shared.changeButton([icon('play'), 'Start'], undefined, { kind: 'primary', type: 'submit' });
  const stop = h('button', { class: 'button danger', type: 'button', hidden: true, onclick: () => running?.abort() }, icon('stop'), 'Stop');
  const form = h('form', { class: 'card-body', onsubmit: (event) => { event.preventDefault(); start(); } },
    h('div', { class: 'form-row' }, field('Topic', 'topic', 'chat/kitchen'), field('User', 'user', 'name of a user'), begin, stop),
    h('label', { class: 'check' }, payload, 'Show payloads, up to 1 KiB of each'));
  const state = h('span', { class: 'soft small', 'aria-live': 'polite' });
  const list = h('ol', { class: 'traces', 'aria-label': 'Messages', tabindex: 0 });
  const nothing = h('div', {}, empty('No trace is running', 'Name a topic, a user, or both: the trace shows messages that match both.'));
  const clear = h('button', { class: 'button small', type: 'button', onclick: () => { messages.clear(); put(list); show(); } }, 'Clear');
  const messages = new Map();
  let running;
  /** The reason that the server has sent for the end of the trace. */
  let reason;
  let counts = { messages: 0, dropped: 0 };

  async function start() {
    if (shared.denied) { tell(shared.denied, true); return; }
    const data = new FormData(form);
    const [topic, user] = ['topic', 'user'].map((key) => {
      const text = data.get(key);
      const linked = query.get(key);
      // A field has no line breaks, and a topic can have them.
      return (linked && text === linked.replace(/[\r\n]/g, '') ? linked : text) || undefined;
    });
    if (!topic && !user) { tell('Name a topic, a user, or both.', true); form.elements.topic.focus(); return; }
    running?.abort();
    const mine = new AbortController();
    running = mine;
    signal.addEventListener('abort', () => mine.abort(), { once: true });
    messages.clear();
    reason = undefined;
    counts = { messages: 0, dropped: 0 };
    put(list);
    switchTo(true);
    try {
      await lines('trace', { topic, user, payload: payload.checked }, mine.signal, add);
      if (running === mine) tell(`The trace has ended${reason ? `: ${reason}` : ''}.`);
    } catch (error) {
      if (error instanceof ApiError) tell(error.message, true);
      else if (!mine.signal.aborted) tell('The trace has ended: the connection is lost.', true);
    }
    if (running === mine) { running = undefined; switchTo(false); }
  }

  function switchTo(isRunning) {
    stop.hidden = !isRunning;
    begin.hidden = isRunning;
    put(nothing, isRunning ? empty('Waiting for messages', 'The steps of each message are shown here as they happen.') : empty('No message was seen', 'The trace has ended.'));
    show();
  }

  function show() {
    nothing.hidden = list.children.length > 0;
    list.hidden = !nothing.hidden;
    const lost = counts.dropped > 0 ? `, ${number(counts.dropped)} steps dropped` : '';
    put(state, running || counts.messages > 0 ? `${count(counts.messages, 'message')}${lost}${running ? ', running' : ''}` : '');
  }

  function add(line) {
    counts.dropped = Math.max(counts.dropped, line.dropped);
    if (line.step === 'begin') return;
    if (line.step === 'end') { reason = line.reason ?? 'the server ended'; return; }
    const key = line.message ?? `hook ${line.time}`;
    let message = messages.get(key);
    if (!message) {
      counts.messages += 1;
      message = makeMessage(line);
      messages.set(key, message);
      list.prepend(message.element);
      while (list.children.length > MAX_MESSAGES) list.lastChild.remove();
      if (messages.size > MAX_MESSAGES) messages.delete(messages.keys().next().value);
    }
    message.add(line);
    show();
  }

  const title = head('Live trace', 'A trace slows down only the messages that it shows. Both its ends have audit lines.');
  const denied = shared.denied && h('p', { class: 'note-box' }, `${shared.denied} A trace shows messages of users, so it needs a token with all rights.`);
  return { element: [title, denied, card('Messages to trace', null, form), h('section', { class: 'card', 'aria-label': 'Trace' }, h('div', { class: 'card-head' }, h('h2', {}, 'Messages'), h('div', { class: 'actions' }, state, clear)), nothing, list)] };
}

function makeMessage(line) {
  const steps = h('ul', { class: 'steps' });
  const state = h('span', {});
  const kind = line.kind ?? line.hook ?? 'hook';
  const who = line.session && [h('a', { href: `#/sessions/${line.session}` }, line.user || line.session)];
  const at = new Date(line.time);
  const time = `${at.toLocaleTimeString('en-GB')}.${String(at.getMilliseconds()).padStart(3, '0')}`;
  const element = h('li', { class: 'trace' }, h('div', { class: 'trace-head' }, pill(kind, `plain ${KINDS[kind] ?? ''}`), h('b', { class: 'break' }, brief(line.topic ?? '')), who && h('span', { class: 'soft' }, 'by ', who), state, h('span', { class: 'when' }, time)), steps);
  return {
    element,
    add: (step) => {
      const words = describe(step);
      if (words) steps.append(h('li', {}, words));
      if (step.step === 'accept') put(state, pill('accepted', 'good'));
      if (step.step === 'refuse') put(state, pill('refused', 'bad'));
    },
  };
}

function describe(line) {
  switch (line.step) {
    case 'message':
      return (line.args || line.kwargs) && ['payload ', h('code', {}, [line.args, line.kwargs].filter(Boolean).join(' '))];
    case 'route':
      return line.route ? ['route ', h('b', {}, line.route), `, handler ${line.handler} of ${line.plugin}`] : 'no route';
    case 'hook': {
      const effects = line.effects?.length > 0 ? `, effects: ${line.effects.join(', ')}` : '';
      const reason = line.reason ? ` (${line.reason})` : '';
      return ['hook ', h('b', {}, line.hook), `: ${line.verdict}${reason}${effects}${line.writes > 0 ? `, ${count(line.writes, 'write')}` : ''}, ${duration(line.took_ms / 1000)}`];
    }
    case 'deliver': {
      const names = line.receivers.slice(0, MAX_NAMES).map((it) => it.user);
      const more = line.receiver_count - names.length;
      return ['deliver to ', h('b', {}, count(line.receiver_count, 'receiver')), names.length > 0 && `: ${names.join(', ')}${more > 0 ? ` and ${number(more)} more` : ''}`];
    }
    case 'accept':
      return line.delivered === undefined ? 'accepted' : `accepted, ${number(line.delivered)} delivered${line.answered_by ? `, answered by ${line.answered_by}` : ''}`;
    case 'refuse':
      return ['refused: ', h('b', {}, line.error), line.reason && ` ${line.reason}`];
    default:
      return line.step;
  }
}
