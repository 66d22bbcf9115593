// Pages with `sync.js` and back ends of a cluster, in Node: one JSON object a line, each answered by one.
//
// The argument is a JSON object: "servers", the addresses of the nodes, and tokens of the HTTP API: "token"
// publishes, and "readerToken" reads, because a token does not read its own events.
//
// Each node has pages that stay and one that comes and goes; two more pages go to the next node with each
// connection. Visitors open a page in the middle, some of them with data that a back end has read behind a
// position. A reader of each node asks for histories again and again. Each node has a back end that publishes
// over HTTP, and one over WAMP. They number their events for each topic, without an end.
//
// Events of a session of a back end come in order and once, in each connection and to each page that stays
// that comes back or goes to another node. A node that is behind sends it what it has had already after a `gap` alone.
//
// Each of these clients has each acknowledged event of its topics, or was told of a `gap` of the topic after the event
// was sent: what the page reads then has it.
//
// Commands:
//   {"do": "settle"}: waits until each page has the next events of all back ends, and was told of all holes
//   {"do": "end"}: the same at the end: nobody comes and goes, and each page gets the last event of each back end
// Answers are {"done": numbers} or {"failed": text}. The first line is {"ready"}: all pages are subscribed.

import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

import { Sync } from '../../host/browser/sync.js';

const require = createRequire(`${process.env.JACKFIELD_NODE_PEERS}/`);
const WebSocket = require('ws');
const { servers, token, readerToken } = JSON.parse(process.argv[2]);

/** Time limit of a command on a busy machine; the test's own limit is a minute. */
const PATIENCE = 50_000;
/** Time between two events of a back end. */
const PACE = 50;
/** Visitors that stay until the next command. */
const MAX_VISITORS = 10;
const TOPICS = Array.from({ length: 6 }, (_, number) => `long/${number}`);
/** No page is subscribed to it. */
const QUIET = 'long/quiet';
/** Far above the time for which a node stands still: a late answer is no refusal. */
const CONNECTION = { WebSocket, timeout: 40_000, retry: { first: 200, most: 1_000 } };

/** Counted with each event that is sent, and with each gap: the order of both. */
let moment = 0;
/** The wrong observations. */
const faults = [];
let isCalm = false;
let hasEnded = false;
let isDone = false;

const random = (from, to) => from + Math.random() * (to - from);

/** What a session of a back end has sent to a topic: numbers from 1. */
class Sent {
  /** The moment of each event. */
  moments = [];
  acknowledged = new Set();
  /** The last one that is acknowledged. */
  last = 0;
}

/** All of them, by the name of the session and by topic. */
const published = new Map();

function sentBy(from, topic) {
  if (!published.has(from)) published.set(from, new Map());
  const topics = published.get(from);
  if (!topics.has(topic)) topics.set(topic, new Sent());
  return topics.get(topic);
}

class BackEnd {
  failures = 0;
  /** Another one after each failure and connection: events of several sessions have no order. */
  session = 0;

  /** `publish` rejects if the event is not acknowledged; then it may have been published or not. */
  constructor(name, topics, publish, connected = async () => {}) {
    Object.assign(this, { name, topics, publish, connected });
    /** The number of acknowledged events by topic. */
    this.counts = new Map(topics.map((topic) => [topic, 0]));
  }

  async run() {
    while (!hasEnded) {
      for (const topic of this.topics) {
        await this.one(topic);
        await delay(PACE);
      }
    }
  }

  /** Publishes the next event. Returns it if it is acknowledged. */
  async one(topic) {
    await this.connected();
    const from = `${this.name}.${this.session}`;
    const sent = sentBy(from, topic);
    const number = sent.moments.push(++moment);
    try {
      await this.publish(topic, [from, number]);
    } catch {
      this.failures++;
      this.session++;
      await delay(PACE);
      return null;
    }
    sent.acknowledged.add(number);
    sent.last = number;
    this.counts.set(topic, this.counts.get(topic) + 1);
    return { from, topic, number };
  }
}

/** A request to the HTTP API. Rejects if it is refused. */
async function request(server, path, body) {
  const headers = { authorization: `Bearer ${body ? token : readerToken}`, 'content-type': 'application/json' };
  const signal = AbortSignal.timeout(CONNECTION.timeout);
  const method = body ? 'POST' : 'GET';
  const answer = await fetch(`http://${server}/api/${path}`, { method, headers, body: body && JSON.stringify(body), signal });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return JSON.parse(text);
}

/** What a page has of a session and topic. */
class Seen {
  last = 0;
  missing = new Set();
  /** The last one from this node. */
  here = 0;
}

/** What a client has of its topics. */
class Client {
  received = 0;
  gaps = 0;
  covered = 0;
  connections = 0;
  /** Events that had come from another node. */
  again = 0;

  /** `node` is its number, unless it goes from one to the next. */
  constructor(name, node, topics) {
    Object.assign(this, { name, node, topics });
    this.seen = new Map(topics.map((topic) => [topic, new Map()]));
    /** The moments from which the client has to have the events of each topic, or a later gap. */
    this.gapAt = new Map(topics.map((topic) => [topic, 0]));
  }

