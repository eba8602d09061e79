// This server's API, with the tab's token.

import { askToken, dropToken, token } from "/assets/shared/token.js";

/** What went wrong, in the server's own words; `status` is 0 where it was not reached. */
export class Failure extends Error {
  constructor(message, details = {}) {
    super(message);
    Object.assign(this, { status: 0, type: null, code: null, param: null, requestId: null, retryAfter: null }, details);
  }
}

/**
 * Ask `path` with `method`, `headers`, `signal` and a `body` that is sent as JSON; the Response of a success.
 * A missing token is asked for, and again while it is a wrong one, until the person cancels. Raises Failure, or
 * AbortError where `signal` said so.
 */
export async function ask(path, { method = "", headers = {}, signal, body } = {}) {
  for (;;) {
    const [used, sent] = [token(), performance.now()];
    const answer = await send(path, { method, headers, signal, body });
    if (answer.ok) return answer;
    const wrong = await failure(answer);
    const door = answer.status === 401 && answer.headers.get("www-authenticate") === "Bearer"; // no provider's 401
    if (door && (await askToken(wrong.message, { used, sent }))) continue;
    if (door && token() === used) dropToken();
    throw wrong;
  }
}

/** The JSON at `path`. Raises as `ask` does. */
export async function get(path, options = {}) {
  return (await ask(path, { ...options, headers: { Accept: "application/json", ...options.headers } })).json();
}

async function send(path, { method, headers, signal, body }) {
  const sent = { ...headers };
  if (token()) sent.Authorization = `Bearer ${token()}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  const options = { method: method || (body === undefined ? "GET" : "POST"), headers: sent, signal };
  if (body !== undefined) options.body = typeof body === "string" ? body : JSON.stringify(body);
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("the server can't be reached: is it running?");
  }
}

/** What an answer that is no success says. */
export async function failure(answer) {
  const text = await answer.text();
  const details = {
    status: answer.status,
    requestId: answer.headers.get("x-request-id"),
    retryAfter: answer.headers.get("retry-after"),
    route: answer.headers.get("x-tertulia-route"),
    body: text,
  };
  try {
    const { error } = JSON.parse(text);
    if (typeof error === "string") return new Failure(error, details);
    const { message, type, code, param } = error;
    return new Failure(message, { ...details, type, code, param });
  } catch {
    return new Failure(text.slice(0, 500) || `the server answered ${answer.status}`, details);
  }
}
