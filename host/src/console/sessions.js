// Sessions: those that are open, and the inspector of one.

import { brief, card, empty, facts, h, head, parts, pill, put, redrawn } from './elements.js';
import { get, poll, post } from './api.js';
import { ask, change, field } from './dialog.js';
import { freshness } from './freshness.js';
import { bytes, clock, duration, number } from './format.js';
import { noneFound, pagedList, table } from './table.js';

/** The interval at which the shown session is read. */
const INTERVAL = 3_000;
/** The maximum number of subscriptions that are shown. */
const MAX_SHOWN = 200;

export function sessions(context) {
  const { args: [id] } = context;
  return id ? inspector(context, id) : list(context);
}

/** The name of a protocol as people write it. */
export const protocolName = (name) => (name === 'wamp' ? 'WAMP v1' : name.replace('wamp.2.', 'WAMP v2, '));

/** A mark of users without a login, unless their name says it already. */
const anonymous = (it) => it.is_anonymous && !it.user.startsWith('anonymous') && [' ', pill('anonymous', 'plain')];

/** A list of sessions: all, or those that have subscribed to a topic. */
export function sessionList({ signal, topic, realm, search, noun = 'session', nothing }) {
  const columns = [
    { title: 'User', kind: 'lead', cell: (it) => [h('a', { href: `#/sessions/${it.id}` }, brief(it.user, 60)), anonymous(it), h('span', { class: 'sub mono' }, it.id)] },
    { title: 'Address', kind: 'parts address', cell: ({ address }) => (address ? parts(address) : '–') },
    { title: 'Protocol', kind: 'fix', cell: ({ protocol }) => protocolName(protocol) },
    { title: 'Connected', kind: 'fix', cell: ({ seconds, since }) => h('span', { title: since && clock(since) }, duration(seconds)) },
    { title: 'In', kind: 'num', cell: (it) => number(it.in.messages) },
    { title: 'Out', kind: 'num', cell: (it) => number(it.out.messages) },
    { title: 'Outbox', kind: 'num', cell: ({ outbox }) => [bytes(outbox.bytes), outbox.dropped > 0 && h('span', { class: 'sub warn' }, `${number(outbox.dropped)} dropped`), outbox.replaced > 0 && h('span', { class: 'sub warn', title: 'Older events that a newer one of the same topic has replaced: the client reads slowly.' }, `${number(outbox.replaced)} replaced`)] },
    { title: 'Subscriptions', kind: 'num', cell: ({ subscriptions }) => number(subscriptions) },
  ];
  return pagedList({
    label: 'Sessions', noun, placeholder: 'User, id or address', columns, signal, search,
    nothing: noneFound(noun, nothing),
    load: async (text, after, limit) => {
      const found = await get('sessions', { search: text, topic, realm, after, limit }, signal);
      return { rows: found.sessions, total: found.session_count, next: found.next };
    },
  });
}

function list({ query, signal }) {
  const shown = sessionList({ signal, search: query.get('search') ?? '', nothing: 'No client is connected.' });
  return { element: [head('Sessions', 'Clients that are connected now.'), shown.element] };
}

