//! Logging: lines in the operator's log, with the plugin's name, the handler and the topic.

import { part } from './host.js';

export const trace = (...values) => write('trace', values);
export const debug = (...values) => write('debug', values);
export const info = (...values) => write('info', values);
export const warn = (...values) => write('warn', values);
export const error = (...values) => write('error', values);

function write(level, values) {
  part('log').log(level, format(values));
}

/** One line of several values, as `console.log` writes them. */
export function format(values) {
  return values.map(show).join(' ').toWellFormed();
}

function show(value) {
  if (typeof value === 'string') return value;
  if (value instanceof Error) return stack(value);
  try {
    return (typeof value === 'object' && JSON.stringify(value)) || String(value);
  } catch {
    return String(value);
  }
}

/** Name, message and stack of an error, in every engine. */
export function stack(error) {
  const head = `${error.name}: ${error.message}`;
  const trace = error.stack ?? '';
  return trace.startsWith(head) ? trace : `${head}\n${trace}`.trimEnd();
}
