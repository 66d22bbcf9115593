// Freshness: a note above values that the server has not confirmed, as it does not answer or answers with
// an error. The values stay.

import { h, multiline, put } from './elements.js';
import { clock, sentence } from './format.js';

/** A note that is hidden while the values below it are of now. */
export function freshness() {
  let last;
  const note = h('p', { class: 'note-box bad lines freshness', role: 'status', hidden: true });
  return {
    note,
    /** The values were read now. */
    fresh() {
      last = new Date();
      note.hidden = true;
    },
    /** The values could not be read. */
    failed({ message }) {
      put(note, last && h('b', {}, `These values are of ${clock(last)}. `), multiline(sentence(message)));
      note.hidden = false;
    },
  };
}
