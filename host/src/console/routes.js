// Routes: the tester of topics, and all routes in matching order.

import { brief, card, facts, h, head, parts, pill, problem, put } from './elements.js';
import { asApiError, get } from './api.js';
import { count, duration, number } from './format.js';
import { noneFound, pagedList } from './table.js';

export function routes({ query, signal, shared }) {
  const columns = [
    { title: 'Route', kind: 'parts lead', cell: ({ name, file, line }) => [h('b', {}, parts(name)), h('span', { class: 'sub', title: `${file}:${line}` }, parts(`${short(file)}:${line}`))] },
    { title: 'Channel', kind: 'parts', cell: ({ channel }) => h('code', {}, parts(channel)) },
    { title: 'Handler', kind: 'parts', cell: (it) => [parts(it.handler), h('span', { class: 'sub' }, pluginLink(it.plugin))] },
    { title: 'Allowed', kind: 'roles', cell: ({ allow, allow_from: from }) => allowed(allow, from) },
    { title: 'Publications', kind: 'num', cell: ({ publications }) => (publications === null ? '–' : number(publications)) },
    { title: 'Deliveries', kind: 'num', cell: ({ deliveries }) => (deliveries === null ? '–' : number(deliveries)) },
  ];
  const list = pagedList({
    label: 'Routes', noun: 'route', placeholder: 'Name, channel or handler', columns, signal,
    nothing: noneFound('route', 'The site has no routing file with a route.'),
    load: async (search, after, limit) => {
      const { routes: rows, route_count: total, next } = await get('routes', { search, after, limit }, signal);
      return { rows, total, next };
    },
  });
  let generation = shared.status?.generation.number;
  shared.onStatus((status) => {
    if (generation !== undefined && status.generation.number !== generation) list.again();
    generation = status.generation.number;
  }, signal);
  const title = head('Routes', 'The first route whose channel matches a topic takes it.');
  return { element: [title, tester(query.get('topic') ?? '', signal), list.element] };
}

/** The file without the folders above its own. */
const short = (file) => file.split('/').slice(-2).join('/');

export const pluginLink = (name) => (name ? h('a', { href: `#/plugins/${encodeURIComponent(name)}` }, parts(name)) : '–');

/** The roles of each restricted action; `from` names the list: that of the route, or of the configuration. */
export function allowed(allow, from) {
  const actions = Object.entries(allow);
  if (actions.length === 0) return h('span', { class: 'soft' }, 'all roles');
  return actions.map(([action, roles]) => h('div', {}, `${action}: `, roles.length > 0 ? brief(roles.join(', ')) : 'none',
    from[action] === 'configuration' && h('span', { class: 'soft', title: 'The route does not list the action: `allow` of the configuration, or its default, holds.' }, ' (configuration)')));
}

/** The tester: a topic, the route that takes it, and why the others do not. */
function tester(topic, signal) {
  const result = h('div', { class: 'card-body', hidden: true, 'aria-live': 'polite' });
  const input = h('input', { name: 'topic', value: topic, placeholder: 'chat/kitchen', required: true, autocomplete: 'off', spellcheck: 'false' });
  const form = h('form', { class: 'card-body form-row', onsubmit: (event) => { event.preventDefault(); test(); } },
    h('label', { class: 'field' }, h('span', {}, 'Topic, as a client names it'), input),
    h('button', { class: 'button primary', type: 'submit' }, 'Find the route'));
  let turn = 0;
  async function test() {
    const mine = ++turn;
    try {
      const found = await get('match', { topic: input.value }, signal);
      if (mine === turn) put(result, matched(found));
    } catch (error) {
      if (signal.aborted) return;
      put(result, problem(asApiError(error).message));
    }
    result.hidden = false;
  }
  if (topic) test();
  return card('Which route takes a topic?', null, form, result);
}

function matched({ topic, route, broadcast, not_a_uri: notUri, others, other_count: total }) {
  const reasons = others.map(({ name, channel, reason, shadowed_by: by }) => h('li', {},
    h('b', {}, name), ' ', h('code', {}, channel), h('span', { class: by ? 'sub warn' : 'sub' }, reason)));
  return [
    route ? h('p', { class: 'note-box good' }, h('b', {}, topic), ' is taken by the route ', h('b', {}, route.name), '.')
      : [h('p', { class: 'note-box warn' }, 'No route takes ', h('b', {}, topic), '.', broadcast && ` ${broadcastReason(broadcast)}`), broadcast && withoutRoute(broadcast)],
    notUri && h('p', { class: 'note-box warn' }, `Clients of WAMP v2 and the HTTP API cannot use the topic: ${notUri}.`),
    route && routeFacts(route, topic),
    total > 0 && h('details', { open: !route }, h('summary', {}, `Why not the other ${count(total, 'route')}`), h('ul', { class: 'reasons' }, reasons)),
  ];
}

/** The reason why a topic without a route is open. */
function broadcastReason({ rule }) {
  return rule ? `Its events reach all subscribers, by the rule ${rule.uri} (match: ${rule.match}) of the settings.`
    : 'Its events reach all subscribers (unrouted: broadcast).';
}

/** The facts about topics without a route, where the configuration broadcasts them. */
function withoutRoute({ allow, allow_from: from }) {
  return facts([['Allowed', allowed(allow, from)]]);
}

/** The note in place of a route. */
export function noRoute({ broadcast }) {
  return broadcast ? [h('p', { class: 'note-box' }, `No route takes this topic. ${broadcastReason(broadcast)}`), withoutRoute(broadcast)]
    : h('p', { class: 'note-box warn' }, 'No route takes this topic. Clients cannot subscribe to it or publish to it.');
}

/** The facts of a route, with the attributes of a topic. */
export function routeFacts(route, topic) {
  const attributes = Object.entries(route.attributes ?? {});
  const requirements = Object.entries(route.requirements);
  return facts([
    ['Route', h('b', {}, route.name)],
    ['Channel', h('code', {}, route.channel)],
    ['Attributes', attributes.length > 0 && attributes.map(([name, value]) => h('div', {}, `${name} = `, h('code', {}, value)))],
    ['Requirements', requirements.length > 0 && requirements.map(([name, pattern]) => h('div', {}, `${name}: `, h('code', {}, pattern)))],
    ['Handler', [route.handler, ' of ', pluginLink(route.plugin), route.disabled && [' ', pill('disabled', 'warn')]]],
    ['Allowed', allowed(route.allow, route.allow_from)],
    ['Timer', route.timer_seconds && `every ${duration(route.timer_seconds)}`],
    ['Lanes', route.lanes > 1 && route.lanes],
    ['Declared', h('span', { class: 'mono' }, `${route.file}:${route.line}`)],
    ['Topic', topic && h('a', { href: `#/topics/${encodeURIComponent(topic)}` }, 'Subscribers of the topic')],
  ].map(([key, value]) => [key, value || undefined]));
}