function inspector({ signal, shared }, id) {
  const about = h('div', {}, h('div', { class: 'card empty' }, 'Loading…'));
  const titles = h('div', {});
  const [retitle, redraw] = [redrawn(titles), redrawn(about)];
  let session;
  const age = freshness();
  const kick = shared.changeButton('End the session', async () => {
    const asked = await ask({
      title: 'End the session?', danger: true, action: 'End the session',
      text: `${session.user} is disconnected. Clients of WAMP v2 get the message, and most do not connect again.`,
      fields: [field('Message to the client', 'message', { maxlength: 100, placeholder: 'the operator has ended the session' })],
    });
    if (!asked) return;
    const body = { id: session.id, ...(asked.message && { message: asked.message }) };
    const done = await change(null, () => post('session/kick', body), ({ user, result }) => (result === 'ok' ? `The session of ${user} is ended.` : `The session of ${user} was ending already.`));
    if (done) shared.go('/sessions');
  }, { kind: 'danger' });
  kick.hidden = true;
  const draw = (found) => {
    session = found;
    kick.hidden = false;
    const trace = () => h('a', { class: 'button', href: `#/trace?user=${encodeURIComponent(found.user)}` }, 'Trace the user');
    retitle(found.user, () => head(found.user, null, [trace(), kick], ['#/sessions', 'Sessions']));
    redraw(found, () => details(found));
  };
  poll(INTERVAL, signal, async () => { draw(await get('session', { id }, signal)); age.fresh(); }, (error) => {
    if (error.status !== 404 && error.status !== 400) { age.failed(error); return; }
    age.fresh();
    kick.hidden = true;
    retitle(null, () => head('Session', null, [], ['#/sessions', 'Sessions']));
    redraw(null, () => h('div', { class: 'card' }, empty('The session is not open', h('a', { href: `#/ended?search=${encodeURIComponent(id)}` }, 'Look among the ended sessions'))));
  });
  put(titles, head('Session', null, [], ['#/sessions', 'Sessions']));
  return { title: 'Session', element: [titles, age.note, about] };
}

function details(it) {
  const waiting = [bytes(it.outbox.bytes), it.outbox.dropped > 0 && h('span', { class: 'warn' }, `, ${number(it.outbox.dropped)} events dropped`), it.outbox.replaced > 0 && h('span', { class: 'warn' }, `, ${number(it.outbox.replaced)} replaced by newer ones`)];
  const client = facts([
    ['User', [it.user, anonymous(it)]],
    ['Roles', it.roles.length > 0 ? h('span', { class: 'pills' }, it.roles.map((role) => pill(role, 'plain'))) : 'none'],
    ['Signed in by', it.authmethod], ['Id', h('span', { class: 'mono' }, it.id)], ['Realm', it.realm],
    ['Protocol', protocolName(it.protocol)], ['Address', it.address ?? 'unknown'],
    ['Connected', it.since && `${clock(it.since)}, for ${duration(it.seconds)}`],
  ]);
  const traffic = facts([
    ['Received', `${number(it.in.messages)} messages, ${bytes(it.in.bytes)}`],
    ['Sent', `${number(it.out.messages)} messages, ${bytes(it.out.bytes)}`],
    ['Waiting for the client', waiting],
    ['Calls', `${number(it.calls.waiting)} wait for an answer, ${number(it.calls.handling)} to answer`],
  ]);
  const named = (uri, match) => (match === 'exact' ? h('a', { href: `#/topics/${encodeURIComponent(uri)}?realm=${encodeURIComponent(it.realm)}` }, brief(uri)) : [brief(uri) || '(all topics)', ' ', pill(match, 'plain accent')]);
  const part = (title, total, rows, columns, nothing) => card(title, h('span', { class: 'soft small' }, number(total)),
    rows.length > 0 ? table(title, columns, rows.slice(0, MAX_SHOWN)) : empty('None', nothing),
    total > MAX_SHOWN && rows.length > 0 && h('p', { class: 'pager soft small' }, `The first ${MAX_SHOWN} are shown.`));
  const subscriptions = part('Subscriptions', it.subscription_count, it.subscriptions, [
    { title: 'Topic', kind: 'lead', cell: ({ uri, match }) => named(uri, match) },
    { title: 'Route', cell: ({ route }) => route ?? '–' },
    { title: 'Handler', cell: ({ handler }) => handler ?? '–' },
  ], 'The client has not subscribed to anything.');
  const registrations = part('Registrations', it.registration_count, it.registrations, [
    { title: 'Procedure', cell: ({ uri, match }) => [uri, match !== 'exact' && [' ', pill(match, 'plain accent')]] },
  ], 'The client answers no calls.');
  return h('div', { class: 'stack' },
    h('div', { class: 'grid' }, card('Client', null, h('div', { class: 'card-body' }, client)), card('Traffic', null, h('div', { class: 'card-body' }, traffic))),
    subscriptions, registrations);
}
