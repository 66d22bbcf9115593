'use strict';
(() => {
// Content that is out of date: what a page shows carries tags, and when somebody changes what has
// one of them, the page says so. Own changes are silent. It reads what OroPlatform and
// docs/publishing.md publish on `oro/data/update`: a list of {"username", "tagname"}.

const MESSAGE = 'Content of {{title}} page is outdated, please refresh';

class ContentManager {
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

  /** Watches what a page shows, until it is closed. */
  open({ title = '', tags = [], outdated, own }) {
    const page = {
      title, tags: new Set(tags), outdated, own, isOutdated: false,
      refreshed: () => { page.isOutdated = false; },
      close: () => { this.#pages.delete(page); },
    };
    this.#pages.add(page);
    return page;
  }

  /** Tells all who watch these tags, on other pages too, that what they show has changed. */
  publish(...tags) {
    const { sync, topic, user } = this.#options;
    return sync.publish(topic, tags.map((tagname) => ({ username: user, tagname })), { excludeMe: false });
  }

  /** Watches nothing any more. */
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
      // Once is enough, until the page has been refreshed.
      if (others.length === 0 || page.isOutdated) continue;
      page.isOutdated = true;
      run(page.outdated ?? notify, message.replaceAll('{{title}}', () => page.title), page, others);
    }
  }
}

/** Calls what a page has given us, if it has. Its mistakes are its own, and keep nothing from others. */
function run(callback, ...values) {
  try {
    callback?.(...values);
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
}

/** The tag of an entity, as OroPlatform writes it; without identifiers, of lists of such entities. */
function contentTag(className, ...identifiers) {
  const name = className.replace(/^\\+/, '').replace(/[^A-Za-z]+/g, '_');
  return `${name}_${identifiers.length > 0 ? identifiers.join('_') : 'type_collection'}`;
}

globalThis.Jackfield = Object.assign(globalThis.Jackfield ?? {}, { ContentManager, contentTag });
})();
