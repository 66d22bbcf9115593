// The API of the admin listener. The token is kept for this tab alone, and sent in a header that no
// page of another origin can send; there is no cookie.

const KEY = 'jackfield.token';
/** The time within which the server answers, in milliseconds. */
const ANSWER_TIME = 15_000;
/** The time for a change: the server answers after a minute that the change goes on. */
const CHANGE_TIME = 90_000;

/** An answer that is an error, or no answer: `status` is 0 then. */
export class ApiError extends Error {
  constructor(status, message, body = {}) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** The listener of a refused token. */
let onRefused = () => {};
export const whenRefused = (listener) => { onRefused = listener; };

export const hasToken = () => sessionStorage.getItem(KEY) !== null;
export const setToken = (token) => sessionStorage.setItem(KEY, token);
export const forgetToken = () => sessionStorage.removeItem(KEY);

/** Sends a request. A server that does not answer within the time, in milliseconds, is an error. */
async function send(method, path, { query = {}, body, signal, time } = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const search = new URLSearchParams(pairs).toString();
  const token = sessionStorage.getItem(KEY);
  // Without one, the browser may have a certificate of the client.
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  if (body) headers['content-type'] = 'application/json';
  const limit = time && AbortSignal.timeout(time);
  const signals = [signal, limit].filter(Boolean);
  const request = { method, headers, signal: AbortSignal.any(signals), cache: 'no-store', credentials: 'same-origin' };
  if (body) request.body = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await answered(() => fetch(`/v1/${path}${search && `?${search}`}`, request), signal);
  if (response.ok) return response;
  const text = await answered(() => response.text(), signal);
  let problem = {};
  try {
    problem = JSON.parse(text) ?? {};
  } catch {
    // A proxy may answer with a page of its own.
  }
  const message = problem.message ?? `${response.status} ${response.statusText}`;
  const error = new ApiError(response.status, message.replace(/`([^`]*)`/g, '“$1”'), problem);
  if (response.status === 401) onRefused(error);
  throw error;
}

/** Waits for a part of an answer. A connection that breaks and the end of the time are errors of the API. */
async function answered(part, signal) {
  try {
    return await part();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'the server does not answer');
  }
}

/** Reads the object of an answer. */
async function object(response, signal) {
  const text = await answered(() => response.text(), signal);
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    // Below.
  }
  if (typeof value === 'object' && value !== null) return value;
  throw new ApiError(response.status, 'the answer is not one of Jackfield: a proxy in front of it may have a sign-in page of its own');
}

/** Reads an endpoint. */
export async function get(path, query, signal, time = ANSWER_TIME) {
  return object(await send('GET', path, { query, signal, time }), signal);
}

/**
 * Asks for a change, and waits for its result, also when the page is left meanwhile. A body that is a
 * text is JSON already.
 */
export async function post(path, body) {
  return object(await send('POST', path, { body, time: CHANGE_TIME }));
}

/** The error of the API for any failure: an answer without the expected keys is one, too. */
export function asApiError(error) {
  if (error instanceof ApiError) return error;
  console.error(error);
  return new ApiError(0, 'the answer of the server cannot be read');
}

/** Reads the lines of a stream until it ends or is aborted. */
export async function lines(path, body, signal, onLine) {
  const response = await send('POST', path, { body, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    for (const part of parts) if (part) onLine(JSON.parse(part));
  }
}

/**
 * Calls `ask` again and again until the signal is aborted, with a pause behind each answer. A hidden
 * tab does not ask. No failure ends it: each goes to `failed`, as an error of the API.
 */
export async function poll(pause, signal, ask, failed = () => {}) {
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        await ask();
      } catch (error) {
        if (signal.aborted) return;
        failed(asApiError(error));
      }
    }
    await sleep(pause, signal);
  }
}

/** Waits for a time in milliseconds, or until the signal is aborted. */
export function sleep(time, signal) {
  return new Promise((resolve) => {
    const end = () => { clearTimeout(timer); signal?.removeEventListener('abort', end); resolve(); };
    const timer = setTimeout(end, time);
    signal?.addEventListener('abort', end);
  });
}
