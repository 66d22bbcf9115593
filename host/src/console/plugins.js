// Plugins: all of them with their state.

import { empty, h, head, pill, put, redrawn } from './elements.js';
import { table } from './table.js';
import { bytes, digest, number } from './format.js';
import { icon } from './icons.js';
import { plugin } from './plugin.js';

export function plugins(context) {
  return context.args.length > 0 ? plugin(context) : list(context);
}

/** The stores of plugins: what becomes of them at the end of the server. */
export const STORES = { memory: 'in memory', written: 'saved', synced: 'saved, synced to disk' };

/** The state of a plugin in one word. */
export function statePill(it) {
  if (it.disabled) return pill('disabled', 'warn');
  if (it.instances === 0) return pill('unused', '', 'No route uses the plugin.');
  return pill('serving', 'good');
}

/** The state of a circuit breaker. */
export function breakerPill({ state }, before = 'breaker ') {
  const kinds = { closed: ['closed', 'good'], half_open: ['half open', 'warn'], open: ['open', 'bad'] };
  const [text, kind] = kinds[state] ?? [state, ''];
  return pill(before + text, kind, 'The circuit breaker refuses requests to a handler that keeps failing.');
}

/** Versions beside the one in service, and pins. */
export function versionPills(it) {
  return [
    it.pinned && pill('pinned', 'accent', 'A kept version serves instead of the file.'),
    it.canary && pill(`canary ${it.canary.share}`, 'accent', `Version ${digest(it.canary.digest)} serves a share of the topics.`),
    it.shadow && pill('shadow', 'accent', `Version ${digest(it.shadow.digest)} runs behind the one in service.`),
  ];
}

function list({ signal, shared }) {
  const content = h('div', {}, h('div', { class: 'empty' }, 'Loading…'));
  const total = h('span', { class: 'total' });
  const columns = [
    { title: 'Plugin', cell: (it) => [h('a', { href: `#/plugins/${encodeURIComponent(it.name)}` }, it.name), h('span', { class: 'sub' }, `${it.version} · `, h('span', { class: 'mono' }, digest(it.digest)))] },
    { title: 'State', cell: (it) => h('span', { class: 'pills' }, statePill(it), versionPills(it)) },
    { title: 'Circuit breaker', cell: (it) => breakerPill(it.circuit_breaker, '') },
    { title: 'Faults', kind: 'num', cell: ({ name, circuit_breaker: { faults } }) => (faults > 0 ? h('a', { class: 'bad', href: `#/plugins/${encodeURIComponent(name)}/faults` }, number(faults)) : '0') },
    { title: 'Instances', kind: 'num', cell: ({ instances }) => number(instances) },
    { title: 'Memory', kind: 'num', cell: ({ memory }) => bytes(memory.bytes) },
    { title: 'Store', cell: ({ store }) => (store.failure ? pill('cannot be saved', 'bad', store.failure) : [STORES[store.state] ?? store.state, store.limit > 0 && h('span', { class: 'sub' }, `${bytes(store.bytes)} of ${bytes(store.limit)}`)]) },
    { title: 'Queue', kind: 'num', cell: ({ queue }) => number(queue.waiting) },
  ];
  const redraw = redrawn(content);
  const search = h('input', { type: 'search', placeholder: 'Name or handler', 'aria-label': 'Name or handler', 'data-search': '', autocomplete: 'off', oninput: () => draw(shared.status) });
  const draw = (status) => {
    const text = search.value.trim().toLowerCase();
    const rows = status.plugins.filter((it) => [it.name, ...it.handlers].some((name) => name.toLowerCase().includes(text)));
    put(total, `${number(rows.length)} of ${number(status.plugin_count)}`);
    redraw([rows, text], () => (rows.length > 0 ? table('Plugins', columns, rows)
      : empty('No plugin', text ? `No plugin or handler has “${text}”.` : 'The site has no components.')));
  };
  shared.onStatus(draw, signal);
  const bar = h('div', { class: 'toolbar' }, h('div', { class: 'search' }, icon('search'), search, h('kbd', { 'aria-hidden': 'true' }, '/')), total);
  return { element: [head('Plugins', 'The components that serve routes, each in its sandbox.'), h('section', { class: 'card' }, bar, content)] };
}
