// Elements of pages. Texts become text nodes: nothing that a client or a plugin has written is ever
// read as HTML. Characters that reorder or hide others are escaped, here for all pages.

import { escapeLines, escapeText } from './escape.js';

/** Attributes that are shown or read out. */
const SHOWN = new Set(['title', 'aria-label', 'placeholder', 'data-label']);

const SVG = 'http://www.w3.org/2000/svg';

/** Creates an element with attributes, listeners (`onclick`) and children; texts may be children. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Creates an element of SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key === 'value' || key === 'checked' || key === 'disabled') element[key] = value;
    else if (SHOWN.has(key)) element.setAttribute(key, escapeText(value));
    else element.setAttribute(key, value === true ? '' : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(escapeText(child)));
  }
}

/** A text of several lines. */
export const multiline = (text) => document.createTextNode(escapeLines(text));

/** A text that is cut, with the whole of it as title. */
export function brief(text, longest = 120) {
  const characters = [...text];
  return characters.length > longest ? h('span', { title: text }, `${characters.slice(0, longest).join('')}…`) : text;
}

/** A note about an error; the server's help lines are shown as lines. */
export const problem = (text) => h('p', { class: 'note-box bad lines' }, multiline(text));

/** A name that may be broken behind its separators, and within a part that is longer than 16 characters. */
export function parts(text) {
  const pieces = text.split(/(?<=[\\/._:-])/).flatMap((part) => [...part].length > 16 ? [...part].flatMap((_, at, all) => (at % 16 === 0 ? [all.slice(at, at + 16).join('')] : [])) : [part]);
  return pieces.flatMap((piece) => [piece, document.createElement('wbr')]).slice(0, -1);
}

/** Replaces the children of an element. A link that has the focus keeps it, if it is there again. */
export function put(element, ...children) {
  const focused = element.contains(document.activeElement) && document.activeElement.getAttribute('href');
  const fragment = document.createDocumentFragment();
  append(fragment, children);
  element.replaceChildren(fragment);
  if (focused) element.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  return element;
}

/** A function like `put` that does nothing while `state` is the same as the last time. */
export function redrawn(element) {
  let shown;
  return (state, make) => {
    const next = JSON.stringify(state);
    if (next === shown) return;
    shown = next;
    put(element, make());
  };
}

/** A card with a title and, beside it, further elements. */
export function card(title, beside, ...children) {
  const head = h('div', { class: 'card-head' }, h('h2', {}, title), beside);
  return h('section', { class: 'card' }, head, ...children);
}

/** A list of facts; those without a value are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== null && value !== '');
  return h('dl', { class: 'facts' }, shown.map(([key, value]) => [h('dt', {}, key), h('dd', {}, value)]));
}

/** A short state with a colour: good, warn, bad, accent or none. */
export function pill(text, kind = '', title) {
  return h('span', { class: `pill ${kind}`, title }, text);
}

/** The note in place of an empty list. */
export function empty(title, text) {
  return h('div', { class: 'empty' }, h('b', {}, title), text);
}

/** The head of a page: title, a sentence, and actions. `back` is [address, text] of the page above. */
export function head(title, text, actions = [], back) {
  const above = back && h('a', { class: 'crumb', href: back[0] }, `‹ ${back[1]}`);
  const words = h('div', {}, above, h('h1', {}, title), text && h('p', {}, text));
  return h('header', { class: 'page-head' }, words, h('div', { class: 'actions' }, actions));
}

/** A bar that shows how much of a limit is used. */
export function gauge(label, used, limit, format) {
  const share = limit > 0 ? used / limit : 0;
  const text = limit > 0 ? `${format(used)} of ${format(limit)}` : format(used);
  return h('div', { class: share > 0.85 ? 'gauge high' : 'gauge' },
    h('div', { class: 'row' }, h('span', {}, label), h('span', {}, text)),
    h('progress', { max: 1, value: Math.min(1, share), 'aria-label': `${label}: ${text}` }));
}
