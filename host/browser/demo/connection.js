// Connection of the demo, and the page's display of its state.

import { Sync } from '/sync.js';

/** A connection to the server of the page. A hidden page stays connected, as users switch to another
 * window to run the command. */
export function connect() {
  return new Sync({ pauseAfter: Infinity, retry: { first: 1_000, most: 10_000 } });
}

/** Calls `tell` with each state and its text. */
export function follow(sync, tell) {
  tell('connecting', 'connecting…');
  sync.addEventListener('connected', () => tell('connected', 'connected'));
  sync.addEventListener('retrying', ({ detail: { delay, error } }) => {
    const seconds = Math.ceil(delay / 1_000);
    tell('waiting', `${error.message}; next attempt within ${seconds} s`);
  });
}

/** Shows an error in place of missing content, and removes it once the content is there. */
export function complain(element, plugin) {
  const none = ['jackfield.error.no_route', 'wamp.error.no_such_procedure'];
  return (error) => {
    element.hidden = !error;
    if (!error) element.textContent = '';
    else if (none.includes(error.uri)) element.textContent = `The plugin “${plugin}” is not in this site. Add it, and load the page again.`;
    else element.textContent = error.message;
  };
}

/** Calls `load` when a topic is subscribed to (again), and `complain` with errors. */
export function keepLoaded(sync, topic, load, complain) {
  const again = async () => {
    try {
      await load();
      complain(null);
    } catch (error) {
      // After a lost connection, the next one calls it again.
      if (error.uri !== 'jackfield.client.disconnected') complain(error);
    }
  };
  const isMine = ({ detail }) => detail.topic === topic;
  sync.addEventListener('connected', again);
  sync.addEventListener('restored', (event) => isMine(event) && again());
  sync.addEventListener('refused', (event) => isMine(event) && complain(event.detail.error));
}

export function showConnection(sync) {
  const pill = document.getElementById('connection');
  const text = document.getElementById('connection-text');
  follow(sync, (state, words) => {
    pill.dataset.state = state;
    text.textContent = words;
  });
}
