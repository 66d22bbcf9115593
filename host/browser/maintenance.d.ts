import type { Sync } from './sync.js';

export interface MaintenanceState {
  isOn: boolean;
  /** Who has begun it, and goes on working. */
  userId: number | string | null;
}

export interface MaintenanceOptions {
  /** The id of this page's user. */
  user?: number | string | null;
  /** Default: `oro/maintenance`. */
  topic?: string;
  /** Asked at once if there is a connection, and after every connect, for what was said while nobody
   * listened. What is heard meanwhile counts more than its answer. */
  current?: () => MaintenanceState | Promise<MaintenanceState>;
  /** Shows a notice of the page's own, instead of the dialog `.jackfield-maintenance`. */
  show?: (state: MaintenanceState) => void;
  hide?: () => void;
  /** The dialog's words. */
  title?: string;
  text?: string;
}

/** Shows a notice while the site is in maintenance mode. Returns a function that stops that. */
export function maintenanceNotice(sync: Sync, options?: MaintenanceOptions): () => void;
