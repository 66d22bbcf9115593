// The notice that a page shows while its site is in maintenance mode. It reads what OroPlatform and
// `jackfield maintenance` publish on `oro/maintenance`: {"isOn", "userId"}. Whoever has begun the
// maintenance goes on working, and is shown nothing.

/** Shows the notice when maintenance begins, and takes it away when it ends. Returns a function
 * that stops that. */
export function maintenanceNotice(sync, options = {}) {
  const { user = null, topic = 'oro/maintenance', current } = options;
  const notice = options.show ? options : dialog(options);
  let shown = false;
  /** Changes with all that is known, so that a slow answer does not undo what was heard since. */
  let news = 0;
  const apply = (state) => {
    news++;
    // A page of nobody in particular has begun nothing, and who has begun it may be nobody.
    const mine = name(user) !== '' && name(user) === name(state?.userId);
    const on = state?.isOn === true && !mine;
    if (on === shown) return;
    shown = on;
    on ? notice.show(state) : notice.hide?.();
  };
  const subscription = sync.subscribe(topic, apply);
  // What was said while nobody listened has to be asked for.
  const ask = async () => {
    const asked = ++news;
    const state = await current();
    if (asked === news) apply(state);
  };
  const connected = () => current && ask().catch(globalThis.reportError ?? console.error);
  sync.addEventListener('connected', connected);
  if (sync.state === 'connected') connected();
  return () => {
    subscription.unsubscribe();
    sync.removeEventListener('connected', connected);
    apply({ isOn: false });
  };
}

const name = (user) => String(user ?? '');

/** A dialog that the user cannot close. How it looks is for the page's style sheet to say. */
function dialog({
  title = 'The site is being maintained',
  text = 'Please wait: the page goes on by itself when that is over.',
  document = globalThis.document,
}) {
  const add = (parent, name, content) => {
    const element = parent.appendChild(document.createElement(name));
    element.textContent = content;
    return element;
  };
  let element = null;
  return {
    show() {
      element = add(document.body, 'dialog', '');
      element.className = 'jackfield-maintenance';
      add(element, 'h2', title);
      add(element, 'p', text);
      element.setAttribute('role', 'alertdialog');
      element.setAttribute('aria-label', title);
      element.addEventListener('cancel', (event) => event.preventDefault());
      // A browser closes it at the second Escape all the same.
      element.addEventListener('close', () => element?.showModal());
      element.showModal();
    },
    hide() {
      const gone = element;
      element = null;
      gone?.remove();
    },
  };
}
