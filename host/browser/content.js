// Content that is out of date: what a page shows carries tags, and when somebody changes what has
// one of them, the page says so. Own changes are silent. It reads what OroPlatform and
// docs/publishing.md publish on `oro/data/update`: a list of {"username", "tagname"}.

const MESSAGE = 'Content of {{title}} page is outdated, please refresh';

export class ContentManager {
  #options;
  #pages = new Set();
  #subscription;

  constructor(sync, options = {}) {
    this.#options = { user: null, topic: 'oro/data/update', message: MESSAGE, ...options, sync };
    this.#subscription = sync.subscribe(this.#options.topic, (tags) => this.#changed(tags));
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
      const others = touching.filter(({ username }) => user === null || username !== user);
      if (others.length === 0) {
        page.own?.(page, touching);
        continue;
      }
      // Once is enough, until the page has been refreshed.
      if (page.isOutdated) continue;
      page.isOutdated = true;
      const text = message.replaceAll('{{title}}', () => page.title);
      if (page.outdated) page.outdated(text, page, others);
      else notify?.(text, page, others);
    }
  }
}

/** The tag of an entity, as OroPlatform writes it; without identifiers, of lists of such entities. */
export function contentTag(className, ...identifiers) {
  const name = className.replace(/^\\+/, '').replace(/[^A-Za-z]+/g, '_');
  return `${name}_${identifiers.length > 0 ? identifiers.join('_') : 'type_collection'}`;
}
