//! The functions that the server offers to a plugin. In a component they are the imports of the
//! contract; in a test, those of the test double.

/** The interfaces that a plugin may import. Those of `DEFAULT` need no line in package.json. */
export const CONTRACT = ['topics', 'sessions', 'store', 'log', 'later', 'http', 'fetch', 'calls'];
export const DEFAULT = ['topics', 'sessions', 'store', 'log', 'later'];

let current;

/** Replaces the host; returns the one before. */
export function exchange(host) {
  const before = current;
  current = host;
  return before;
}

/** Returns a part of the host, such as `store`. */
export function part(name) {
  if (current === undefined) {
    throw new Error(
      `\`${name}\` is not available here: code outside of functions runs when the component is built`,
    );
  }
  const found = current[name];
  if (found === undefined && CONTRACT.includes(name)) {
    throw new Error(missing(name, current));
  }
  return found;
}

/** The message about an interface that the plugin does not import, with the line to write. */
export function missing(name, host) {
  const names = CONTRACT.filter((one) => one === name || host[one] !== undefined);
  const line = `"jackfield": { "imports": ${JSON.stringify(names).replaceAll(',', ', ')} }`;
  return `\`${name}\` is not among the imports of this plugin; write in package.json: ${line}`;
}

/** Whether the plugin runs on a host that has this part. */
export function has(name) {
  return current?.[name] !== undefined;
}

/** The time of the host's clock; in a test, of the test's clock. */
export function now() {
  return new Date(current?.now === undefined ? Date.now() : current.now());
}
