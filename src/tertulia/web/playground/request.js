// A chat as the body of a request.

import { faults } from "/assets/playground/fields.js";
import { failed } from "/assets/playground/state.js";
import { isObject, parseObject } from "/assets/shared/json.js";

const FIELDS = ["role", "content", "name", "tool_calls", "tool_call_id"]; // of a message, those that travel

/**
 * The body that asks for `chat`'s next answer, and what keeps it from being sent: `{body, problems: [{field,
 * message}]}`. Fields at fault are left out of the body. `upto` is how many of the messages are sent, or the id of the
 * last of them; without it all are. Where the assistant has the last word its message is continued.
 */
export function body(chat, upto) {
  const settings = chat.settings ?? {};
  const problems = faults(settings);
  const wrong = new Set(problems.map(({ field }) => field));
  const messages = spoken(chat, upto);
  if (!messages.length) problems.push({ field: "messages", message: "there is no message to answer" });
  const made = {};
  const model = chat.model && chat.provider ? `${chat.model}:${chat.provider}` : chat.model;
  if (model) made.model = model;
  made.messages = messages;
  for (const [name, value] of Object.entries(settings)) {
    if (name !== "extra" && value !== undefined && !wrong.has(name)) made[name] = value;
  }
  made.stream ??= true;
  if (made.stream !== true) delete made.stream_options;
  else made.stream_options = { include_usage: true, ...made.stream_options };
  const last = messages.at(-1);
  if (last?.role === "assistant" && !last.tool_calls?.length && isText(last)) made.continue_final_message ??= true;
  if (!wrong.has("extra") && settings.extra?.trim()) merge(made, parseObject(settings.extra).value);
  return { body: made, problems };
}

/** Put `more` over `body`, as the last word; objects that both have become one. */
function merge(made, more) {
  for (const [name, value] of Object.entries(more)) {
    made[name] = isObject(made[name]) && isObject(value) ? { ...made[name], ...value } : value;
  }
}

function spoken(chat, upto) {
  let kept = chat.messages;
  if (typeof upto === "number") kept = kept.slice(0, upto);
  else if (upto !== undefined) kept = kept.slice(0, kept.findIndex((message) => message.id === upto) + 1);
  kept = kept.filter((message) => !failed(message));
  const thinks = kept.findLastIndex((message) => message.role === "user");
  const sent = kept.map((message, place) => plain(message, place > thinks));
  return chat.system?.trim() ? [{ role: "system", content: chat.system }, ...sent] : sent;
}

/** A message as it travels. Thoughts go along in the turn that they belong to only: no template shows older ones. */
function plain(message, current) {
  const made = {};
  for (const name of FIELDS) {
    const value = message[name];
    if (value !== undefined && value !== null && value !== "") made[name] = value;
  }
  if (made.tool_calls)
    made.tool_calls = made.tool_calls.map(({ id, type = "function", function: f }) => ({
      ...(id ? { id } : {}),
      type,
      function: f,
    }));
  if (!made.tool_calls?.length) {
    delete made.tool_calls;
    made.content ??= "";
  } else made.content ??= null;
  if (current && message.role === "assistant" && message.reasoning) made.reasoning = message.reasoning;
  return made;
}

function isText({ content }) {
  return Array.isArray(content) ? content.length > 0 : Boolean(content);
}
