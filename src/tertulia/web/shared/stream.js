// A chat with this server: its events as they come, and what they fold to.

import { ask, Failure } from "/assets/shared/api.js";

const PATH = "/v1/chat/completions";
const LONGEST = 16 << 20; // characters of one event
const KEPT = 512 << 10; // characters of events that an answer keeps to be looked at
const TURN = 8; // milliseconds of work after which the page gets its turn
const ROUTE = "x-tertulia-route";
const PROVIDER = "x-inference-provider";

let busy = 0;

/**
 * Ask for `body`. Yields `{kind: "head", status, headers, at}` first and `{kind: "end", at}` last; between them
 * `{kind: "chunk", chunk, text, at}` and `{kind: "comment", text, at}` of a stream, or `{kind: "whole", completion,
 * text, at}`. `at` is performance.now(), `text` the JSON as it came. Raises Failure, also for an error inside the
 * stream and for one that ends before its time; AbortError where `signal` said so.
 */
export async function* chat(body, { signal } = {}) {
  const streams = body.stream === true;
  const headers = { [ROUTE]: "1", Accept: streams ? "text/event-stream" : "application/json" };
  const answer = await ask(PATH, { method: "POST", headers, body, signal });
  const told = Object.fromEntries(answer.headers);
  yield { kind: "head", status: answer.status, headers: told, at: performance.now() };
  if (told["content-type"]?.startsWith("text/event-stream")) yield* events(answer, told);
  else {
    const text = await answer.text();
    yield { kind: "whole", completion: read(text, told), text, at: performance.now() };
  }
  yield { kind: "end", at: performance.now() };
}

async function* events(answer, told) {
  const reader = answer.body.getReader();
  const feed = lines();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reading(reader, told);
      const at = performance.now();
      const text = done ? "\n\n" : decoder.decode(value, { stream: true });
      for (const event of feed(text)) {
        if (event.data === "[DONE]") return;
        if (event.comment !== undefined) yield { kind: "comment", text: event.comment, at };
        else yield { kind: "chunk", chunk: read(event.data, told), text: event.data, at };
      }
      if (done) throw new Failure("the answer broke off: the connection ended before it was done", details(told));
      await turn(performance.now() - at);
    }
  } finally {
    reader.cancel().catch(() => {}); // it may be over already
  }
}

async function reading(reader, told) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("the answer broke off: the connection to the server was lost", details(told));
  }
}

/** Let the page have its turn after some `spent` milliseconds: many answers that are here already are no reason to
 * make a person's keys wait. */
async function turn(spent) {
  busy += spent;
  if (busy < TURN) return;
  busy = 0;
  if (globalThis.scheduler?.yield) await scheduler.yield();
  else await new Promise((go) => setTimeout(go));
}

/** A function that takes text in any pieces and gives the events that each completes: `{data}` or `{comment}`. */
export function lines() {
  let rest = [];
  let size = 0;
  let data = [];
  let ended = false; // the last piece ended in CR: an LF may belong to it
  return function* feed(text) {
    if (ended && text.startsWith("\n")) text = text.slice(1);
    ended = text.endsWith("\r");
    size += text.length;
    if (size > LONGEST) throw new Failure("the server sent an event that is too long to be shown");
    if (!/[\r\n]/.test(text)) {
      rest.push(text);
      return;
    }
    const all = (rest.join("") + text).split(/\r\n|\r|\n/);
    rest = [all.pop()];
    size = rest[0].length + data.reduce((sum, line) => sum + line.length, 0);
    for (const line of all) {
      if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line.startsWith(":")) yield { comment: line.slice(line[1] === " " ? 2 : 1) };
      else if (line === "" && data.length) {
        const whole = data.join("\n");
        data = [];
        yield { data: whole };
      }
    }
  };
}

function read(text, told) {
  let plain;
  try {
    plain = JSON.parse(text);
  } catch {
    throw new Failure(`the server sent what is not JSON: ${text.slice(0, 200)}`, details(told));
  }
  if (plain?.error) {
    const { message, type, code, param } = plain.error;
    throw new Failure(message ?? String(plain.error), { ...details(told), type, code, param });
  }
  return plain;
}

function details(told) {
  return { status: 200, requestId: told["x-request-id"] ?? null };
}

// ---------------------------------------------------------------- what they fold to

/** An answer to `body` that has not begun. Plain data: it can be stored. */
export function blank(body) {
  return {
    choices: [],
    usage: null,
    model: "",
    provider: "",
    route: [],
    warnings: [],
    requestId: "",
    started: performance.now(),
    first: 0,
    ended: 0,
    finish: null,
    error: null,
    request: body ?? null,
    response: { chunks: [], size: 0, left: 0, last: "", whole: null },
  };
}

