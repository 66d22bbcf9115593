'use strict';
(() => {
// Maintenance notice: a dialog that blocks a page while its site is in maintenance mode. Events are
// those of OroPlatform and `jackfield maintenance` on `oro/maintenance`: {"isOn", "userId"}. The user
// who started the maintenance can keep working, and sees no notice.

/** Shows the notice when maintenance begins, and removes it when it ends. Returns a function that
 * stops this. */
function maintenanceNotice(sync, options = {}) {
  const { user = null, topic = 'oro/maintenance', current } = options;
  const notice = options.show ? options : dialog(options);
  let shown = false;
  /** Incremented with each update, so that a slow reply of `current` does not undo a newer event. */
  let version = 0;
  const apply = (state) => {
    version++;
    // Both ids may be absent: an anonymous page has not started the maintenance.
    const mine = name(user) !== '' && name(user) === name(state?.userId);
    const on = state?.isOn === true && !mine;
    if (on === shown) return;
    shown = on;
    on ? notice.show(state) : notice.hide?.();
  };
  const subscription = sync.subscribe(topic, apply);
  // Events before the subscription were missed: fetch the current state.
  const ask = async () => {
    const asked = ++version;
    const state = await current();
    if (asked === version) apply(state);
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

/** A dialog that the user cannot close. The style sheet of the page defines its look. */
function dialog({
  title = 'Maintenance in progress',
  text = 'Please wait. This page continues automatically when the maintenance ends.',
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
      // Browsers close the dialog at the second Escape regardless.
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

globalThis.Jackfield = Object.assign(globalThis.Jackfield ?? {}, { maintenanceNotice });
})();
