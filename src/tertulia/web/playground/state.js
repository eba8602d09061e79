// Sessions of conversations of messages, as plain data: what is kept, exported, shared and sent is made of these.

export const MOST_CHATS = 4;
export const ROLES = ["system", "user", "assistant", "tool"];

const REQUEST = { stream: true };

/** A name that no other thing here has. Works without a secure context, too. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A message; `more` are further fields of it. */
export function newMessage(role, content = "", more = {}) {
  return { id: newId(), role, content, ...more };
}

/** A conversation with `model` ("" is the server's default) at `provider` ("" leaves the choice to the server). */
export function newChat(model = "", provider = "") {
  return { id: newId(), model, provider, system: "", messages: [], settings: { ...REQUEST } };
}

export function newSession(chats = [newChat()], name = "") {
  const now = Date.now();
  return { id: newId(), name, created: now, changed: now, chats };
}

/** The text of a message, whatever shape its content has. */
export function textOf(message) {
  const { content } = message;
  if (!Array.isArray(content)) return content ?? "";
  return content.filter((part) => part.type === "text").map((part) => part.text).join("\n\n");
}

/** What else than text is in a message: its parts. */
export function partsOf(message) {
  return Array.isArray(message.content) ? message.content.filter((part) => part.type !== "text") : [];
}

/** Content of `text` and other `parts`: a string, where there are none. */
export function contentOf(text, parts) {
  return parts.length ? [...(text ? [{ type: "text", text }] : []), ...parts] : text;
}

export function setText(message, text) {
  message.content = contentOf(text, partsOf(message));
}

export function setParts(message, parts) {
  message.content = contentOf(textOf(message), parts);
}

/** What a session is called, by its name or by what it is about. */
export function title(session) {
  if (session.name) return session.name;
  for (const chat of session.chats) {
    for (const message of chat.messages) {
      const words = message.role === "user" && /\S.{0,59}/u.exec(textOf(message))?.[0];
      if (words) return words.trimEnd();
    }
  }
  return "New session";
}

/** Whether nothing is in a session that could be lost. */
export function blank(session) {
  return !session.name && session.chats.length === 1 && !session.draft?.text && !session.draft?.parts?.length
    && !session.chats[0].system && !session.chats[0].messages.length
    && Object.keys(session.chats[0].settings).every((name) => name in REQUEST);
}

/** A conversation with everything in it, up to the message `last` where one is given, under new ids. */
export function copyChat(chat, last = null) {
  const end = last ? chat.messages.indexOf(last) + 1 : chat.messages.length;
  const messages = chat.messages.slice(0, end).filter((message) => !awaited(message));
  const copy = structuredClone({ ...chat, id: newId(), messages });
  for (const message of copy.messages) {
    message.id = newId();
    if (message.pending) message.answer.ended ||= performance.now(); // no more will come of it here
    delete message.pending;
  }
  return copy;
}

/** Have `session` be another one from now on, called `name`: it and its messages get new ids. */
export function reborn(session, name) {
  Object.assign(session, { id: newId(), name, created: Date.now() });
  for (const message of session.chats.flatMap((chat) => chat.messages)) message.id = newId();
}

export function copySession(session) {
  return { ...newSession(session.chats.map((chat) => copyChat(chat)), `${title(session)} (copy)`) };
}

/** Whether an answer came to nothing: it failed, or the page was left, before it said anything. */
export function failed(message) {
  return (Boolean(message.answer?.error) || Boolean(message.cut)) && wordless(message);
}

/** Whether an answer has been asked for and has not begun. */
export function awaited(message) {
  return Boolean(message.pending) && wordless(message);
}

function wordless({ role, content, tool_calls: calls }) {
  return role === "assistant" && !content && !calls?.length;
}

/** Take the answers off the end that came to nothing: they are no part of the conversation. */
export function settle(chat) {
  while (chat.messages.length && failed(chat.messages.at(-1))) chat.messages.pop();
}

/**
 * The conversation as it would be sent: with `draft` ({text, parts}) as its next message if there is something in it,
 * else up to the last message that wants an answer, with what an answer that was gone on with `begun` with.
 */
export function sendable(chat, draft = null) {
  const messages = [...chat.messages];
  while (messages.length && failed(messages.at(-1))) messages.pop();
  const written = draft && (draft.text.trim() || draft.parts.length);
  if (written) messages.push(newMessage("user", contentOf(draft.text, draft.parts)));
  else if (messages.at(-1)?.answer) {
    const { begun, ...last } = messages.pop();
    if (begun) messages.push({ ...last, content: begun });
  }
  return { ...chat, messages };
}

/** The calls of `message` that no tool message behind it answers. */
export function openCalls(chat, message) {
  const behind = chat.messages.slice(chat.messages.indexOf(message) + 1);
  const answered = new Set(behind.filter((one) => one.role === "tool").map((one) => one.tool_call_id));
  return (message.tool_calls ?? []).filter((call) => !answered.has(call.id));
}

/** Tool messages for those calls, to be filled in. */
export function resultsFor(calls) {
  return calls.map((call) => newMessage("tool", "", { tool_call_id: call.id ?? "", name: call.function?.name ?? "" }));
}

/** The role that usually comes after `message`. */
export function nextRole(message) {
  return message && ["user", "tool"].includes(message.role) ? "assistant" : "user";
}

/** Say in the answer of `message` what the message says now; its log-probabilities were another text's. */
export function rewrite(message) {
  const { choices } = message.answer;
  let choice = choices.find((one) => one.index === (message.choice ?? 0)) ?? choices[0];
  if (!choice) choices.push(choice = { index: 0, reasoning: "", refusal: "", finish_reason: null });
  Object.assign(choice, { content: textOf(message), tool_calls: message.tool_calls ?? [], logprobs: [] });
  message.edited = true;
}

/** Give `message` another role, with the fields that go with it. */
export function setRole(message, role) {
  message.role = role;
  if (role === "tool") message.tool_call_id ??= "";
  else delete message.tool_call_id;
  if (role !== "assistant") {
    delete message.tool_calls;
    delete message.reasoning;
    delete message.answer;
  }
}
