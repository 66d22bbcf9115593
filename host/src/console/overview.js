// The overview: what the server does now.

import { card, empty, facts, gauge, h, head, pill, put } from './elements.js';
import { rateChart } from './chart.js';
import { ago, bytes, clock, count, duration, number, rate } from './format.js';
import { breakerPill, statePill } from './plugins.js';
import { REASONS } from './ended.js';
import { CAUSES, resultPill } from './reloads.js';
import { protocolName } from './sessions.js';

const SPAN = 300_000;
/** The maximum number of rows of each small list. */
const MAX_ROWS = 6;

export function overview({ signal, shared }) {
  const chart = rateChart('WAMP messages per second over the last five minutes', SPAN, '/s');
  const legend = h('ul', { class: 'legend-list' });
  const alerts = h('div', { class: 'stack' });
  const stats = h('div', { class: 'stats' });
  const chartCard = card('WAMP messages per second', legend, h('div', { class: 'card-body' }, chart.element));
  const rest = h('div', { class: 'flow' });
  const loading = h('div', { class: 'card empty' }, 'Loading…');
  const body = h('div', { class: 'stack', hidden: true }, alerts, stats, chartCard, rest);
  shared.onStatus((status) => {
    loading.hidden = true;
    body.hidden = false;
    const problems = warnings(status);
    alerts.hidden = problems.length === 0;
    put(alerts, problems);
    put(stats, cards(status, shared.samples));
    const [into, out] = shared.samples.at(-1)?.values ?? [0, 0];
    put(legend, h('li', {}, `in ${rate(into)}`), h('li', { class: 'b' }, `out ${rate(out)}`));
    chart.draw(shared.samples.filter((it) => it.values));
    put(rest, memory(status), pluginList(status), reloadList(status), endedList(status));
  }, signal);
  return { element: [head('Overview', 'The state of the server, updated every two seconds.'), loading, body] };
}

function cards(status, samples) {
  const stat = (label, value, note, unit) => h('div', { class: 'card stat' }, h('span', { class: 'label' }, label),
    h('span', { class: 'value' }, value, unit && h('small', {}, ` ${unit}`)), h('span', { class: 'note' }, note));
  const [into, out] = samples.at(-1)?.values ?? [0, 0];
  const { sessions, rates, generation, traffic } = status;
  const protocols = Object.entries(sessions.by_protocol).filter(([, it]) => it > 0);
  const subscriptions = status.realms.reduce((sum, it) => sum + it.subscriptions, 0);
  return [
    stat('Sessions', number(sessions.open), protocols.map(([name, it]) => `${number(it)} ${protocolName(name)}`).join(', ') || 'no client is connected'),
    stat('Messages in', rate(into), `${number(traffic.messages_in)} since the start`, '/s'),
    stat('Messages out', rate(out), `${number(traffic.messages_out)} since the start`, '/s'),
    stat('Traffic out', bytes(rates.bytes_out), `${bytes(rates.bytes_in)}/s in`, '/s'),
    stat('Subscriptions', number(subscriptions), count(status.realms.length, 'realm')),
    stat('Generation', number(generation.number), `${count(generation.routes, 'route')}, since ${clock(generation.since)}`),
  ];
}

/** The parts of the state that need the operator. */
function warnings(status) {
  const boxes = [];
  const add = (kind, ...text) => boxes.push(h('p', { class: `note-box ${kind}` }, text));
  const link = (address, text) => h('a', { href: address }, text);
  if (status.state !== 'serving') add('warn', `The server is ${status.state}.`);
  if (status.problem_count > 0) {
    add('bad', h('b', {}, `The site has ${count(status.problem_count, 'problem')}. `), `Generation ${status.generation.number} stays in service. `, link('#/reloads', 'See the reload'));
  }
  if (status.settings.problem_count > 0) {
    add('bad', h('b', {}, `The settings on disk are refused: ${count(status.settings.problem_count, 'problem')}. `), 'The running settings stay. ', link('#/reloads', 'See the problems'));
  }
  if (status.settings.restart_needed.length > 0) {
    add('warn', h('b', {}, `Settings that wait for a restart: ${status.settings.restart_needed.length}. `), link('#/reloads', 'See which'));
  }
  for (const { name, circuit_breaker: breaker, store } of status.plugins) {
    const address = `#/plugins/${encodeURIComponent(name)}`;
    if (breaker.state === 'open') add('bad', h('b', {}, `${name}: `), 'its circuit breaker refuses requests. ', link(`${address}/faults`, 'See the faults'));
    if (store.failure) add('bad', h('b', {}, `${name}: `), `its store cannot be saved: ${store.failure}. `, link(address, 'See the plugin'));
  }
  for (const { file, seconds } of status.compiling) add('', `Compiling ${file} for ${duration(seconds)}…`);
  if (boxes.length > MAX_ROWS) boxes.splice(MAX_ROWS, boxes.length, h('p', { class: 'note-box' }, `and ${boxes.length - MAX_ROWS} more`));
  return boxes;
}

