// Ended sessions: the last thousand, with the reasons of their ends.

import { brief, empty, h, head, parts, pill, put } from './elements.js';
import { get } from './api.js';
import { bytes, clock, duration, number } from './format.js';
import { pagedList } from './table.js';

/** The number of sessions that the server keeps. */
const MAX_ENDED = 1_000;
/** The interval between two reads: the answer can have all of them. */
const REFRESH = 10_000;

/** The colour of each reason: of the client's own will, or not. */
const KINDS = { goodbye: '', left: '', lost: 'warn', violation: 'bad', slow_subscriber: 'bad', rate: 'bad', incomplete_message: 'bad', expired: 'warn', revoked: 'warn', kicked: 'accent', handler: 'accent', shutdown: 'accent', refused: 'warn', user_limit: 'warn', timeout: 'warn' };

/** The reasons as people read them; the API and the commands have the names. */
export const REASONS = {
  goodbye: 'said goodbye', left: 'closed the connection', lost: 'connection lost', violation: 'violated the protocol',
  slow_subscriber: 'read too slowly', rate: 'sent too fast', incomplete_message: 'incomplete messages', expired: 'token expired', revoked: 'credentials revoked', kicked: 'ended by the operator',
  handler: 'ended by a handler', shutdown: 'server stopped', refused: 'refused', user_limit: 'too many connections of the user',
  timeout: 'no session in time',
};

export function ended({ query, signal }) {
  let reason = query.get('reason') ?? '';
  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Reason' });
  const columns = [
    { title: 'User', kind: 'lead', cell: (it) => [h('b', {}, brief(it.user, 60)), h('span', { class: 'sub mono' }, it.id)] },
    { title: 'Reason', kind: 'reason', cell: (it) => [pill(REASONS[it.reason] ?? it.reason, KINDS[it.reason] ?? '', it.reason), it.message && h('span', { class: 'sub' }, it.message), it.uri && h('span', { class: 'sub mono' }, it.uri)] },
    { title: 'Ended', kind: 'fix', cell: (it) => h('span', { title: it.since && `connected ${clock(it.since)}` }, clock(it.ended)) },
    { title: 'Lasted', kind: 'fix', cell: ({ seconds }) => duration(seconds) },
    { title: 'Address', kind: 'parts address', cell: ({ address }) => (address ? parts(address) : '–') },
    { title: 'In', kind: 'num', cell: (it) => number(it.in.messages) },
    { title: 'Out', kind: 'num', cell: (it) => [number(it.out.messages), h('span', { class: 'sub' }, bytes(it.out.bytes))] },
    { title: 'Dropped', kind: 'num', cell: ({ dropped }) => (dropped > 0 ? h('span', { class: 'warn' }, number(dropped)) : '0') },
  ];
  const list = pagedList({
    label: 'Ended sessions', noun: 'session', placeholder: 'User, id or address', columns, signal, refresh: REFRESH, search: query.get('search') ?? '',
    nothing: (search) => (search || reason ? empty('No session matches', 'None of the last 1000 ended sessions matches.') : empty('None yet', 'No session has ended since the start of the server.')),
    load: async (search, after, limit) => {
      const begin = after ?? 0;
      const found = await get('ended', { search, reason, limit: MAX_ENDED }, signal);
      drawChips(found.ended);
      const more = found.sessions.length > begin + limit;
      return { rows: found.sessions.slice(begin, begin + limit), total: found.sessions.length, next: more ? begin + limit : null };
    },
  });
  function drawChips({ count, by_reason: counts }) {
    const chip = (name, text, total) => h('button', {
      class: 'chip', type: 'button', 'aria-pressed': String(reason === name), onclick: () => { reason = name; list.again(); },
    }, `${text} ${number(total)}`);
    const isFocused = chips.contains(document.activeElement);
    put(chips, chip('', 'all', count), Object.entries(counts).map(([name, total]) => chip(name, REASONS[name] ?? name, total)));
    if (isFocused) chips.querySelector('[aria-pressed=true]')?.focus();
  }
  const text = `The last ${number(MAX_ENDED)}, the newest first. The counts are of all ends since the start.`;
  return { element: [head('Ended sessions', text), chips, list.element] };
}
