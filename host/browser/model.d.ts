import type { Sync } from './sync.js';

export interface RelevantOptions<M extends object> {
  /** Topic of the changes. Default: the model's `url`, or its result if it is a function. */
  topic?: string;
  /** Applies the changed attributes. Default: the model's `set`, or assignment, except to `url` and
   * methods. */
  apply?: (model: M, attributes: { [name: string]: any }) => void;
}

/** Updates a model with the published attributes. Returns a function that stops it. */
export function keepRelevant<M extends object>(sync: Sync, model: M, options?: RelevantOptions<M>): () => void;

/** Stops updating a model. */
export function stopTracking(sync: Sync, model: object): void;
