//! Delivers each text in capital letters, and refuses events that are not a text.

import { Event, deliver, handler, plugin } from 'jackfield-plugin';

export default plugin({
  name: '{{name}}',
  version: '0.1.0',
  handlers: [
    handler('{{handler}}', {
      summary: 'publishes texts in capitals',
      stateless: true,
      onPublish(request, event) {
        const text = event.single('string');
        return deliver(new Event(text.toUpperCase()));
      },
    }),
  ],
});
