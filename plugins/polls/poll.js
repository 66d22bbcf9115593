//! A poll in the store: its question and options, one vote for each user, and the counts.

import { Refusal, store } from 'jackfield-plugin';

/** The poll of a topic; before a manager has opened it, the one of the settings. */
export class Poll {
  constructor(topic, { options }) {
    this.prefix = `poll/${topic}/`;
    this.about = store.get(`${this.prefix}about`) ?? { round: 0, question: '', options, open: true };
  }

  /** Counts the vote of a user. Returns whether the counts have changed. */
  vote(user, choice, mayChange) {
    const { round, options, open } = this.about;
    if (!open) throw new Refusal('acme.error.poll_closed', 'The poll is closed.');
    if (!options.includes(choice)) {
      throw Refusal.invalidArgument(`Vote for one of: ${options.join(', ')}.`);
    }
    const key = `${this.prefix}${round}/by/${user}`;
    const before = store.get(key);
    if (before === choice) return false;
    if (before !== undefined && !mayChange) {
      throw new Refusal('acme.error.voted', 'You have voted already.');
    }
    // All calls about one topic have the same lane, so that no other vote comes between.
    store.set(key, choice);
    store.increment(this.#count(choice), 1);
    if (before !== undefined) store.increment(this.#count(before), -1);
    return true;
  }

  /** Begins a new round, in which no user has voted. */
  open(question, options) {
    this.#forget();
    this.about = { round: this.about.round + 1, question, options, open: true };
    this.#save();
  }

  close() {
    this.about.open = false;
    this.#save();
  }

  /** The result, as clients receive it. */
  result() {
    const { question, options, open } = this.about;
    const votes = Object.fromEntries(options.map((one) => [one, store.get(this.#count(one)) ?? 0]));
    const total = Object.values(votes).reduce((sum, count) => sum + count, 0);
    return { question, open, total, votes };
  }

  #count(option) {
    return `${this.prefix}${this.about.round}/count/${option}`;
  }

  #save() {
    store.set(`${this.prefix}about`, this.about);
  }

  /** Deletes the round that ends. */
  #forget() {
    const batch = 500;
    for (;;) {
      const found = store.entries(`${this.prefix}${this.about.round}/`, batch);
      for (const [key] of found) store.delete(key);
      if (found.length < batch) return;
    }
  }
}
