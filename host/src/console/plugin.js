// One plugin: its state, the times of its hooks, its versions, faults and log.

import { brief, card, empty, facts, gauge, h, head, multiline, pill, problem, put, redrawn } from './elements.js';
import { asApiError, get, poll, post } from './api.js';
import { ask, change, field } from './dialog.js';
import { histogram, quantile } from './chart.js';
import { shellWord } from './escape.js';
import { freshness } from './freshness.js';
import { bytes, clock, count, digest, duration, number } from './format.js';
import { STORES, breakerPill, statePill, versionPills } from './plugins.js';
import { CAUSES } from './reloads.js';
import { table } from './table.js';

const INTERVAL = 2_000;
/** The maximum number of log lines that are shown. */
const MAX_LINES = 500;

/** The ends of versions. */
const ENDS = { replaced: 'replaced', rolled_back: 'rolled back', taken_back: 'rolled back automatically', removed: 'removed' };

const TABS = [['', 'State'], ['versions', 'Versions'], ['faults', 'Faults'], ['log', 'Log']];

export function plugin({ args: [name, tab = ''], signal, shared }) {
  const address = (part) => `#/plugins/${encodeURIComponent(name)}${part && `/${part}`}`;
  const top = h('div', {}, head(name, null, [], ['#/plugins', 'Plugins']));
  const tabs = h('nav', { class: 'tabs', 'aria-label': 'Parts of the plugin' }, TABS.map(([part, title]) => (
    h('a', { href: address(part), 'aria-current': part === tab ? 'page' : undefined }, title))));
  const content = h('div', { class: 'stack' });
  const toggle = shared.changeButton('', async (button) => {
    const isDisabled = find(shared.status)?.disabled;
    const asked = isDisabled || await ask({ title: `Disable ${name}?`, danger: true, action: 'Disable', text: 'Its handlers refuse every request until it is enabled again. Clients stay connected.' });
    if (asked) await change(button, () => post(isDisabled ? 'enable' : 'disable', { plugin: name }), ({ survives_restart: kept }) => `${name} is ${isDisabled ? 'enabled' : 'disabled'}${kept ? '' : ', until the server ends'}.`);
  });
  const find = (status) => status?.plugins.find((it) => it.name === name);
  let drawn;
  shared.onStatus((status) => {
    const it = find(status);
    const next = JSON.stringify([it?.disabled, it?.instances, it?.circuit_breaker.state, it?.pinned, it?.canary?.share, it?.shadow?.digest, it?.version]);
    if (next === drawn) return;
    drawn = next;
    if (!it) {
      put(top, head(name, 'The site has no plugin with this name.', [], ['#/plugins', 'Plugins']));
      return;
    }
    const label = it.disabled ? 'Enable' : 'Disable';
    put(toggle, label);
    const pills = h('span', { class: 'pills' }, statePill(it), breakerPill(it.circuit_breaker), versionPills(it));
    put(top, head(name, pills, [toggle], ['#/plugins', 'Plugins']));
  }, signal);
  const context = { name, signal, shared, find, content };
  ({ '': state, versions, faults, log }[tab] ?? state)(context);
  return { title: name, element: [top, tabs, content] };
}

function state({ name, signal, shared, find, content }) {
  const about = h('div', { class: 'grid' });
  const redraw = redrawn(about);
  const hooks = h('div', { class: 'hooks' }, h('p', { class: 'soft' }, 'Loading…'));
  const age = freshness();
  put(content, age.note, about, card('Hook durations', h('span', { class: 'soft small' }, 'since the plugin was loaded first'), hooks));
  shared.onStatus((status) => {
    const it = find(status);
    if (it) redraw(it, () => describe(it));
  }, signal);
  poll(INTERVAL, signal, async () => {
    const found = await get('plugin', { plugin: name }, signal);
    const parts = found.handlers.flatMap((handler) => handler.hooks.map((hook) => hookTimes(handler.name, hook)));
    put(hooks, parts.length > 0 ? parts : empty('No hook was called yet', 'The durations of the first calls are shown here.'));
    age.fresh();
  }, age.failed);
}

