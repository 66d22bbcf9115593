//! Polls with live results: every topic of the channel is a poll. See README.md.

import { Event, Refusal, allow, deliver, drop, handler, plugin, sessions, topics } from 'jackfield-plugin';

import { Poll } from './poll.js';
import { areOptions, settings } from './settings.js';

const MAX_QUESTION_LENGTH = 500;

export default plugin({
  name: 'jackfield-polls',
  version: '0.1.0',
  handlers: [
    handler('polls', {
      summary: 'polls with live results, one vote for each user',
      stateless: true,
      configure: settings,

      /** A new subscriber receives the present result. */
      onSubscribe(request) {
        const poll = new Poll(request.topic, request.state);
        sessions.send(request.caller().id, request.topic, new Event(poll.result()));
        return allow();
      },

      /** A published text is a vote. Subscribers receive the new result. */
      onPublish(request, event) {
        const poll = new Poll(request.topic, request.state);
        const { authid } = request.caller();
        const changed = poll.vote(authid, event.single('string'), request.state.changes);
        return changed ? deliver(new Event(poll.result())) : drop();
      },

      /** Without arguments, the result. A manager opens and closes the poll. */
      onCall(request, event) {
        const poll = new Poll(request.topic, request.state);
        if (event.args.length === 0) return new Event(poll.result());
        if (!request.caller().hasRole(request.state.manager)) {
          throw Refusal.notAuthorized(`This needs the role ${request.state.manager}.`);
        }
        const [command] = event.args;
        if (command === 'open') poll.open(...opening(event.kwargs, poll.about));
        else if (command === 'close') poll.close();
        else throw Refusal.invalidArgument('The commands are open and close.');
        const result = new Event(poll.result());
        topics.publish(request.topic, result);
        return result;
      },
    }),
  ],
});

/** Question and options of `open`. */
function opening({ question = '', options }, before) {
  if (typeof question !== 'string' || question.length > MAX_QUESTION_LENGTH) {
    throw Refusal.invalidArgument(`The question has to be a text of up to ${MAX_QUESTION_LENGTH} characters.`);
  }
  if (options !== undefined && !areOptions(options)) {
    throw Refusal.invalidArgument('The options have to be a list of at least two different texts.');
  }
  return [question, options ?? before.options];
}
