// Ticker: a value that changes every second, in an object that is kept relevant, and a line through
// the last values.

import { keepRelevant } from '/sync/model.js';

import { complain, keepLoaded } from './connection.js';

const KEPT = 60;
const [WIDTH, HEIGHT] = [590, 120];

export function showTicker(sync) {
  let values = [];
  const model = { url: 'demo/ticker', value: null };
  const draw = () => {
    if (values.length === 0) return;
    const [last, before = last] = values.slice(-2).reverse();
    const change = last - before;
    document.getElementById('ticker-value').textContent = (last / 10).toFixed(1);
    const sign = document.getElementById('ticker-change');
    const [arrow, name] = change < 0 ? ['▼', 'down'] : change > 0 ? ['▲', 'up'] : ['±', 'none'];
    sign.textContent = `${arrow} ${(Math.abs(change) / 10).toFixed(1)}`;
    sign.dataset.sign = name;
    const least = Math.min(...values);
    const span = Math.max(Math.max(...values) - least, 40);
    const point = (value, index) => {
      const x = WIDTH - (values.length - 1 - index) * (WIDTH / (KEPT - 1));
      const y = HEIGHT - 14 - ((value - least) / span) * (HEIGHT - 28);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    };
    const points = values.map(point);
    const path = (which, d) => document.querySelector(`#ticker-chart ${which}`).setAttribute('d', d);
    path('.line', `M${points.join('L')}`);
    const start = points[0].split(',')[0];
    path('.area', `M${start},${HEIGHT}L${points.join('L')}L${WIDTH},${HEIGHT}Z`);
  };
  keepRelevant(sync, model, {
    apply: (ticker, { value }) => {
      if (!Number.isFinite(value)) return;
      ticker.value = value;
      values = [...values, ticker.value].slice(-KEPT);
      draw();
    },
  });
  const load = async () => {
    values = await sync.call('demo/ticker');
    draw();
  };
  keepLoaded(sync, model.url, load, complain(document.getElementById('ticker-missing'), 'demo'));
}
