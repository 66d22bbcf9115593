// Topics: those that have subscribers, and the inspector of one.

import { brief, card, h, head, pill, problem, put } from './elements.js';
import { asApiError, get } from './api.js';
import { number } from './format.js';
import { noRoute, pluginLink, routeFacts } from './routes.js';
import { sessionList } from './sessions.js';
import { noneFound, pagedList } from './table.js';

export function topics(context) {
  const { args } = context;
  return args.length > 0 ? inspector(context, args.join('/')) : list(context);
}

/** A menu of the realms; hidden while there is one. */
export function realmMenu(shared, signal, changed) {
  const select = h('select', { 'aria-label': 'Realm', hidden: true, onchange: changed });
  shared.onStatus(({ realms }) => {
    if (select.children.length === realms.length) return;
    put(select, realms.map(({ name }) => h('option', { value: name }, name)));
    select.hidden = realms.length < 2;
  }, signal);
  return select;
}

function list({ query, signal, shared }) {
  const realm = realmMenu(shared, signal, () => shown.again());
  const columns = [
    { title: 'Topic', kind: 'lead', cell: (it) => (it.match === 'exact' ? h('a', { href: address(it.uri, realm.value) }, brief(it.uri)) : h('span', {}, brief(it.uri) || '(all topics)')) },
    { title: 'Match', cell: (it) => (it.match === 'exact' ? h('span', { class: 'soft' }, 'exact') : pill(it.match, 'plain accent')) },
    { title: 'Route', cell: ({ route }) => route ?? '–' },
    { title: 'Plugin', cell: ({ plugin }) => pluginLink(plugin) },
    { title: 'Subscribers', kind: 'num', cell: ({ subscribers }) => number(subscribers) },
  ];
  const shown = pagedList({
    label: 'Topics', noun: 'topic', placeholder: 'Beginning of the topic', columns, signal, selects: [realm], search: query.get('prefix') ?? '',
    nothing: noneFound('topic', 'No client has subscribed to a topic.'),
    load: async (prefix, after, limit) => {
      const found = await get('topics', { prefix, after, limit, realm: realm.value || undefined }, signal);
      return { rows: found.topics, total: found.topic_count, next: found.next };
    },
  });
  return { element: [head('Topics', 'Topics and patterns that have subscribers now.'), shown.element] };
}

function address(uri, realm) {
  const query = realm ? `?realm=${encodeURIComponent(realm)}` : '';
  return `#/topics/${encodeURIComponent(uri)}${query}`;
}

function inspector({ query, signal, shared }, topic) {
  const realm = query.get('realm') ?? undefined;
  const route = h('div', { class: 'card-body' }, h('p', { class: 'soft' }, 'Loading…'));
  const button = (address, text) => h('a', { class: 'button', href: address }, text);
  const named = encodeURIComponent(topic);
  const place = realm ? `&realm=${encodeURIComponent(realm)}` : '';
  const actions = [
    button(`#/trace?topic=${named}`, 'Trace'),
    button(`#/publish?topic=${named}${place}`, 'Publish'),
  ];
  get('match', { topic }, signal).then((found) => {
    put(route, found.route ? routeFacts(found.route) : noRoute(found));
  }).catch((error) => {
    if (!signal.aborted) put(route, problem(asApiError(error).message));
  });
  const subscribers = sessionList({ signal, topic, realm, noun: 'subscriber', nothing: 'No session has subscribed to the topic, by its name or by a pattern.' });
  const title = head(topic, realm && shared.status?.realms.length > 1 ? `In the realm ${realm}.` : '', actions, ['#/topics', 'Topics']);
  return { title: topic, element: [title, card('Route', null, route), h('h2', {}, 'Subscribers'), subscribers.element] };
}
