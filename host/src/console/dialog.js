// Questions before changes, and messages about their results.

import { h, multiline } from './elements.js';
import { asApiError } from './api.js';

const MAX_TOASTS = 4;

/** Asks before a change. `fields` are elements with a `name`; resolves to their values, or null. */
export function ask({ title, text, fields = [], action, danger = false }) {
  return new Promise((resolve) => {
    const close = (value) => { dialog.close(); dialog.remove(); resolve(value); };
    const form = h('form', {
      method: 'dialog',
      onsubmit: (event) => {
        event.preventDefault();
        close(Object.fromEntries(new FormData(form)));
      },
    },
    h('h2', { id: 'dialog-title' }, title), text && h('p', { class: 'soft break' }, text), fields,
    h('div', { class: 'actions' },
      h('button', { class: 'button', type: 'button', onclick: () => close(null) }, 'Cancel'),
      h('button', { class: danger ? 'button primary danger' : 'button primary', type: 'submit' }, action)));
    const dialog = h('dialog', { 'aria-labelledby': 'dialog-title', oncancel: () => close(null) }, form);
    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector('input, textarea, select') ?? form.querySelector('[type=submit]')).focus();
  });
}

/** A field of a question. */
export function field(label, name, attributes = {}, hint) {
  return h('label', { class: 'field' }, h('span', {}, label),
    h('input', { name, autocomplete: 'off', ...attributes }), hint && h('span', { class: 'hint' }, hint));
}

/** Shows a window with any content until it is closed. */
export function show(title, ...content) {
  const close = () => { dialog.close(); dialog.remove(); };
  const form = h('form', { method: 'dialog', onsubmit: close }, h('h2', { id: 'dialog-title' }, title), content,
    h('div', { class: 'actions' }, h('button', { class: 'button primary', type: 'submit' }, 'Close')));
  const dialog = h('dialog', { 'aria-labelledby': 'dialog-title', oncancel: close }, form);
  document.body.append(dialog);
  dialog.showModal();
}

let toasts;

/** Shows a message for some seconds; an error stays until it is closed. */
export function tell(text, isBad = false) {
  if (!toasts?.isConnected) {
    toasts = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });
    document.body.append(toasts);
  }
  while (toasts.children.length >= MAX_TOASTS) toasts.firstChild.remove();
  const toast = h('div', { class: isBad ? 'toast bad' : 'toast' }, h('span', {}, multiline(text)),
    h('button', { type: 'button', 'aria-label': 'Close the message', onclick: () => toast.remove() }, '✕'));
  toasts.append(toast);
  if (!isBad) setTimeout(() => toast.remove(), 6_000);
}

/** Runs a change, and tells its result: `done` makes a sentence of the answer. */
export async function change(button, run, done) {
  button?.setAttribute('aria-busy', 'true');
  if (button) button.disabled = true;
  try {
    const answer = await run();
    tell(answer.result === 'running' ? 'It is under way; the reload timeline will have the result.' : done(answer));
    return answer;
  } catch (error) {
    const { body, message, status } = asApiError(error);
    const problems = body.problems?.map((it) => it.text).join('\n');
    // Without an answer, the change may have been made.
    tell(problems ?? (status === 0 ? `The result is not known: ${message}.` : message), true);
    return null;
  } finally {
    button?.removeAttribute('aria-busy');
    if (button) button.disabled = false;
  }
}
