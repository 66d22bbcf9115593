// Copying of a command.

/** Time for which a button says that it has copied, in milliseconds. */
const SHOWN = 2_000;

/** Makes the button copy the text of an element. Screen readers do not announce a renamed button, so
 * `told` says it too. */
export function copyable(button, element, told) {
  const name = button.textContent;
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(element.textContent);
      button.textContent = 'Copied';
    } catch {
      // Without permission, users can still copy the line by hand.
      getSelection().selectAllChildren(element);
      button.textContent = 'Selected';
    }
    told.textContent = button.textContent;
    setTimeout(() => {
      button.textContent = name;
      told.textContent = '';
    }, SHOWN);
  });
}
