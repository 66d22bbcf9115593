// The contract without the SDK: passes texts on in capitals, and refuses what is no text.

import { log } from 'jackfield:plugin/log@0.2.0';
import { args, topic } from 'jackfield:plugin/request@0.2.0';

export const handler = {
  describe: () => ({
    name: 'acme-shout-js',
    version: '0.1.0',
    handlers: [{ name: 'acme.shout', hooks: { publish: true }, summary: 'passes texts on in capitals' }],
    stateless: true,
    schema: 0,
  }),

  configure() {},

  onPublish(route) {
    const list = JSON.parse(args());
    if (list.length !== 1 || typeof list[0] !== 'string') {
      return { tag: 'reject', val: { uri: 'wamp.error.invalid_argument', message: 'Publish one text.' } };
    }
    log('info', `${topic()}: ${list[0].length} characters`);
    const loud = { args: JSON.stringify([list[0].toUpperCase()]), kwargs: '{}' };
    return { tag: 'deliver', val: { event: loud, exclude: new BigUint64Array(), eligible: undefined } };
  },

  // The contract has these as well; a hook that `describe` does not list is never called.
  onSubscribe: () => ({ tag: 'allow' }),
  onUnsubscribe() {},
  onCall: () => ({ args: '[]', kwargs: '{}' }),
  onTimer() {},
};