  event(topic, [from, number], details) {
    this.received++;
    const seen = this.of(topic, from);
    if (number <= seen.here) {
      faults.push(`${this.name}: ${topic} ${from} ${number} comes after ${seen.here}: ${JSON.stringify(details)}`);
      return;
    }
    seen.here = number;
    if (number <= seen.last) {
      if (!seen.missing.delete(number)) this.again++;
      return;
    }
    const { moments, acknowledged } = sentBy(from, topic);
    for (let it = seen.last + 1; it < number; it++) {
      if (moments[it - 1] > this.gapAt.get(topic)) seen.missing.add(it);
      else if (acknowledged.has(it)) this.covered++;
    }
    seen.last = number;
  }

  gap(topic) {
    this.gaps++;
    this.gapAt.set(topic, ++moment);
    for (const [from, { missing }] of this.seen.get(topic)) {
      const { acknowledged } = sentBy(from, topic);
      for (const number of missing) if (acknowledged.has(number)) this.covered++;
      missing.clear();
    }
  }

  /** Goes to another node, or to another history of this one. */
  move(topics) {
    for (const topic of topics) for (const seen of this.seen.get(topic).values()) seen.here = 0;
  }

  of(topic, from) {
    const seen = this.seen.get(topic);
    if (!seen.has(from)) seen.set(from, new Seen());
    return seen.get(from);
  }

  /** Returns what the page has not got of these events and those before, and was not told of. */
  lacks(events) {
    const lacks = [];
    for (const { from, topic, number } of events) {
      if (!this.seen.has(topic)) continue;
      const { last, missing } = this.of(topic, from);
      const { moments, acknowledged } = sentBy(from, topic);
      const isUntold = (it) => acknowledged.has(it) && moments[it - 1] > this.gapAt.get(topic);
      const holes = [...missing].filter(isUntold);
      for (let it = last + 1; it <= number; it++) if (isUntold(it)) holes.push(it);
      if (holes.length > 0) lacks.push(`${this.name}: ${topic} ${from} ${holes} of ${number} are missing, without a gap`);
    }
    return lacks;
  }

  /** Returns those of the events that the page has not got. */
  waitsFor(events) {
    const waits = events.filter(({ from, topic, number }) => this.seen.has(topic) && this.of(topic, from).last < number);
    return waits.map(({ from, topic, number }) => `${this.name}: ${topic} ${from} ${number} does not come`);
  }
}

class Page extends Client {
  constructor(name, node, topics, positions = new Map()) {
    super(name, node, topics);
    let next = 0;
    const url = () => `http://${servers[node ?? next++ % servers.length]}/`;
    this.sync = new Sync({ ...CONNECTION, url });
    this.sync.addEventListener('connected', () => this.connections++);
    this.sync.addEventListener('gap', ({ detail }) => {
      this.gap(detail.topic);
      if (node === null) this.move([detail.topic]);
    });
    this.sync.addEventListener('refused', ({ detail }) => faults.push(`${name}: ${detail.topic} is refused: ${detail.error.message}`));
    this.ready = new Map(topics.map((topic) => {
      const handler = (value, { details }) => this.event(topic, value, details);
      return [topic, this.sync.subscribe(topic, handler, { since: positions.get(topic) }).ready];
    }));
  }

  /** Leaves and comes back, often. */
  async comeAndGo() {
    while (!isCalm) {
      await delay(random(200, 1_000));
      this.sync.close();
      await delay(random(0, 400));
      const connected = once(this.sync, 'connected');
      this.sync.reconnect();
      await connected;
    }
  }
}

/** Reads histories over HTTP, without a subscription. */
class Reader extends Client {
  positions = new Map();

  async run() {
    while (!isDone) {
      for (const topic of this.topics) await this.read(topic).catch(() => {});
      await delay(4 * PACE);
    }
  }

  async read(topic) {
    const position = this.positions.get(topic);
    const query = new URLSearchParams({ ...position, limit: 5_000 });
    const { epoch, offset, recovered, events } = await request(servers[this.node], `topics/${topic}/history?${query}`);
    this.positions.set(topic, { epoch, offset });
    if (!position) {
      this.gapAt.set(topic, ++moment);
    } else if (!recovered) {
      this.gap(topic);
      this.move([topic]);
    }
    for (const { args } of events) this.event(topic, args[0], { offset });
  }
}

const backEnds = [];
const pages = [];
const readers = [];
/** Pages that were opened since the last command. */
const visitors = [];
let visits = 0;
const restless = [];

