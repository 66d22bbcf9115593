import type { Sync } from './sync.js';

export interface MaintenanceState {
  isOn: boolean;
  /** The user who started the maintenance, and can keep working. */
  userId: number | string | null;
}

export interface MaintenanceOptions {
  /** The id of this page's user. */
  user?: number | string | null;
  /** Default: `oro/maintenance`. */
  topic?: string;
  /** Returns the current state. Called at once if connected, and after every connect, because events
   * may have been missed. An event during the call takes precedence over its result. */
  current?: () => MaintenanceState | Promise<MaintenanceState>;
  /** Shows a notice instead of the default dialog `.jackfield-maintenance`. */
  show?: (state: MaintenanceState) => void;
  hide?: () => void;
  /** Heading of the default dialog, and its text. */
  title?: string;
  text?: string;
}

/** Shows a notice while the site is in maintenance mode. Returns a function that stops this. */
export function maintenanceNotice(sync: Sync, options?: MaintenanceOptions): () => void;