function memory(status) {
  const { memory: it, connections, realms } = status;
  return card('Limits', null, h('div', { class: 'card-body' },
    gauge('Connections', connections.open, connections.limit, number),
    realms.slice(0, MAX_ROWS).map((realm) => [
      gauge(`Subscriptions of ${realm.name}`, realm.subscriptions, realm.subscription_limit, number),
      gauge(`Topics of ${realm.name}`, realm.topics, realm.topic_limit, number),
    ]),
    gauge('Memory of plugins', it.instances.bytes, it.instances.limit, bytes),
    gauge('Outboxes', it.outboxes.bytes, it.outboxes.limit, bytes),
    gauge('Waiting for handlers', it.waiting.bytes, it.waiting.limit, bytes),
    gauge('Incomplete messages', it.incomplete.bytes, it.incomplete.limit, bytes)));
}

function pluginList(status) {
  // Those that refuse requests first, then those with faults.
  const ill = ({ circuit_breaker: it }) => (it.state === 'closed' ? Math.min(1, it.faults) : 2);
  const all = [...status.plugins].sort((one, other) => ill(other) - ill(one));
  const rows = all.slice(0, MAX_ROWS).map((it) => h('tr', {},
    h('td', {}, h('a', { href: `#/plugins/${encodeURIComponent(it.name)}` }, it.name), h('span', { class: 'sub' }, it.version)),
    h('td', { class: 'end' }, h('span', { class: 'pills' }, it.circuit_breaker.state === 'closed' ? statePill(it) : breakerPill(it.circuit_breaker),
      it.circuit_breaker.faults > 0 && pill(count(it.circuit_breaker.faults, 'fault'), 'bad plain', 'Faults of this version'))),
    h('td', { class: 'num' }, bytes(it.memory.bytes))));
  const more = h('a', { href: '#/plugins', class: 'small' }, `All ${number(status.plugin_count)}`);
  return card('Plugins', more, rows.length > 0 ? h('div', { class: 'table-box' }, h('table', {}, h('tbody', {}, rows)))
    : empty('No plugins', 'The site has no components.'));
}

function reloadList(status) {
  const items = status.reloads.slice(0, MAX_ROWS).map((it) => h('tr', {},
    h('td', {}, resultPill(it.result)), h('td', {}, CAUSES[it.cause] ?? it.cause),
    h('td', { class: 'num soft', title: clock(it.at) }, ago(it.at))));
  return card('Last reloads', h('a', { href: '#/reloads', class: 'small' }, 'Timeline'), h('div', { class: 'table-box' }, h('table', {}, h('tbody', {}, items))));
}

function endedList(status) {
  const reasons = Object.entries(status.ended.by_reason).sort(([, one], [, other]) => other - one);
  const rows = reasons.map(([reason, it]) => h('tr', {}, h('td', {}, h('a', { href: `#/ended?reason=${reason}` }, REASONS[reason] ?? reason.replaceAll('_', ' '))), h('td', { class: 'num' }, number(it))));
  const process = facts([['PID', status.pid], ['Started', `${clock(status.started)} (${duration(status.uptime_seconds)} ago)`], ['Address', status.listen], ['Site', status.site], ['Configuration file', status.config_file ?? 'none']]);
  return [
    card('Ended sessions', h('span', { class: 'soft small' }, `${number(status.ended.count)} since the start`), rows.length > 0
      ? h('div', { class: 'table-box' }, h('table', {}, h('tbody', {}, rows))) : empty('None', 'No session has ended since the start.')),
    card('Server', pill(`version ${status.version}`, 'plain'), h('div', { class: 'card-body' }, process)),
  ];
}
