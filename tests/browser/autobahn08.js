// Page client of WAMP v1 that a server cannot distinguish from AutobahnJS 0.8.0: the moment at
// which a connection counts as open, the reply to a close, the messages that it rejects or ignores.
// Written from observation of the original; it has the functions that OroPlatform's pages use.
'use strict';

var ab = (() => {
  const CLOSED = 0, RETRIES_EXCEEDED = 2, UNREACHABLE = 3;

  class Session {
    constructor(socket, onopen) {
      this.callbacks = new Map();
      this.calls = new Map();
      this.socket = socket;
      socket.onmessage = ({ data }) => {
        // Invalid JSON throws here, and the connection stays open.
        const message = JSON.parse(data);
        const call = this.calls.get(message[1]);
        // Calls are looked up before the message's type is checked.
        if (call) {
          this.calls.delete(message[1]);
          if (message[0] === 3) call.resolve(message[2]);
          else if (message[0] === 4) call.reject({ uri: message[2], desc: message[3], detail: message[4] });
        } else if (message[0] === 8) {
          for (const callback of this.callbacks.get(message[1]) ?? []) callback(message[1], message[2]);
        } else if (message[0] === 0) {
          if (this.id) throw new Error('protocol error: welcome message received more than once');
          if (message[2] !== 1) throw new Error('protocol error: the server speaks another version');
          this.id = message[1];
          this.server = message[3];
          onopen();
        }
      };
    }

    send(message) {
      if (!this.connected) throw new Error('Autobahn not connected');
      this.socket.send(JSON.stringify(message));
    }

    call(procedure, ...args) {
      return new Promise((resolve, reject) => {
        let id;
        do id = Math.random().toString(36); while (this.calls.has(id));
        this.calls.set(id, { resolve, reject });
        this.send([2, id, procedure, ...args]);
      });
    }

    subscribe(topic, callback) {
      if (!this.callbacks.has(topic)) {
        this.send([5, topic]);
        this.callbacks.set(topic, []);
      }
      if (this.callbacks.get(topic).includes(callback)) throw new Error('callback already registered for topic');
      this.callbacks.get(topic).push(callback);
    }

    unsubscribe(topic, callback) {
      const left = (this.callbacks.get(topic) ?? []).filter((it) => callback && it !== callback);
      if (left.length > 0) return this.callbacks.set(topic, left);
      this.callbacks.delete(topic);
      this.send([6, topic]);
    }

    publish(topic, event, third, fourth) {
      if (third === undefined) return this.send([7, topic, event]);
      if (fourth === undefined && typeof third === 'boolean') return this.send([7, topic, event, third]);
      if (Array.isArray(third) && (fourth === undefined || Array.isArray(fourth))) {
        return this.send(fourth ? [7, topic, event, third, fourth] : [7, topic, event, third]);
      }
      throw new Error('invalid argument type(s)');
    }

    close() {
      this.send = () => {};
      this.socket.close(1000);
    }
  }

  /** As with `maxRetries: 0`: the page retries itself, because each attempt needs a new ticket. */
  function connect(uri, onopen, onclose) {
    const socket = new WebSocket(uri, ['wamp']);
    const session = new Session(socket, () => onopen(session));
    socket.onopen = () => {
      if (socket.protocol !== 'wamp') {
        socket.close(1000, 'server does not speak WAMP');
        throw new Error('server does not speak WAMP');
      }
      session.connected = true;
    };
    socket.onclose = ({ wasClean, code, reason }) => {
      if (!session.connected) return onclose(UNREACHABLE, 'Connection could not be established.');
      session.connected = false;
      if (wasClean) return onclose(CLOSED, `Connection was closed properly [${code}: ${reason}]`);
      return onclose(RETRIES_EXCEEDED, 'Connection lost.');
    };
    return session;
  }

  return { connect, CONNECTION_CLOSED: CLOSED };
})();

/** The layer of OroPlatform's pages: a ticket for every attempt, all subscriptions again after each
 * connect, and no reconnect after a clean close. */
class OroSync {
  constructor(url, { ticket, delay = 200 } = {}) {
    Object.assign(this, { url, ticket, delay, channels: [], session: null, states: [], count: 0 });
    this.connect();
  }

  async connect() {
    const ticket = this.ticket ? await this.ticket() : `ticket-${++this.count}`;
    const opened = (session) => {
      this.session = session;
      this.states.push('open');
      for (const [channel, callback] of this.channels) session.subscribe(channel, callback);
    };
    ab.connect(`${this.url}?ticket=${encodeURIComponent(ticket)}`, opened, (code) => {
      this.session = null;
      this.states.push(code);
      if (code !== ab.CONNECTION_CLOSED) setTimeout(() => this.connect(), this.delay);
    });
  }

  subscribe(channel, callback) {
    const wrapped = (_topic, event) => callback(event);
    this.channels.push([channel, wrapped]);
    this.session?.subscribe(channel, wrapped);
  }
}
