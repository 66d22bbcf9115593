//! The settings of a route (`handler.args`).

const DEFAULTS = { options: ['yes', 'no'], manager: 'manager', changes: true };
const MAX_OPTIONS = 20;
const MAX_OPTION_LENGTH = 100;

/** The settings of a route, checked. */
export function settings({ args }) {
  const given = args ?? {};
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(DEFAULTS, name));
  if (unknown !== undefined) throw new Error(`handler.args: unknown setting \`${unknown}\``);
  const all = { ...DEFAULTS, ...given };
  if (!areOptions(all.options)) {
    throw new Error(`handler.args: options has to be a list of 2 to ${MAX_OPTIONS} different texts`);
  }
  if (typeof all.manager !== 'string') throw new Error('handler.args: manager has to be the name of a role');
  if (typeof all.changes !== 'boolean') throw new Error('handler.args: changes has to be true or false');
  return all;
}

/** Whether a value is a list of options. */
export function areOptions(value) {
  const isOption = (one) => typeof one === 'string' && one !== '' && one.length <= MAX_OPTION_LENGTH;
  return (
    Array.isArray(value) &&
    value.length >= 2 &&
    value.length <= MAX_OPTIONS &&
    value.every(isOption) &&
    new Set(value).size === value.length
  );
}