function describe(it) {
  const breaker = it.circuit_breaker;
  const open = breaker.open.map((circuit) => h('p', { class: 'note-box bad' }, h('b', {}, circuit.handler), ` is ${circuit.state.replace('_', ' ')}: refuses ${count(circuit.clients, 'client')}, ${count(circuit.topics, 'topic')}, ${count(circuit.sessions, 'session')}.`));
  const outgoing = Object.entries(it.outgoing).filter(([, { accepted, refused }]) => accepted + refused > 0);
  const names = { http: 'HTTP requests', calls: 'Calls', later: 'Later results' };
  return [
    card('Version', pill(`contract ${it.contract}`, 'plain'), h('div', { class: 'card-body' }, facts([
      ['Version', it.version], ['Digest', h('span', { class: 'mono' }, it.digest.replace('sha256:', ''))], ['File', h('span', { class: 'mono' }, it.file)],
      ['Handlers', h('span', { class: 'pills' }, it.handlers.map((handler) => pill(handler, 'plain')))],
      ['Stateless', it.stateless ? 'yes' : 'no'], ['Store', [STORES[it.store.state] ?? it.store.state, it.store.failure && problem(it.store.failure)]],
    ]), it.store.limit > 0 && gauge('Size of the store', it.store.bytes, it.store.limit, bytes))),
    card('Instances', null, h('div', { class: 'card-body' },
      gauge(`Memory of ${count(it.instances, 'instance')}`, it.memory.bytes, it.memory.limit_per_instance * it.instances, bytes),
      facts([['Limit', `${bytes(it.memory.limit_per_instance)} each`], ['Recycled', count(it.recycled, 'instance')],
        ['Queue', `${count(it.queue.waiting, 'call')} for ${count(it.instances, 'lane')}${it.queue.lanes.length > 1 ? `, ${number(Math.max(...it.queue.lanes))} at most` : ''}`],
        ['Faults', `${number(breaker.faults)} of this version; the breaker opened ${count(breaker.opened, 'time')}`],
        ...outgoing.map(([kind, tally]) => [names[kind], `${number(tally.accepted)} sent, ${number(tally.in_flight)} wait, ${number(tally.refused)} refused, ${number(tally.dropped)} answers dropped`])]), open)),
  ];
}

function hookTimes(handler, { hook, count: calls, seconds, buckets }) {
  const bound = (share) => {
    const limit = quantile(buckets, share);
    return limit === null ? 'more' : `≤ ${duration(limit)}`;
  };
  const words = `${count(calls, 'call')} · mean ${duration(calls > 0 ? seconds / calls : 0)} · p50 ${bound(0.5)} · p99 ${bound(0.99)}`;
  return h('div', { class: 'hook' }, h('div', { class: 'hook-head' }, h('h3', {}, `${handler} · ${hook}`), h('span', { class: 'soft small' }, words)),
    histogram(`Durations of ${hook} of ${handler}`, buckets));
}

function versions({ name, signal, shared, content }) {
  const beside = h('div', { class: 'grid' });
  const history = h('div', {}, h('div', { class: 'empty' }, 'Loading…'));
  const age = freshness();
  put(content, age.note, beside, card('Versions that have served', null, history));
  const [redraw, redrawHistory] = [redrawn(beside), redrawn(history)];
  // After a change, also a refused one: another version may be there.
  const again = () => load().catch((error) => { if (!signal.aborted) age.failed(asApiError(error)); });
  const load = async () => {
    const plugin = name;
    const [shadow, canary, kept] = await Promise.all([get('shadow', { plugin }, signal), get('canary', { plugin }, signal), get('history', { plugin }, signal)]);
    // Buttons and the differences that are open stay while nothing changes.
    const open = [...beside.querySelectorAll('details[open]')].map((it) => it.dataset.kind);
    redraw([shadow, canary], () => candidates({ name, shared, again, shadow, canary }));
    for (const it of beside.querySelectorAll('details')) it.open = open.includes(it.dataset.kind);
    const [found] = kept.plugins;
    redrawHistory(kept, () => (found ? historyOf(found, { name, shared, again }) : empty('No history', 'No version of this plugin has served.')));
    age.fresh();
  };
  poll(INTERVAL * 5, signal, load, age.failed);
}

