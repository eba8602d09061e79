// Answers that are on their way: one a conversation, each by itself.

import { body } from "/assets/playground/request.js";
import { newMessage, setText, settle, textOf, title } from "/assets/playground/state.js";
import { save, saveAnswer } from "/assets/playground/store.js";
import { blank, chat as ask, fold } from "/assets/shared/stream.js";

const BETWEEN = 1000; // milliseconds from one writing of an answer to the next
const runs = new Map();

export function busy(chat) {
  return runs.has(chat);
}

export function running() {
  return [...runs.values()];
}

/** End the answer of `chat` at once, if there is one on its way; what came is kept. */
export function stop(chat) {
  const run = runs.get(chat);
  if (!run) return;
  run.controller.abort();
  close(run, new DOMException("stopped", "AbortError"));
}

/** End all answers of `session`; false if there are none on their way. */
export function stopAll(session) {
  const its = running().filter((run) => run.session === session);
  for (const { chat } of its) stop(chat);
  return its.length > 0;
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
  if (going) message.begun = textOf(going);
  message.pending = true;
  delete message.cut;
  delete message.edited;
  if (!going) chat.messages.push(message);
  const run = { session, chat, message, heard, controller: new AbortController(), going: Boolean(going) };
  runs.set(chat, run);
  heard("begun", message);
  receive(run, asked);
  return [];
}

/** An answer that goes on where `message` ends. */
function seeded(asked, message) {
  const answer = blank(asked);
  const delta = { content: textOf(message), reasoning: message.reasoning };
  for (let index = 0; index < (asked.n ?? 1); index += 1) {
    fold(answer, { kind: "chunk", chunk: { choices: [{ index, delta }] }, at: 0 });
  }
  answer.response = blank().response;
  return answer;
}

async function receive(run, asked) {
  const { session, message, controller, heard } = run;
  try {
    for await (const event of ask(asked, { signal: controller.signal })) {
      if (run.over) return;
      fold(message.answer, event);
      take(message);
      save(session, title(session), BETWEEN);
      heard("more", message);
    }
    close(run);
  } catch (error) {
    close(run, error);
  }
}

/** The answer is over, by `error` if there is one: what came is kept, and if nothing did, not even a message. */
function close(run, error = null) {
  if (run.over) return;
  run.over = true;
  const { session, chat, message } = run;
  if (error) fold(message.answer, { kind: "error", error, at: performance.now() });
  take(message);
  delete message.pending;
  runs.delete(chat);
  if (message.answer.finish === "stopped" && !message.answer.choices.length && !run.going) {
    chat.messages = chat.messages.filter((one) => one !== message);
  } else if (chat.messages.includes(message)) saveAnswer(session, message);
  session.changed = Date.now();
  save(session, title(session));
  run.heard("done", message);
}

/** Put into `message` what its answer says: of several choices the one that is looked at. */
export function take(message) {
  const { choices } = message.answer;
  const choice = choices.find((one) => one.index === (message.choice ?? 0)) ?? choices[0];
  if (!choice) return;
  setText(message, choice.content);
  if (choice.reasoning) message.reasoning = choice.reasoning;
  else delete message.reasoning;
  const calls = choice.tool_calls.map(({ id, type, function: f }) => ({ id, type, function: { ...f } }));
  if (calls.length) message.tool_calls = calls;
  else delete message.tool_calls;
}
