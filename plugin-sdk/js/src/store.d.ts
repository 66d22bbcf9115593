/** The plugin's store: values by key, as JSON. If a hook fails, its writes are undone. */

/** Time to live, in milliseconds. */
export interface Lifetime {
  ttl?: number;
}

/** The value of a key; `undefined` without one. */
export function get<T = any>(key: string): T | undefined;
/** Stores a value. */
export function set(key: string, value: unknown, options?: Lifetime): void;
declare function remove(key: string): boolean;
/** Deletes a value; returns whether there was one. */
export { remove as delete };
/** Adds to a whole number, zero if the key has no value, and returns the sum. */
export function increment(key: string, by?: number): number;
/** Counts up; the count restarts when `window` milliseconds have passed. Returns the count. */
export function countWithin(key: string, window: number): number;
/**
 * Replaces a value by the result of `change`, without losing writes of another lane: it may be
 * called more than once. `undefined` is no value. Returns the new value.
 */
export function update<T = any>(
  key: string,
  change: (value: T | undefined) => T | undefined,
  options?: Lifetime,
): T | undefined;
/** The keys that begin with the prefix, in order, with their values; at most `limit`. */
export function entries<T = any>(prefix: string, limit: number): [string, T][];
export function getBytes(key: string): Uint8Array | undefined;
export function setBytes(key: string, bytes: Uint8Array, options?: Lifetime): void;
/** Replaces the bytes if they equal `expected`; `undefined` is no value. */
export function compareAndSet(
  key: string,
  expected: Uint8Array | undefined,
  bytes: Uint8Array | undefined,
  options?: Lifetime,
): boolean;