function historyOf(found, { name, shared, again }) {
  const serving = found.versions.find((it) => !it.until)?.digest;
  const columns = [
    { title: 'Version', cell: (it) => [h('b', {}, it.version), h('span', { class: 'sub mono' }, digest(it.digest))] },
    { title: 'State', cell: (it) => (it.until ? pill(ENDS[it.ended] ?? it.ended.replaceAll('_', ' '), it.ended === 'taken_back' ? 'bad' : '') : h('span', { class: 'pills' }, pill('in service', 'good'), found.pin && pill('pinned', 'accent'))) },
    { title: 'Served', cell: (it) => `${clock(it.since)} – ${it.until ? clock(it.until) : 'now'}` },
    { title: 'Cause', cell: ({ cause }) => CAUSES[cause] ?? cause },
    { title: 'Contract', cell: ({ contract }) => contract },
    { title: 'File', cell: ({ file }) => h('span', { class: 'mono' }, file) },
    { title: '', kind: 'end', cell: (it) => it.until && it.kept && it.digest !== serving && shared.changeButton('Return to it', async (button) => {
      const asked = await ask({ title: `Return to ${it.version}?`, action: 'Return to it', text: `The version ${digest(it.digest)} serves instead of the file, until the file changes. Clients stay connected.` });
      if (!asked) return;
      await change(button, () => post('rollback', { plugin: name, digest: it.digest.replace('sha256:', '') }), ({ version }) => `${name} ${version} is in service again.`);
      await again();
    }, { kind: 'small' }) },
  ];
  const versions = found.versions;
  const shown = versions.filter((it, index) => !it.until || versions.findIndex((other) => other.digest === it.digest && other.until) === index || !it.kept);
  return table('Versions', columns, shown);
}

