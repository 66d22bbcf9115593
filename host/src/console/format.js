// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat('en');

export const number = (value) => whole.format(Math.round(value ?? 0));

/** A rate: small ones with a digit behind the point. */
export function rate(value) {
  if (value >= 100_000) return `${short(value)}`;
  return value > 0 && value < 10 ? value.toFixed(1) : number(value);
}

/** 1234567 as 1.2 M. */
export function short(value) {
  for (const [size, unit] of [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (value >= size) return `${trim(value / size)} ${unit}`;
  }
  return value > 0 && value < 10 && !Number.isInteger(value) ? value.toFixed(1) : number(value);
}

export function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = value ?? 0;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? number(size) : trim(size)} ${units[unit]}`;
}

const trim = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, ''));

/** A duration in seconds, by its two greatest units. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 1e-3) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${trim(seconds * 1e3)} ms`;
  if (seconds < 60) return `${trim(seconds)} s`;
  const parts = [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]];
  const first = parts.findIndex(([, size]) => seconds >= size);
  let rest = Math.floor(seconds);
  const shown = parts.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return [count, unit];
  });
  return shown.filter(([count]) => count > 0).map((it) => it.join(' ')).join(' ');
}

/** The time since a moment. */
export function ago(text) {
  const seconds = Math.max(0, (Date.now() - Date.parse(text)) / 1000);
  return seconds < 2 ? 'now' : `${duration(Math.floor(seconds))} ago`;
}

const sameDay = (one, other) => one.toDateString() === other.toDateString();

/** A time of this day as 14:03:07, another one with its date. */
export function clock(text) {
  const at = new Date(text);
  const time = at.toLocaleTimeString('en-GB');
  return sameDay(at, new Date()) ? time : `${at.toLocaleDateString('en-CA')} ${time}`;
}

/** The beginning of a digest. */
export const digest = (text) => (text ?? '').replace('sha256:', '').slice(0, 12);

/** 1 session, 2 sessions. */
export const count = (value, noun) => `${number(value)} ${noun}${value === 1 ? '' : 's'}`;

/** A message of the server as the beginning of a sentence. */
export const sentence = (message) => message.slice(0, 1).toUpperCase() + message.slice(1);
