// Reloads: their timeline with the changes of each, and the versions that wait for a decision.

import { card, h, head, multiline, pill, put } from './elements.js';
import { post } from './api.js';
import { ask, change } from './dialog.js';
import { clock, count, digest, duration, number } from './format.js';
import { table } from './table.js';

const RESULTS = { ok: ['loaded', 'good'], unchanged: ['unchanged', ''], partial: ['partly loaded', 'warn'], failed: ['failed', 'bad'] };
/** The causes of reloads and of versions. */
export const CAUSES = { start: 'Start of the server', change: 'Change of the site', signal: 'Signal', control: 'Operator', take_back: 'Automatic rollback' };

/** The result of a reload. */
export function resultPill(result) {
  const [text, kind] = RESULTS[result] ?? [result, ''];
  return pill(text, kind);
}

export function reloads({ signal, shared }) {
  const reload = shared.changeButton('Reload the site', (button) => change(button, () => post('reload', {}), ({ result, generation, settings }) => [
    result === 'unchanged' ? 'The site has not changed.' : `Generation ${generation} is in service.`,
    settings?.changed.length > 0 && `Changed settings: ${settings.changed.join(', ')}.`].filter(Boolean).join(' ')), { kind: 'primary', sign: 'reloads' });
  const pending = h('div', { class: 'stack' });
  const list = h('ol', { class: 'timeline' });
  const notes = h('div', { class: 'stack' });
  let shown;
  shared.onStatus((status) => {
    const next = JSON.stringify([status.reloads, status.settings, status.generation.number, status.plugins.map(({ name, shadow, canary, pinned }) => [name, shadow, canary?.share, pinned]), status.loading, status.problem_count]);
    if (next === shown) return;
    shown = next;
    put(pending, candidates(status), status.loading.length > 0 && h('p', { class: 'note-box' }, `Being loaded: ${status.loading.join(', ')}`));
    pending.hidden = pending.children.length === 0;
    put(notes, settingsNotes(status.settings));
    notes.hidden = notes.children.length === 0;
    const ofSite = status.reloads.map((it) => [it.at, entry(it, isServing(it, status), shared, signal)]);
    const ofSettings = status.settings.reloads.map((it) => [it.at, settingsEntry(it)]);
    // Times are ISO 8601 in UTC, so texts sort like times.
    put(list, [...ofSite, ...ofSettings].sort(([a], [b]) => (a < b ? 1 : -1)).map(([, line]) => line));
  }, signal);
  const title = head('Reloads', 'The last 20 of the site and of the settings, the newest first. Clients stay connected during a reload.', [reload]);
  return { element: [title, notes, pending, card('Timeline', null, h('div', { class: 'card-body' }, list))] };
}

/** Shadows and canaries: versions that wait to be promoted or stopped. */
function candidates({ plugins }) {
  const rows = plugins.filter((it) => it.shadow || it.canary);
  const columns = [
    { title: 'Plugin', cell: ({ name }) => h('b', {}, name) },
    { title: 'Version', cell: ({ shadow, canary }) => h('span', { class: 'pills' }, shadow ? pill('shadow', 'accent') : pill(`canary ${canary.share}`, 'accent'), h('span', { class: 'mono' }, digest((shadow ?? canary).digest))) },
    { title: 'Results', cell: ({ shadow }) => shadow && h('span', {}, `${count(shadow.compared, 'call')} compared, `, h('span', { class: shadow.differing + shadow.faults > 0 ? 'warn' : 'good' }, `${number(shadow.differing)} differ, ${count(shadow.faults, 'fault')}`)) },
    { title: '', kind: 'end', cell: ({ name }) => h('a', { class: 'button small', href: `#/plugins/${encodeURIComponent(name)}/versions` }, 'Results, promote') },
  ];
  return rows.length > 0 && card('Beside the version in service', null, table('Versions beside the one in service', columns, rows));
}

/** Settings on disk that do not run: refused ones, and those that need a restart. */
function settingsNotes({ problem_count: problems, problems: shown, restart_needed: restart }) {
  const refused = problems > 0 && h('div', { class: 'note-box bad' }, h('b', {}, `The settings on disk are refused: ${count(problems, 'problem')}. `), 'The running settings stay.',
    shown.map(({ text }) => h('pre', { class: 'problem' }, multiline(text))));
  const needed = restart.length > 0 && h('div', { class: 'note-box warn' }, h('b', {}, 'A restart is needed for '), restartList(restart));
  return [refused, needed].filter(Boolean);
}

const restartList = (restart) => restart.map(({ setting, running }, at) => [at > 0 && ', ', h('span', { class: 'mono' }, setting), ` (running: ${running})`]);

const SETTINGS = { applied: ['Settings changed', 'ok'], unchanged: ['Settings read again', 'unchanged'], refused: ['Settings refused', 'failed'] };

