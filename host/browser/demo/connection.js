// How a connection is made here, and what the page says of it.

import { Sync } from '/sync.js';

/** A connection to the server that the page came from. Who leaves a demo open and goes to another
 * window, to run the command, is to find it as it was. */
export function connect() {
  return new Sync({ pauseAfter: Infinity, retry: { first: 1_000, most: 10_000 } });
}

/** Has `tell` called with each state and the words for it. */
export function follow(sync, tell) {
  tell('connecting', 'connecting…');
  sync.addEventListener('connected', () => tell('connected', 'connected'));
  sync.addEventListener('retrying', ({ detail: { delay } }) => {
    const seconds = Math.ceil(delay / 1_000);
    tell('waiting', `no connection; next attempt within ${seconds} s`);
  });
}

export function showConnection(sync) {
  const pill = document.getElementById('connection');
  const text = document.getElementById('connection-text');
  follow(sync, (state, words) => {
    pill.dataset.state = state;
    text.textContent = words;
  });
}