servers.forEach((server, node) => {
  const topics = (from) => [0, 1, 2].map((it) => TOPICS[(from + it) % TOPICS.length]);
  backEnds.push(new BackEnd(`http-${node}`, [...topics(node * 2), QUIET], (topic, value) => request(server, 'publish', { topic, args: [value] })));
  const sync = new Sync({ ...CONNECTION, url: `http://${server}/` });
  const connected = async () => {
    while (sync.session === null) await once(sync, 'connected');
  };
  const publish = (topic, value) => sync.publish(topic, value);
  const overWamp = new BackEnd(`wamp-${node}`, topics(node * 2 + 1), publish, connected);
  sync.addEventListener('connected', () => overWamp.session++);
  backEnds.push(overWamp);
  pages.push(new Page(`steady-${node}`, node, TOPICS));
  pages.push(new Page(`half-${node}`, node, TOPICS.filter((_, it) => it % 2 === node % 2)));
  restless.push(new Page(`restless-${node}`, node, TOPICS));
  readers.push(new Reader(`reader-${node}`, node, [TOPICS[0], QUIET]));
});
restless.push(...['one', 'other'].map((name) => new Page(`roaming-${name}`, null, TOPICS)));
pages.push(...restless);

/** Opens a page: it has to get what is sent after SUBSCRIBED, or after the data was read. */
async function visit() {
  const node = Math.floor(random(0, servers.length));
  const first = Math.floor(random(0, TOPICS.length));
  const topics = [TOPICS[first], TOPICS[(first + 1) % TOPICS.length]];
  const name = `visitor-${++visits}`;
  if (visits % 2 === 0) {
    const page = new Page(name, node, topics);
    for (const [topic, ready] of page.ready) {
      page.gapAt.set(topic, Infinity);
      ready.then(() => page.gapAt.set(topic, ++moment), () => {});
    }
    return page;
  }
  const positions = new Map();
  for (const topic of topics) {
    const { epoch, offset } = await request(servers[node], `topics/${topic}/position`);
    positions.set(topic, { epoch, offset });
  }
  const read = ++moment;
  const page = new Page(name, node, topics, positions);
  for (const topic of topics) page.gapAt.set(topic, read);
  return page;
}

async function visitOften() {
  while (!isCalm) {
    await delay(random(200, 1_000));
    // A node that is away refuses it, or answers later.
    if (visitors.length < MAX_VISITORS) visit().then((page) => visitors.push(page), () => {});
  }
}

/** The last acknowledged event of each session and topic. */
function lastEvents() {
  const found = [];
  for (const [from, topics] of published) {
    for (const [topic, { last }] of topics) if (last > 0) found.push({ from, topic, number: last });
  }
  return found;
}

/** The back ends of which no event was acknowledged since these numbers. */
function stuckSince(counts) {
  return backEnds.filter((it, index) => it.topics.some((topic) => it.counts.get(topic) <= counts[index].get(topic)));
}

/** Waits until nothing is missing. */
async function until(missing) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    if (faults.length > 0) throw new Error(faults.slice(0, 20).join('\n'));
    const found = missing();
    if (found.length === 0) return;
    if (Date.now() > end) throw new Error(found.slice(0, 20).join('\n'));
    await delay(20);
  }
}

/** Waits until the pages have all acknowledged events, or were told that they have not. */
async function complete() {
  const events = lastEvents();
  const some = [...visitors];
  await until(() => [...pages, ...readers, ...some].flatMap((page) => page.lacks(events)));
  for (const { sync } of visitors.splice(0, some.length)) sync.close();
}

function numbers() {
  const sum = (list, number) => list.reduce((total, it) => total + number(it), 0);
  return {
    acknowledged: sum(backEnds, ({ counts }) => sum([...counts.values()], (it) => it)),
    unacknowledged: sum(backEnds, ({ failures }) => failures),
    received: sum(pages, ({ received }) => received),
    visits,
    connections: sum(pages, ({ connections }) => connections),
    again: sum(pages, ({ again }) => again),
    gaps: sum(pages, ({ gaps }) => gaps),
    covered: sum(pages, ({ covered }) => covered),
    pages: pages.map(({ name, connections, gaps }) => ({ name, connections, gaps })),
  };
}

let running;
const commands = {
  async settle() {
    const counts = backEnds.map((it) => new Map(it.counts));
    await until(() => stuckSince(counts).map(({ name }) => `no event of ${name} is acknowledged`));
    await complete();
    return numbers();
  },
  async end() {
    isCalm = true;
    await running.restless;
    hasEnded = true;
    await running.backEnds;
    const ends = await Promise.all(backEnds.flatMap((it) => it.topics.map(async (topic) => {
      for (;;) {
        const event = await it.one(topic);
        if (event) return event;
      }
    })));
    await until(() => [...pages, ...readers].flatMap((it) => it.waitsFor(ends)));
    await complete();
    isDone = true;
    return numbers();
  },
};

const report = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
await Promise.all(pages.map(({ sync }) => once(sync, 'connected')));
await Promise.all(readers.flatMap((it) => it.topics.map((topic) => it.read(topic))));
running = {
  backEnds: Promise.all(backEnds.map((it) => it.run())),
  restless: Promise.all([visitOften(), ...restless.map((it) => it.comeAndGo())]),
};
for (const reader of readers) reader.run();
report({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    report({ done: await commands[command.do]() });
  } catch (error) {
    report({ failed: error.message });
  }
}
process.exit(0);
