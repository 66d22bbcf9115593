// Charts: rates over time, and the times of hooks.

import { h, put, svg } from './elements.js';
import { duration, number, short } from './format.js';

const WIDTH = 600;
const HEIGHT = 200;

/** A number of 1, 2 or 5 times a power of ten that is not below the value. */
function roof(value) {
  if (value <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((it) => it * power).find((it) => it >= value);
}

/**
 * A chart of two series over time, up to a span, with the unit of its values; `draw(samples)` shows samples with `at` and `values`.
 * At first it shows a fifth of the span.
 */
export function rateChart(label, longest, unit) {
  const shape = svg('svg', { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label });
  const scale = h('div', { class: 'chart-scale', 'aria-hidden': 'true' });
  const box = h('div', { class: 'chart-box' }, shape, scale);
  const begin = h('span', {});
  const time = h('div', { class: 'chart-time', 'aria-hidden': 'true' }, begin, h('span', {}, 'now'));
  const element = h('div', {}, box, time);

  function draw(samples) {
    const top = roof(Math.max(0, ...samples.flatMap((it) => it.values)));
    const end = samples.at(-1)?.at ?? 0;
    const covered = end - (samples[0]?.at ?? 0);
    const span = Math.min(longest, Math.max(longest / 5, Math.ceil(covered / 60_000) * 60_000));
    put(begin, `${duration(span / 1000)} ago`);
    const x = (at) => (WIDTH - ((end - at) / span) * WIDTH).toFixed(1);
    const y = (value) => (HEIGHT - (value / top) * HEIGHT).toFixed(1);
    const rules = [0, 0.5, 1].map((part) => svg('line', { class: 'rule', x1: 0, x2: WIDTH, y1: part * HEIGHT, y2: part * HEIGHT }));
    const series = ['a', 'b'].map((name, index) => {
      const points = samples.map((it) => `${x(it.at)},${y(it.values[index])}`);
      if (points.length < 2) return [];
      const line = `M${points.join('L')}`;
      const area = `${line}L${WIDTH},${HEIGHT}L${x(samples[0].at)},${HEIGHT}Z`;
      return [svg('path', { class: `area ${name}`, d: area }), svg('path', { class: `line ${name}`, d: line })];
    });
    put(shape, rules, series);
    put(scale, [top, top / 2, 0].map((value) => h('span', {}, `${short(value)} ${unit}`)));
  }
  return { element, draw };
}

/** The bars of a histogram whose buckets are cumulative, without the empty ones at both ends. */
export function histogram(label, buckets) {
  const counts = buckets.map(({ le, count }, index) => ({ le, count: count - (buckets[index - 1]?.count ?? 0) }));
  const first = counts.findIndex((it) => it.count > 0);
  const last = counts.findLastIndex((it) => it.count > 0);
  const most = Math.max(...counts.map((it) => it.count));
  const rows = counts.slice(Math.max(0, first), last + 1).map(({ le, count }) => {
    const bar = svg('svg', { viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      count > 0 && svg('rect', { width: Math.max(0.6, (count / most) * 100), height: 10 }));
    return [h('span', { class: 'bound' }, le === '+Inf' ? 'more' : `≤ ${duration(Number(le))}`), bar, h('span', { class: 'count' }, number(count))];
  });
  return h('div', { class: 'histogram', role: 'group', 'aria-label': label }, rows);
}

/** The upper bound below which this share of the durations is; `null` if it is above the last one. */
export function quantile(buckets, share) {
  const all = buckets.at(-1)?.count ?? 0;
  const found = buckets.find((it) => it.count >= all * share && it.count > 0);
  return found && found.le !== '+Inf' ? Number(found.le) : null;
}
