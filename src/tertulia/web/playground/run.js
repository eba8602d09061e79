// Answers that are on their way: one a conversation, each by itself.

import { body } from "/assets/playground/request.js";
import { newMessage, settle, title } from "/assets/playground/state.js";
import { save, saveAnswer } from "/assets/playground/store.js";
import { blank, chat as ask, fold } from "/assets/shared/stream.js";

const BETWEEN = 1000; // milliseconds from one writing of an answer to the next
const runs = new Map();

export function busy(chat) {
  return runs.has(chat.id);
}

export function running() {
  return [...runs.values()];
}

/** End the answer of `chat`, if there is one on its way; what came is kept. */
export function stop(chat) {
  runs.get(chat.id)?.controller.abort();
}

export function stopAll() {
  for (const { controller } of runs.values()) controller.abort();
}

/**
 * Ask for the next answer in `chat`, or for more of its last message `going` where one is given. Gives the problems
 * that keep it from being asked, [] if there are none. `heard(kind, message)` is called as the answer gets on: "begun",
 * "more", "done".
 */
export function start(session, chat, heard, going = null) {
  stop(chat);
  if (!going) settle(chat);
  const { body: asked, problems } = body(chat);
  if (problems.length) return problems;
  const message = going ?? newMessage("assistant");
  message.answer = going ? seeded(asked, going) : blank(asked);
  message.pending = true;
  delete message.cut;
  delete message.edited;
  if (!going) chat.messages.push(message);
  const run = { session, chat, message, controller: new AbortController() };
  runs.set(chat.id, run);
  heard("begun", message);
  receive(run, asked, heard);
  return [];
}

/** An answer that goes on where `message` ends. */
function seeded(asked, message) {
  const answer = blank(asked);
  const delta = { content: typeof message.content === "string" ? message.content : "", reasoning: message.reasoning };
  fold(answer, { kind: "chunk", chunk: { choices: [{ index: 0, delta }] }, at: 0 });
  answer.response = blank().response;
  return answer;
}

async function receive(run, asked, heard) {
  const { session, message, controller } = run;
  const { answer } = message;
  const held = answer.choices.length > 0;
  try {
    for await (const event of ask(asked, { signal: controller.signal })) {
      fold(answer, event);
      take(message);
      save(session, title(session), BETWEEN);
      if (runs.get(run.chat.id) === run) heard("more", message);
    }
  } catch (error) {
    fold(answer, { kind: "error", error, at: performance.now() });
  }
  end(run, held);
  heard("done", message);
}

function end(run, held) {
  const { session, chat, message } = run;
  take(message);
  delete message.pending;
  if (runs.get(chat.id) === run) runs.delete(chat.id);
  const nothing = !message.content && !message.answer.choices.length;
  if (message.answer.finish === "stopped" && nothing && !held) {
    chat.messages = chat.messages.filter((one) => one !== message);
  } else if (chat.messages.includes(message)) saveAnswer(session, message);
  session.changed = Date.now();
  save(session, title(session));
}

/** Put into `message` what its answer says: of several choices the one that is looked at. */
export function take(message) {
  const { choices } = message.answer;
  const choice = choices.find((one) => one.index === (message.choice ?? 0)) ?? choices[0];
  if (!choice) return;
  message.content = choice.content;
  if (choice.reasoning) message.reasoning = choice.reasoning;
  if (!choice.tool_calls.length) return;
  message.tool_calls = choice.tool_calls.map(({ id, type, function: f }) => ({ id, type, function: { ...f } }));
}