function candidates({ name, shared, again, shadow, canary }) {
  const promote = (it) => shared.changeButton('Promote', async (button) => {
    const asked = await ask({ title: `Promote ${it.version}?`, action: 'Promote', text: `The version ${digest(it.digest)} replaces the one in service. Clients stay connected.` });
    if (!asked) return;
    await change(button, () => post('promote', { plugin: name, digest: it.digest.replace('sha256:', '') }), ({ version }) => `${name} ${version} is in service.`);
    await again();
  }, { kind: 'small primary' });
  // Each change names the version that is shown: the server refuses it if another one has replaced that.
  const stop = (path, it) => shared.changeButton('Stop', async (button) => {
    await change(button, () => post(path, { plugin: name, digest: it.digest }), () => `${it.version} (${digest(it.digest)}) is stopped.`);
    await again();
  }, { kind: 'small' });
  const share = (it) => shared.changeButton('Change the share', async (button) => {
    const asked = await ask({ title: 'Share of the topics', action: 'Change', text: `The version ${it.version} (${digest(it.digest)}) serves this share of the topics of ${name}.`, fields: [field('Share', 'share', { value: it.share, required: true, pattern: '[0-9.]+%' }, 'Such as 10%.')] });
    if (!asked) return;
    await change(button, () => post('canary', { plugin: name, digest: it.digest, share: asked.share }), (answer) => `${answer.version} serves ${answer.share} of the topics.`);
    await again();
  }, { kind: 'small' });
  const word = shellWord(name, 'NAME');
  const command = (text) => h('p', { class: 'soft' }, text);
  const it = canary.canary;
  const canaryBody = it
    ? [facts([['Version', [it.version, ' ', h('span', { class: 'mono soft' }, digest(it.digest))]], ['Share', it.share], ['Serves', it.serves ? `since ${clock(it.since)}` : 'not yet'], ['Faults', number(it.faults)], ['Memory', bytes(it.memory.bytes)], ['From', h('span', { class: 'mono' }, it.source)]])]
    : [command(['None. Start one on the server’s machine: ', h('code', {}, `jackfield canary ${word} FILE --share 10%`)]),
      canary.ended && h('p', { class: 'note-box' }, `The last one, ${canary.ended.version} with ${canary.ended.share}, ended ${clock(canary.ended.at)}: ${canary.ended.reason.replace('_', ' ')}.`)];
  const running = shadow.shadow;
  return [
    card('Shadow', running && h('div', { class: 'actions' }, promote(running), stop('shadow/stop', running)), h('div', { class: 'card-body' }, running ? shadowResults(running) : [
      shadow.failed ? h('div', { class: 'note-box bad' }, h('b', {}, `${digest(shadow.failed.digest)} cannot run: `), h('pre', {}, multiline(shadow.failed.reason)))
        : command(shadow.loading ? 'A shadow is being loaded…' : ['None. Put a new version beside the file, named ', h('code', {}, '….shadow.wasm'), ', or start one on the server’s machine: ', h('code', {}, `jackfield shadow ${word} FILE`)])])),
    card('Canary', it && h('div', { class: 'actions' }, promote(it), share(it), stop('canary/stop', it)), h('div', { class: 'card-body' }, canaryBody)),
  ];
}

/** The results of a shadow: how its answers differ, and what it costs. */
function shadowResults(it) {
  const left = Object.entries(it.left_out).filter(([, total]) => total > 0).map(([reason, total]) => `${number(total)} by ${reason}`);
  const cost = (of) => `mean ${duration(of.mean_microseconds / 1e6)}, longest ${duration(of.max_microseconds / 1e6)}, ${bytes(of.memory_bytes)}`;
  const verdict = it.compared === 0 ? ['', 'No call was compared yet.'] : it.differing + it.faults === 0 ? ['good', it.compared === 1 ? 'The compared call had the same result.' : `All ${number(it.compared)} compared calls had the same result.`]
    : ['warn', `${number(it.differing)} of ${number(it.compared)} compared calls differ; ${count(it.faults, 'fault')}.`];
  const differences = it.differences.map((difference) => h('details', { 'data-kind': difference.kind }, h('summary', {}, `${difference.kind.replaceAll('_', ' ')}: ${count(difference.calls, 'call')}`),
    h('p', { class: 'small soft' }, brief(difference.example.topic), `, ${clock(difference.example.at)}`), h('pre', { class: 'backtrace' }, multiline(difference.example.diff))));
  return [
    h('p', { class: `note-box ${verdict[0]}` }, verdict[1]),
    facts([['Version', [it.version, ' ', h('span', { class: 'mono soft' }, digest(it.digest))]], ['Since', clock(it.since)], ['Compared', number(it.compared)], ['Differing', number(it.differing)], ['Faults', number(it.faults)],
      ['Left out', left.join(', ') || '0'], ['In service', cost(it.cost.serving)], ['Shadow', cost(it.cost.shadow)]]),
    differences, it.notes.map((note) => h('p', { class: 'soft small' }, `${note[0].toUpperCase()}${note.slice(1)}.`)), it.error && problem(it.error),
  ];
}

