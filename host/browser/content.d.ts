import type { Sync } from './sync.js';

/** A change: the tag of the data, and the user; `null` without a user. */
export interface Change {
  username: string | null;
  tagname: string;
}

/** Called when a page is outdated, with a text for the user and the changes. */
export type Outdated = (text: string, page: Page, changes: Change[]) => void;

export interface ContentOptions {
  /** The `username` of this page's user, whose own changes are not reported. */
  user?: string | null;
  /** Default: `oro/data/update`. */
  topic?: string;
  /** The text, with `{{title}}` for the page's title. */
  message?: string;
  /** Default callback, for pages without `outdated`. */
  notify?: Outdated;
}

export interface PageOptions {
  title?: string;
  /** Tags of the data that the page shows; see `contentTag`. */
  tags?: readonly string[] | ReadonlySet<string>;
  /** Another user has changed the data. Called once, until `refreshed`. */
  outdated?: Outdated;
  /** This user has changed the data, here or in another tab: cached copies are stale. */
  own?: (page: Page, changes: Change[]) => void;
}

export interface Page {
  title: string;
  /** May be changed while the page is open. */
  tags: Set<string>;
  readonly isOutdated: boolean;
  /** Marks the page as up to date. */
  refreshed(): void;
  /** Unregisters the page. */
  close(): void;
}

/** Notifies pages when another user changes the data that they show. */
export class ContentManager {
  constructor(sync: Sync, options?: ContentOptions);
  open(page: PageOptions): Page;
  /** Announces that this user has changed data with these tags. The server has to allow it. */
  publish(...tags: string[]): Promise<number>;
  close(): void;
}

/** The tag of an entity in the format of OroPlatform; without identifiers, that of lists of entities. */
export function contentTag(className: string, ...identifiers: (string | number)[]): string;
