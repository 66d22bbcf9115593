// Publish: an event by the route of its topic, as a client would.

import { card, h, head, put } from './elements.js';
import { asApiError, get, post } from './api.js';
import { tell } from './dialog.js';
import { icon } from './icons.js';
import { clock, count } from './format.js';
import { realmMenu } from './topics.js';

/** The pause behind the last key before the route of the topic is looked up. */
const TYPING = 300;
const MAX_RESULTS = 20;

/** The sentence about the route of a topic, and the roles that it wants of a publisher. */
function found(route, broadcast) {
  if (!route && !broadcast) return h('span', { class: 'warn' }, 'No route takes this topic.');
  const roles = (route ?? broadcast).allow.publish;
  const wanted = roles && (roles.length > 0 ? `Roles that may publish: ${roles.join(', ')}.` : 'No role may publish.');
  return [route ? ['Route ', h('b', {}, route.name), `, handler ${route.handler} of ${route.plugin}. `] : 'No route takes this topic; its events reach all subscribers. ', wanted];
}

export function publish({ query, signal, shared }) {
  const hint = h('span', { class: 'hint', 'aria-live': 'polite' }, 'The route of the topic decides which handler is asked.');
  const topic = h('input', { name: 'topic', id: 'publish-topic', value: query.get('topic') ?? '', placeholder: 'chat/kitchen', required: true, autocomplete: 'off', spellcheck: 'false', 'data-search': '', oninput: () => look() });
  const realm = realmMenu(shared, signal, () => {});
  const realmField = h('div', { class: 'field', hidden: true }, h('span', {}, 'Realm'), realm);
  shared.onStatus(({ realms }) => {
    const isFirst = realmField.hidden && realms.length > 1;
    realmField.hidden = realms.length < 2;
    if (isFirst && query.get('realm')) realm.value = query.get('realm');
  }, signal);
  const roles = h('input', { name: 'roles', id: 'publish-roles', placeholder: 'none', autocomplete: 'off' });
  const area = (name, label, placeholder) => {
    const error = h('span', { class: 'error-text', hidden: true });
    const input = h('textarea', { name, id: `publish-${name}`, placeholder, spellcheck: 'false' });
    return { input, error, field: h('div', { class: 'field' }, h('label', { for: `publish-${name}` }, label), input, error) };
  };
  const args = area('args', 'Arguments, a list of JSON', '["hello"]');
  const kwargs = area('kwargs', 'Keyword arguments, an object of JSON', '{ "from": "operator" }');
  const send = shared.changeButton([icon('publish'), 'Publish'], undefined, { kind: 'primary', type: 'submit' });
  const results = h('ol', { class: 'timeline' });
  const resultCard = card('Results', null, h('div', { class: 'card-body' }, results));
  resultCard.hidden = true;
  const form = h('form', { class: 'card-body', onsubmit: submit },
    h('div', { class: 'two' }, h('div', { class: 'field' }, h('label', { for: 'publish-topic' }, 'Topic'), topic, hint), realmField,
      h('div', { class: 'field' }, h('label', { for: 'publish-roles' }, 'Roles, separated by commas'), roles, h('span', { class: 'hint' }, 'For routes that allow some roles to publish.'))),
    h('div', { class: 'two' }, args.field, kwargs.field), h('div', { class: 'actions' }, send));

  let timer;
  function look() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const name = topic.value;
      if (!name) { put(hint, 'The route of the topic decides which handler is asked.'); return; }
      try {
        const { route, broadcast } = await get('match', { topic: name }, signal);
        if (name === topic.value) put(hint, found(route, broadcast));
      } catch (error) {
        if (!signal.aborted && name === topic.value) put(hint, h('span', { class: 'bad' }, asApiError(error).message));
      }
    }, TYPING);
  }
  if (topic.value) look();

  /** Whether the text of a field is empty, or JSON of the right kind. */
  function check({ input, error }, isList) {
    let problem = '';
    if (input.value.trim()) {
      try {
        const value = JSON.parse(input.value);
        if (Array.isArray(value) !== isList || value === null || typeof value !== 'object') problem = isList ? 'This is not a list: write [ … ].' : 'This is not an object: write { … }.';
      } catch (wrong) {
        problem = `This is not JSON: ${wrong.message}`;
      }
    }
    error.hidden = !problem;
    put(error, problem);
    input.setAttribute('aria-invalid', String(Boolean(problem)));
    return !problem;
  }

  async function submit(event) {
    event.preventDefault();
    if (shared.denied) { tell(shared.denied, true); return; }
    const wrong = [[args, true], [kwargs, false]].filter(([area, isList]) => !check(area, isList));
    if (wrong.length > 0) { wrong[0][0].input.focus(); return; }
    const body = { topic: topic.value, roles: roles.value.split(',').map((it) => it.trim()).filter(Boolean) };
    if (!realmField.hidden) body.realm = realm.value;
    // The payload is sent as it was written: numbers of JSON can be larger than those of JavaScript.
    const payload = [['args', args], ['kwargs', kwargs]].filter(([, { input }]) => input.value.trim()).map(([key, { input }]) => `,"${key}":${input.value}`);
    const text = JSON.stringify(body).slice(0, -1) + payload.join('') + '}';
    send.disabled = true;
    let outcome;
    try {
      const { delivered, publication } = await post('publish', text);
      outcome = ['ok', `Delivered to ${count(delivered, 'subscriber')}`, `publication ${publication}`];
    } catch (error) {
      const { status, message, body: problem } = asApiError(error);
      outcome = ['failed', status === 0 ? `The result is not known: ${message}.` : message, problem.error];
    }
    send.disabled = false;
    const [kind, words, more] = outcome;
    resultCard.hidden = false;
    results.prepend(h('li', { class: kind }, h('div', { class: 'event-head' }, h('b', { class: 'break' }, body.topic), h('span', { class: kind === 'ok' ? 'good' : 'bad' }, words), h('span', { class: 'when' }, clock(new Date().toISOString()))), more && h('p', { class: 'small soft mono break' }, more)));
    while (results.children.length > MAX_RESULTS) results.lastChild.remove();
  }

  const title = head('Publish', `The event goes through its route, the route’s access lists and its handler. Handlers see the user “operator:${shared.caller.name}”.`);
  const reason = shared.denied && h('p', { class: 'note-box' }, shared.denied);
  return { element: [title, reason, card('Event', null, form), resultCard] };
}
