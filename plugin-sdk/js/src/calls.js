//! Calls of procedures. They are made when the hook has returned; `onResult` receives the result.

import * as check from './check.js';
import { part } from './host.js';
import { stringify } from './json.js';
import { payload } from './topics.js';
import { encode } from './utf8.js';

export function call(procedure, event, context = null, { timeout } = {}) {
  const uri = check.text(procedure, 'the procedure');
  part('calls').call(uri, payload(event), check.timeout(timeout), encode(stringify(context)));
}
