// Notices about outdated content: a page has tags for the data that it shows, and is notified when
// another user changes data with one of these tags. Events are those of OroPlatform on
// `oro/data/update`, lists of {"username", "tagname"}; see docs/publishing.md.

const MESSAGE = 'Content of {{title}} page is outdated, please refresh';

export class ContentManager {
  #options;
  #pages = new Set();
  #subscription;

  constructor(sync, { user = null, topic = 'oro/data/update', message = MESSAGE, notify } = {}) {
    this.#options = { sync, user, topic, message, notify };
    this.#subscription = sync.subscribe(topic, (tags, event) => {
      // A repeated event is older than this page.
      if (!event?.repeated) this.#changed(tags);
    });
  }

  /** Registers a page, until it is closed. */
  open({ title = '', tags = [], outdated, own }) {
    const page = {
      title, tags: new Set(tags), outdated, own, isOutdated: false,
      refreshed: () => { page.isOutdated = false; },
      close: () => { this.#pages.delete(page); },
    };
    this.#pages.add(page);
    return page;
  }

  /** Announces a change of data with these tags to all pages, including those of other users. */
  publish(...tags) {
    const { sync, topic, user } = this.#options;
    return sync.publish(topic, tags.map((tagname) => ({ username: user, tagname })), { excludeMe: false });
  }

  /** Unsubscribes, and closes all pages. */
  close() {
    this.#subscription.unsubscribe();
    this.#pages.clear();
  }

  #changed(changes) {
    if (!Array.isArray(changes)) return;
    for (const page of [...this.#pages]) {
      const touching = changes.filter((change) => page.tags.has(change?.tagname));
      if (touching.length === 0) continue;
      const { user, message, notify } = this.#options;
      const isOwn = ({ username }) => user !== null && username === user;
      const others = touching.filter((change) => !isOwn(change));
      const own = touching.filter(isOwn);
      if (own.length > 0) run(page.own, page, own);
      // Only the first change is reported, until the page has been refreshed.
      if (others.length === 0 || page.isOutdated) continue;
      page.isOutdated = true;
      run(page.outdated ?? notify, message.replaceAll('{{title}}', () => page.title), page, others);
    }
  }
}

/** Calls an optional callback of the page. Its errors are reported, and do not affect other pages. */
function run(callback, ...values) {
  try {
    callback?.(...values);
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
}

/** The tag of an entity in the format of OroPlatform; without identifiers, that of lists of entities. */
export function contentTag(className, ...identifiers) {
  const name = className.replace(/^\\+/, '').replace(/[^A-Za-z]+/g, '_');
  return `${name}_${identifiers.length > 0 ? identifiers.join('_') : 'type_collection'}`;
}
