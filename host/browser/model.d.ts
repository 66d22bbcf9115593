import type { Sync } from './sync.js';

export interface RelevantOptions<M extends object> {
  /** Where changes are published. Default: the model's `url`, or what that returns. */
  topic?: string;
  /** Takes what has changed. Default: the model's `set`, or assignment to all but `url` and methods. */
  apply?: (model: M, attributes: { [name: string]: any }) => void;
}

/** Keeps a model's attributes as they are published. Returns a function that stops that. */
export function keepRelevant<M extends object>(sync: Sync, model: M, options?: RelevantOptions<M>): () => void;

/** Leaves a model as it is from now on. */
export function stopTracking(sync: Sync, model: object): void;
