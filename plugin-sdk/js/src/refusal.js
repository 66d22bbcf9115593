//! Refusals: errors that the client receives.

/** A WAMP error URI, and one sentence for a person. A hook throws it. */
export class Refusal extends Error {
  constructor(uri, message) {
    super(String(message));
    this.name = 'Refusal';
    this.uri = String(uri);
  }

  static notAuthorized(message) {
    return new Refusal('wamp.error.not_authorized', message);
  }

  static invalidArgument(message) {
    return new Refusal('wamp.error.invalid_argument', message);
  }

  static noSuchProcedure(procedure) {
    return new Refusal('wamp.error.no_such_procedure', `There is no procedure ${procedure}.`);
  }

  static runtimeError(message) {
    return new Refusal('wamp.error.runtime_error', message);
  }
}

const FAILURES = {
  denied: 'the request is denied',
  invalid: 'the request is invalid',
  busy: 'too many requests wait for their answers',
  unreachable: 'the server is unreachable',
  timeout: 'the server did not answer in time',
  'too-large': 'the answer is too large',
  broken: 'the answer is broken',
};

/** Why a request was not sent, or has no answer. Unless the hook catches it, it refuses the request. */
export class HttpError extends Refusal {
  constructor(code, detail) {
    const text = FAILURES[code] ?? code;
    super('wamp.error.runtime_error', detail === undefined ? text : `${text}: ${detail}`);
    this.name = 'HttpError';
    this.code = code;
  }
}

const REASONS = {
  full: "the plugin's store is full, or the key or the value is too long",
  'not-a-number': 'its value is not a whole number, or the sum has more than 64 bits',
};

/** An error of the store. Unless the hook catches it, it refuses the request. */
export class StoreError extends Refusal {
  constructor(code, key) {
    super('wamp.error.runtime_error', `Failed to write \`${key}\` to the store: ${REASONS[code] ?? code}.`);
    this.name = 'StoreError';
    this.code = code;
    this.key = key;
  }
}
