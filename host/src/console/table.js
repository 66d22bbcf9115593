// Tables: the rows of a page of the server. A table never has more rows than a page, however many
// entries the server has.

import { empty, h, put } from './elements.js';
import { asApiError } from './api.js';
import { freshness } from './freshness.js';
import { icon } from './icons.js';
import { number } from './format.js';

export const PAGE = 100;
/** The number of columns up to which a table needs little room. */
const FEW = 4;
/** The pause behind the last key before the server is asked. */
const TYPING = 200;
/** The interval at which the shown page is read again. */
const REFRESH = 5_000;

/**
 * A table. A column has a `title`, a function `cell` that makes the content of a row, and a `kind`:
 * `num`, `fix` (not broken into lines), `parts` (broken where the cell allows it alone), `lead`, `reason` and
 * `address` (with a least width) or `end`.
 */
export function table(label, columns, rows) {
  const titles = columns.map(({ title, kind }) => h('th', { scope: 'col', class: kind }, title));
  const body = rows.map((row) => h('tr', {}, columns.map(({ title, cell, kind }) => {
    return h('td', { class: kind, 'data-label': title }, h('div', { class: 'cell' }, cell(row)));
  })));
  return h('div', { class: 'table-box' }, h('table', { class: columns.length > FEW ? 'many' : 'few', 'aria-label': label },
    h('thead', {}, h('tr', {}, titles)), h('tbody', {}, body)));
}

/**
 * A list that is searched and paged by the server. `load(search, after, limit)` returns
 * `{ rows, total, next }`; `selects` are further elements of the toolbar, which call `again` on a
 * change.
 */
export function pagedList({ label, noun, placeholder, columns, load, nothing, selects = [], signal, search = '', refresh = REFRESH, onSearch }) {
  const total = h('span', { class: 'total', 'aria-live': 'polite' });
  const content = h('div', {}, h('div', { class: 'empty' }, 'Loading…'));
  const age = freshness();
  const range = h('span', {});
  const step = (text, move) => h('button', { class: 'button small', type: 'button', onclick: move }, text);
  const before = step('Previous', () => { cursors.pop(); again(); });
  const behind = step('Next', () => { cursors.push(next); again(); });
  const pager = h('nav', { class: 'pager', 'aria-label': `Pages of ${noun}s`, hidden: true }, range, before, behind);
  let cursors = [undefined];
  let next;
  let turn = 0;
  let timer;
  const input = h('input', {
    type: 'search', placeholder, 'aria-label': placeholder, value: search, autocomplete: 'off', spellcheck: 'false', 'data-search': '',
    oninput: () => { clearTimeout(timer); timer = setTimeout(() => { onSearch?.(input.value); restart(); }, TYPING); },
  });

  function restart() {
    cursors = [undefined];
    return again();
  }

  /** Asks for the page again. An answer that a later request has overtaken is not shown. */
  async function again() {
    const mine = ++turn;
    const place = cursors.length;
    try {
      const found = await load(input.value.trim(), cursors.at(-1), PAGE);
      if (mine !== turn || signal.aborted) return;
      next = found.next;
      show(found, place);
      age.fresh();
    } catch (error) {
      if (mine !== turn || signal.aborted) return;
      age.failed(asApiError(error));
    }
  }

  function show({ rows, total: all, next: hasNext }, place) {
    put(total, `${number(all)} ${noun}${all === 1 ? '' : 's'}`);
    put(content, rows.length > 0 ? table(label, columns, rows) : nothing(input.value.trim()));
    const first = (place - 1) * PAGE + 1;
    put(range, `${number(first)} to ${number(first + rows.length - 1)} of ${number(all)}`);
    pager.hidden = place === 1 && !hasNext;
    before.disabled = place === 1;
    behind.disabled = !hasNext;
  }

  const watch = setInterval(() => { if (!document.hidden) again(); }, refresh);
  signal.addEventListener('abort', () => clearInterval(watch), { once: true });
  again();
  const bar = h('div', { class: 'toolbar' },
    h('div', { class: 'search' }, icon('search'), input, h('kbd', { 'aria-hidden': 'true' }, '/')), selects, total);
  const element = h('section', { class: 'card', 'aria-label': label }, bar, age.note, content, pager);
  return { element, again: restart, input };
}

/** The content of a list without entries. */
export const noneFound = (noun, otherwise) => (search) => (
  search ? empty(`No ${noun} matches`, `Nothing here has “${search}”.`) : empty(`No ${noun}s`, otherwise)
);
