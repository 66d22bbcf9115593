//! Answers of effects, as `onResponse` and `onResult` receive them.

/** The answer to a request: a `Response` of HTTP, or the reason why there is none. */
export class HttpAnswer {
  #response;

  constructor(response, error) {
    this.#response = response;
    this.error = error;
    Object.freeze(this);
  }

  response() {
    if (this.error !== undefined) throw this.error;
    return this.#response;
  }
}

/** The result of a call: an `Event`, or the refusal of the callee or of the server. */
export class CallAnswer {
  #event;

  constructor(event, error) {
    this.#event = event;
    this.error = error;
    Object.freeze(this);
  }

  result() {
    if (this.error !== undefined) throw this.error;
    return this.#event;
  }
}
