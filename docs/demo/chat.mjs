// A chat in the terminal, over WAMP v2 and nothing but Node's own WebSocket:
//
//     node --experimental-websocket docs/demo/chat.mjs [room] [nickname]
//
// What it does is all there is to a WAMP client: HELLO, SUBSCRIBE, PUBLISH, and reading EVENTs.
import { createInterface } from 'node:readline';

const [room = 'lobby', nick] = process.argv.slice(2);
const url = process.env.JACKFIELD_URL ?? 'ws://127.0.0.1:8080/';
const topic = `acme/chat/${room}`;

if (typeof WebSocket === 'undefined') {
  console.error('Node before 22 needs: node --experimental-websocket docs/demo/chat.mjs');
  process.exit(1);
}

const socket = new WebSocket(url, 'wamp.2.json');
const send = (...message) => socket.send(JSON.stringify(message));
const say = (event) => send(16, 3, { acknowledge: true, exclude_me: false }, topic, [event]);

// An event of the room as a line.
function shown({ type, from, to, who, you, text, messages }) {
  switch (type) {
    case 'history':
      return [...messages.map(shownMessage), `(you are ${you})`].join('\n');
    case 'message':
      return shownMessage({ from, text });
    case 'joined':
    case 'left':
      return `(${who} has ${type})`;
    case 'renamed':
      return `(${from} is ${to} now)`;
    default:
      return `(an event of another kind: ${type})`;
  }
}

function shownMessage({ from, text }) {
  return `${from}: ${text}`;
}

socket.onopen = () => send(1, 'realm1', { roles: { publisher: {}, subscriber: {} } });
socket.onerror = () => console.error(`no connection to ${url}; the log of the server has the reason (a server with access.origins rejects programs without a ticket)`);
socket.onclose = ({ code, reason }) => {
  console.log(`(closed: ${code} ${reason})`);
  process.exit();
};
socket.onmessage = ({ data }) => {
  // Texts of others must not drive the terminal.
  const plain = (_key, value) => (typeof value === 'string' ? value.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ') : value);
  const [kind, ...rest] = JSON.parse(data, plain);
  switch (kind) {
    case 2: // WELCOME
      send(32, 1, {}, topic);
      break;
    case 33: // SUBSCRIBED
      console.log(`(you are in ${topic}; type, and press Enter)`);
      if (nick) say({ nick });
      createInterface({ input: process.stdin })
        .on('line', (text) => say({ text }))
        .on('close', () => socket.close());
      break;
    case 36: // EVENT
      console.log(shown(rest[3]?.[0] ?? {}));
      break;
    case 8: // ERROR
      console.log(`(refused: ${rest[4]})`);
      break;
    case 3: // ABORT
    case 6: // GOODBYE
      console.log(`(${rest[1]})`);
      break;
  }
};
