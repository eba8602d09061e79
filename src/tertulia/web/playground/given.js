// Answers that no server sent just now: what of them is shown, and what of them is taken where they came from outside.

import { isObject } from "/assets/shared/json.js";
import { textOf } from "/assets/playground/state.js";

const text = (value) => typeof value === "string";
const count = (value) => Number.isFinite(value) && value >= 0;
const time = (value) => Number.isFinite(value) && value > 0;
const COUNTS = { prompt_tokens: count, completion_tokens: count, total_tokens: count, cost: count };
const USAGE = { ...COUNTS, estimated: (value) => value === true };
const DETAILS = {
  completion_tokens_details: { reasoning_tokens: count },
  prompt_tokens_details: { cached_tokens: count },
};
const ERROR = { message: text, type: text, code: text, param: text, requestId: text, status: count, retryAfter: count };
const HEAD = { started: time, first: time, ended: time, model: text, provider: text, finish: text };

/** An answer that holds what `message` does, and `more`. */
export function answerOf(message, more = {}) {
  const { reasoning = "", tool_calls: calls = [] } = message;
  const choice = { index: 0, content: textOf(message), reasoning, tool_calls: calls, refusal: "", logprobs: [] };
  return { choices: [{ ...choice, finish_reason: null }], ended: 1, ...more };
}

/**
 * The answer in `message`, which came from outside with `plain` as its answer, if with any: what the message says
 * itself, with those figures that are some. undefined where there is nothing to show.
 */
export function readAnswer(plain, message) {
  const given = isObject(plain) && Array.isArray(plain.choices) ? plain : {};
  const kept = only(HEAD, given);
  const usage = readUsage(given.usage);
  const error = only(ERROR, given.error);
  if (usage) kept.usage = usage;
  if (error.message !== undefined) kept.error = error;
  const says = textOf(message) || message.reasoning || message.tool_calls?.length;
  return says || Object.keys(kept).length ? answerOf(message, kept) : undefined;
}

function readUsage(plain) {
  const usage = only(USAGE, plain);
  if (usage.prompt_tokens === undefined || usage.completion_tokens === undefined) return null;
  for (const [name, fields] of Object.entries(DETAILS)) usage[name] = only(fields, plain[name]);
  return usage;
}

/** Of `plain` the fields that are named in `fields` and are as they have to be. */
function only(fields, plain) {
  if (!isObject(plain)) return {};
  const fit = Object.entries(fields).filter(([name, fits]) => Object.hasOwn(plain, name) && fits(plain[name]));
  return Object.fromEntries(fit.map(([name]) => [name, plain[name]]));
}