/** A reading of the settings in the timeline. */
function settingsEntry(it) {
  const [title, style] = SETTINGS[it.result] ?? [it.result, ''];
  const line = h('div', { class: 'event-head' }, h('b', {}, title), h('span', { class: 'soft' }, it.cause === 'change' ? 'Change of the file' : CAUSES[it.cause] ?? it.cause),
    h('span', { class: 'when' }, `${clock(it.at)} · took ${duration(it.took_seconds)}`));
  const more = it.problem_count > it.problems.length && h('p', { class: 'soft small' }, `and ${number(it.problem_count - it.problems.length)} more problems`);
  return h('li', { class: style }, line,
    it.changed.length > 0 && h('p', { class: 'small break' }, it.changed.map((name, at) => [at > 0 && ', ', h('span', { class: 'mono' }, name)])),
    it.restart_needed.length > 0 && h('p', { class: 'small soft break' }, 'needs a restart: ', restartList(it.restart_needed)),
    it.problems.map(({ text }) => h('pre', { class: 'problem' }, multiline(text))), more);
}

/** Whether the reload has put the generation in service that serves now. */
const isServing = ({ result, generation }, status) => generation === status.generation.number && (result === 'ok' || result === 'partial');

/** Titles of reloads without a new generation, and the note about the generation that stays. */
const TITLES = { failed: 'Reload failed', unchanged: 'Reload without a change' };

function entry(it, serves, shared, signal) {
  const stays = TITLES[it.result] && h('span', { class: 'soft' }, `generation ${it.generation} stays ·`);
  const line = h('div', { class: 'event-head' }, h('b', {}, TITLES[it.result] ?? `Generation ${it.generation}`), !TITLES[it.result] && resultPill(it.result), serves && pill('in service', 'good'), stays, h('span', { class: 'soft' }, CAUSES[it.cause] ?? it.cause),
    h('span', { class: 'when' }, `${clock(it.at)} · took ${duration(it.took_seconds)}`));
  const more = it.problem_count > it.problems.length && h('p', { class: 'soft small' }, `and ${number(it.problem_count - it.problems.length)} more problems`);
  return h('li', { class: it.result }, line, it.loading.length > 0 && h('p', { class: 'small soft' }, `without ${it.loading.join(', ')}, which is still being loaded`),
    it.problems.map(({ text }) => h('pre', { class: 'problem' }, multiline(text))), more, it.changes && diff(it.changes, shared, signal));
}

const KINDS = { added: ['+', 'add'], removed: ['−', 'drop'], replaced: ['~', 'edit'] };

function diff({ routes, plugins, plugin_count: total }, shared, signal) {
  const item = (sign, kind, ...words) => h('li', { class: kind }, h('span', { class: 'sign', 'aria-hidden': 'true' }, sign), words);
  const version = (it) => [h('b', {}, it.version), ' ', h('span', { class: 'mono soft' }, digest(it.digest))];
  const ofPlugin = ({ name, change: kind, from, to }) => {
    const [sign, style] = KINDS[kind] ?? ['·', 'edit'];
    const link = h('a', { href: `#/plugins/${encodeURIComponent(name)}/versions` }, name);
    const words = from && to && kind === 'replaced' ? [version(from), ' → ', version(to)] : [kind === 'added' || kind === 'removed' ? version(to ?? from) : kind];
    return item(sign, style, h('span', {}, 'plugin ', link, ': ', words), kind === 'replaced' && rollBack(name, from, to, shared, signal));
  };
  const ofRoutes = (sign, kind, word, { count: all, names }) => all > 0 && item(sign, kind,
    h('span', { class: 'break' }, `${count(all, 'route')} ${word}: `, names.slice(0, 8).join(', '), all > 8 && ` and ${number(all - Math.min(8, names.length))} more`));
  const items = [
    plugins.map(ofPlugin), total > plugins.length && item('·', '', `and ${number(total - plugins.length)} more plugins`),
    ofRoutes('+', 'add', 'added', routes.added), ofRoutes('−', 'drop', 'removed', routes.removed), ofRoutes('~', 'edit', 'changed', routes.changed),
  ].flat().filter(Boolean);
  return items.length > 0 ? h('ul', { class: 'diff' }, items) : h('p', { class: 'small soft' }, 'The routes and plugins are the same.');
}

/** A button that returns to the version before, while the new one is in service. */
function rollBack(name, from, to, shared, signal) {
  const current = shared.status.plugins.find((it) => it.name === name);
  // Without a data folder, no version is kept.
  if (!shared.status.keeps_versions || current?.digest !== to.digest) return null;
  return shared.changeButton('Roll back', async (button) => {
    const asked = await ask({ title: `Return to ${from.version}?`, action: 'Roll back', text: `${name} ${digest(from.digest)} serves instead of the file, until the file changes. Clients stay connected.` });
    if (asked) await change(button, () => post('rollback', { plugin: name, digest: from.digest.replace('sha256:', '') }), ({ version }) => `${name} ${version} is in service again.`);
  }, { kind: 'small' });
}