function faults({ name, signal, content }) {
  const kinds = h('div', { class: 'pills' });
  const list = h('div', {}, h('div', { class: 'empty' }, 'Loading…'));
  const age = freshness();
  put(content, age.note, card('Last faults', kinds, list));
  const redraw = redrawn(list);
  poll(INTERVAL, signal, async () => {
    const [{ faults: last }, { handlers }] = await Promise.all([get('faults', { plugin: name }, signal), get('plugin', { plugin: name }, signal)]);
    const sums = {};
    for (const [kind, total] of handlers.flatMap((it) => Object.entries(it.faults))) sums[kind] = (sums[kind] ?? 0) + total;
    put(kinds, Object.entries(sums).map(([kind, total]) => pill(`${kind.replaceAll('_', ' ')} ${number(total)}`, 'bad plain', 'Since the plugin was loaded first')));
    redraw(last, () => (last.length > 0 ? last.map(fault) : empty('No faults', 'Traps, time-outs and errors of the plugin are shown here, with their backtraces.')));
    age.fresh();
  }, age.failed);
}

function fault({ at, kind, hook, handler, topic, message, backtrace }) {
  // Its beginning says what is shown beside it.
  const place = ` for topic ${topic}: `;
  const said = message.includes(place) ? message.slice(message.indexOf(place) + place.length) : message;
  return h('article', { class: 'fault' }, h('div', { class: 'event-head' }, pill((kind ?? 'fault').replaceAll('_', ' '), 'bad'), handler && h('b', {}, `${handler}${hook ? ` · ${hook}` : ''}`), h('span', { class: 'when' }, clock(at))),
    topic && h('p', { class: 'small break' }, 'Topic ', h('a', { href: `#/topics/${encodeURIComponent(topic)}` }, brief(topic))),
    h('p', { class: 'break lines' }, multiline(said)), backtrace && h('pre', { class: 'backtrace' }, multiline(backtrace.replaceAll(' < ', '\n← '))));
}

function log({ name, signal, content }) {
  const list = h('ol', { class: 'log', tabindex: 0, 'aria-label': 'Log lines' });
  const nothing = h('div', {}, h('div', { class: 'empty' }, 'Loading…'));
  const follow = h('input', { type: 'checkbox', checked: true });
  const level = h('select', { 'aria-label': 'Level' }, ['all levels', 'warnings and errors', 'errors'].map((text, index) => h('option', { value: index }, text)));
  const wanted = [['trace', 'debug', 'info', 'warn', 'error'], ['warn', 'error'], ['error']];
  const filter = (line) => { line.hidden = !line.classList.contains('restart') && !wanted[level.value].some((name) => line.classList.contains(name)); };
  level.addEventListener('change', () => [...list.children].forEach(filter));
  const bar = h('div', { class: 'toolbar' }, level, h('label', { class: 'check' }, follow, 'Follow'), h('span', { class: 'total' }, 'the lines that the log of the server has (RUST_LOG)'));
  const age = freshness();
  put(content, h('section', { class: 'card', 'aria-label': 'Log' }, bar, age.note, nothing, list));
  let after = 0;
  let server;
  poll(1_000, signal, async () => {
    const { lines, next, started } = await get('log', { plugin: name, after }, signal);
    age.fresh();
    if (server !== undefined && started !== server) {
      // The numbers of another process begin anew.
      server = started;
      after = 0;
      if (list.children.length > 0) list.append(h('li', { class: 'restart' }, `The server was started again at ${clock(started)}.`));
      return;
    }
    server = started;
    after = next;
    const added = lines.map((it) => h('li', { class: it.level, title: [it.handler, it.topic].filter(Boolean).join(' · ') }, h('span', { class: 'at' }, clock(it.at)), h('span', { class: 'level' }, it.level), h('span', { class: 'text' }, multiline(it.message))));
    added.forEach(filter);
    list.append(...added);
    while (list.children.length > MAX_LINES) list.firstChild.remove();
    nothing.hidden = list.children.length > 0;
    list.hidden = !nothing.hidden;
    put(nothing, empty('No lines', 'The plugin has logged nothing since the start.'));
    if (added.length > 0 && follow.checked) list.scrollTop = list.scrollHeight;
  }, age.failed);
}
