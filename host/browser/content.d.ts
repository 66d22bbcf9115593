import type { Sync } from './sync.js';

/** What was changed, and by whom; `null` is nobody in particular. */
export interface Change {
  username: string | null;
  tagname: string;
}

/** Is told, in words for the user, that a page is out of date, and by which changes. */
export type Outdated = (text: string, page: Page, changes: Change[]) => void;

export interface ContentOptions {
  /** Whose changes are silent: the `username` of this page's user. */
  user?: string | null;
  /** Default: `oro/data/update`. */
  topic?: string;
  /** The words, with `{{title}}` for the page's title. */
  message?: string;
  /** For pages that have no `outdated` of their own. */
  notify?: Outdated;
}

export interface PageOptions {
  title?: string;
  /** What the page shows; see `contentTag`. */
  tags?: readonly string[] | ReadonlySet<string>;
  /** Somebody else has changed it. Told once, until `refreshed`. */
  outdated?: Outdated;
  /** The user has changed it, here or in another tab: time to forget a copy. */
  own?: (page: Page, changes: Change[]) => void;
}

export interface Page {
  title: string;
  /** May be changed while the page is open. */
  tags: Set<string>;
  readonly isOutdated: boolean;
  /** What it shows is fresh again. */
  refreshed(): void;
  /** It is watched no more. */
  close(): void;
}

/** Tells pages when what they show has been changed by somebody else. */
export class ContentManager {
  constructor(sync: Sync, options?: ContentOptions);
  open(page: PageOptions): Page;
  /** Says that this user has changed what has these tags. The server has to allow it. */
  publish(...tags: string[]): Promise<number>;
  close(): void;
}

/** The tag of an entity, as OroPlatform writes it; without identifiers, of lists of such entities. */
export function contentTag(className: string, ...identifiers: (string | number)[]): string;