/**
 * Take `event` of `chat` into `answer`, or `{kind: "error", error}` with what `chat` raised: a Failure becomes
 * `answer.error`, an AbortError `finish` "stopped". What came before either is kept.
 */
export function fold(answer, event) {
  if (!answer.response) for (const [name, value] of Object.entries(blank())) answer[name] ??= value;
  TAKE[event.kind]?.(answer, event);
  return answer;
}

const TAKE = {
  head(answer, { headers }) {
    answer.requestId = headers["x-request-id"] ?? "";
    answer.provider = headers[PROVIDER] ?? "";
    answer.route = route(headers[ROUTE]) ?? [];
    if (headers["x-tertulia-warnings"]) answer.warnings.push(headers["x-tertulia-warnings"]);
  },

  comment(answer, { text }) {
    const colon = text.indexOf(": ");
    const [name, value] = [text.slice(0, colon), text.slice(colon + 2)];
    if (name === PROVIDER) answer.provider = value;
    if (name === ROUTE) answer.route = route(value) ?? answer.route;
  },

  chunk(answer, { chunk, text = "", at }) {
    keep(answer.response, text);
    answer.model = chunk.model ?? answer.model;
    answer.usage = chunk.usage ?? answer.usage;
    for (const given of chunk.choices ?? []) {
      const choice = place(answer, given.index ?? 0);
      if (add(choice, given.delta ?? {}, at) && !answer.first) answer.first = at;
      choice.logprobs.push(...(given.logprobs?.content ?? []));
      finish(answer, choice, given.finish_reason);
    }
  },

  whole(answer, { completion, text = "", at }) {
    answer.response.whole = text.length > KEPT ? null : completion;
    answer.response.left = text.length > KEPT ? 1 : 0;
    answer.model = completion.model ?? "";
    answer.usage = completion.usage ?? null;
    for (const given of completion.choices ?? []) {
      const choice = place(answer, given.index ?? 0);
      add(choice, given.message ?? {}, at);
      choice.logprobs.push(...(given.logprobs?.content ?? []));
      finish(answer, choice, given.finish_reason);
    }
  },

  end(answer, { at }) {
    answer.ended = at;
  },

  error(answer, { error, at = performance.now() }) {
    answer.ended = at;
    if (error.name === "AbortError") answer.finish = "stopped";
    else answer.error = plain(error);
    if (error.requestId) answer.requestId = error.requestId;
    answer.route = route(error.route) ?? answer.route;
  },
};

/** A Failure as data. */
function plain(error) {
  const { message, status = 0, type = null, code = null, param = null, requestId = null, retryAfter = null } = error;
  return { message, status, type, code, param, requestId, retryAfter };
}

function route(text) {
  try {
    const attempts = JSON.parse(text);
    return Array.isArray(attempts) ? attempts : null;
  } catch {
    return null; // a header has room for so many attempts only
  }
}

function place(answer, index) {
  let choice = answer.choices.find((one) => one.index === index);
  if (!choice) {
    choice = {
      index,
      content: "",
      reasoning: "",
      tool_calls: [],
      refusal: "",
      logprobs: [],
      finish_reason: null,
      thought: { from: 0, to: 0 },
    };
    answer.choices.push(choice);
    answer.choices.sort((a, b) => a.index - b.index);
  }
  return choice;
}

/** Add what `delta` brings; true if it brings anything that a person sees. */
function add(choice, delta, at) {
  const thought = delta.reasoning ?? delta.reasoning_content ?? "";
  const seen = Boolean(delta.content || thought || delta.refusal || delta.tool_calls?.length);
  if (thought) {
    choice.thought.from ||= at;
    choice.reasoning += thought;
  }
  if (delta.content || delta.tool_calls?.length) choice.thought.to ||= choice.thought.from && at;
  choice.content += delta.content ?? "";
  choice.refusal += delta.refusal ?? "";
  for (const [place, call] of (delta.tool_calls ?? []).entries()) join(choice.tool_calls, call, call.index ?? place);
  return seen;
}

function join(calls, piece, index) {
  let call = calls.find((one) => one.index === index);
  if (!call) {
    call = { index, id: "", type: "function", function: { name: "", arguments: "" } };
    calls.push(call);
  }
  if (piece.id) call.id = piece.id;
  if (piece.function?.name) call.function.name = piece.function.name;
  call.function.arguments += piece.function?.arguments ?? "";
}

function finish(answer, choice, reason) {
  if (!reason) return;
  choice.finish_reason = reason;
  answer.finish ??= reason;
}

/** Keep a chunk, as it came, as long as there is room; of the rest the last one only. */
function keep(response, text) {
  if (response.size + text.length <= KEPT) {
    response.chunks.push(text);
    response.size += text.length;
  } else {
    response.left += 1;
    response.last = text;
  }
}
