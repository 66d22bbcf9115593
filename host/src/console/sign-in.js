// The sign-in page: it asks for a token of the admin listener, and checks it.

import { h, put } from './elements.js';
import { asApiError, forgetToken, get, setToken } from './api.js';

/** Shows the page in `root` until a token is accepted; `reason` says why it is shown again. */
export function signIn(root, reason) {
  document.title = 'Sign in · Jackfield console';
  return new Promise((resolve) => {
    const problem = h('p', { class: 'note-box bad', role: 'alert', hidden: !reason }, reason);
    // A field with a name of its own: password managers store it for this address.
    const token = h('input', { type: 'password', name: 'token', id: 'token', autocomplete: 'current-password', required: true, spellcheck: 'false' });
    const button = h('button', { class: 'button primary', type: 'submit' }, 'Sign in');
    const form = h('form', { class: 'card', onsubmit: submit },
      h('img', { src: '/console/icon.svg', alt: '' }),
      h('div', {}, h('h1', {}, 'Jackfield console'), h('p', {}, `Server ${location.host}`)),
      h('div', { class: 'field' }, h('label', { for: 'token' }, 'Token'), token,
        h('span', { class: 'hint' }, 'One of ', h('code', {}, 'admin.tokens'), ' in jackfield.yml. It is kept until this tab is closed.')),
      problem, button);
    put(root, h('main', { class: 'sign-in' }, form));
    token.focus();

    async function submit(event) {
      event.preventDefault();
      button.disabled = true;
      setToken(token.value.trim());
      try {
        resolve(await get('caller'));
      } catch (failure) {
        const error = asApiError(failure);
        forgetToken();
        problem.hidden = false;
        put(problem, error.status === 401 ? 'The server does not know this token.' : `Sign-in failed: ${error.message}.`);
        button.disabled = false;
        token.select();
      }
    }
  });
}
