// Sessions from outside, out of a file or a link: whatever is in them is looked at before it is taken.

import { isObject, show } from "/assets/shared/json.js";
import { FIELDS } from "/assets/playground/fields.js";
import { readAnswer } from "/assets/playground/given.js";
import { MOST_CHATS, newId, ROLES } from "/assets/playground/state.js";

const MESSAGES = 2000;
const PLAIN = ["text", "image_url"];
const FORMS = ["tools", "tool_choice", "tool_prompt", "parallel_tool_calls", "response_format", "extra"];
const SETTINGS = new Set([...FIELDS.map((field) => field.inside ?? field.name), ...FORMS]);
const DEEPEST = 200; // levels of lists and objects in settings
const KINDS = new Map(FIELDS.filter((field) => !field.inside).map((field) => [field.name, field.kind]));

/**
 * Sessions of what was read from JSON: a session, a list of them, or {sessions: [...]}, under new ids. Raises Error
 * that says where something is wrong.
 */
export function readSessions(plain) {
  const found = Array.isArray(plain) ? plain : Array.isArray(plain?.sessions) ? plain.sessions : [plain];
  if (!found.length) throw new Error("there is no session in it");
  if (found.length > 100) throw new Error(`there are ${found.length} sessions in it: 100 at a time are taken`);
  return found.map((one, place) => readSession(one, found.length > 1 ? `session ${place + 1}` : "the session"));
}

function readSession(plain, at) {
  object(plain, at);
  if (!Array.isArray(plain.chats)) throw new Error(`${at}: "chats" has to be a list of conversations`);
  if (plain.chats.length < 1 || plain.chats.length > MOST_CHATS) {
    throw new Error(`${at}: "chats" holds ${plain.chats.length} conversations, and may hold 1 to ${MOST_CHATS}`);
  }
  const now = Date.now();
  const session = {
    id: newId(),
    name: string(plain.name ?? "", `${at}: "name"`).slice(0, 200),
    created: Number.isFinite(plain.created) ? plain.created : now,
    changed: now,
    chats: plain.chats.map((chat, place) => readChat(chat, `${at}, conversation ${place + 1}`)),
  };
  return session;
}

function readChat(plain, at) {
  object(plain, at);
  const messages = plain.messages ?? [];
  if (!Array.isArray(messages)) throw new Error(`${at}: "messages" has to be a list`);
  if (messages.length > MESSAGES) throw new Error(`${at}: there are more than ${MESSAGES} messages`);
  return {
    id: newId(),
    model: string(plain.model ?? "", `${at}: "model"`),
    provider: string(plain.provider ?? "", `${at}: "provider"`),
    system: string(plain.system ?? "", `${at}: "system"`),
    messages: messages.map((message, place) => readMessage(message, `${at}, message ${place + 1}`)),
    settings: readSettings(plain.settings ?? {}, at),
  };
}

/**
 * Settings are judged as those that are written here: what is of another kind is text that is at fault. What the panel
 * doesn't show has no place among them.
 */
function readSettings(plain, at) {
  const { extra = "", ...rest } = object(plain, `${at}: "settings"`);
  const other = Object.keys(rest).find((name) => !SETTINGS.has(name));
  if (other !== undefined) throw new Error(`${at}: ${show(other)} is no setting`);
  if (deep(rest, DEEPEST)) throw new Error(`${at}: "settings" are nested too deeply`);
  for (const one of [rest.stop ?? []].flat()) string(one, `${at}: "stop" of "settings"`);
  const kept = Object.entries(rest).filter(([, value]) => value !== undefined && value !== null);
  const read = kept.map(([name, value]) => [name, (PARTED[name] ?? single)(value, KINDS.get(name))]);
  const more = string(extra, `${at}: "extra" of "settings"`) ? { extra } : {};
  return { stream: true, ...Object.fromEntries(read), ...more };
}

/** What a setting that is one value can be: any object is its text. */
function single(value, kind) {
  if (kind === "names" && Array.isArray(value)) return value.map((one) => single(one));
  return typeof value === "object" && !["bias", "lines"].includes(kind) ? show(value) : value;
}

/** The fields `names` of `value` as single ones, where it is an object and has them. */
function parted(value, names) {
  if (!isObject(value)) return value;
  const read = names.filter((name) => Object.hasOwn(value, name)).map((name) => [name, single(value[name] ?? "")]);
  return { ...value, ...Object.fromEntries(read) };
}

const PARTED = {
  tools: (value) => (Array.isArray(value) ? value : single(value)),
  tool_choice: (value) => (typeof value.function?.name === "string" ? value : single(value)),
  stream_options: (value) => parted(value, ["include_usage"]),
  response_format(value) {
    if (!isObject(value?.json_schema)) return parted(value, ["type"]);
    const inner = parted(value.json_schema, ["name", "description", "strict"]);
    return { ...parted(value, ["type"]), json_schema: inner };
  },
};

function readMessage(plain, at) {
  object(plain, at);
  if (!ROLES.includes(plain.role)) throw new Error(`${at}: "role" is none of ${ROLES.join(", ")}`);
  const message = { id: newId(), role: plain.role, content: readContent(plain.content ?? "", at) };
  const answers = plain.role === "assistant";
  for (const name of ["name", answers && "reasoning", plain.role === "tool" && "tool_call_id"].filter(Boolean)) {
    if (plain[name] !== undefined && plain[name] !== null) message[name] = string(plain[name], `${at}: "${name}"`);
  }
  if (answers && plain.tool_calls?.length) message.tool_calls = readCalls(plain.tool_calls, at);
  if (answers) message.answer = readAnswer(plain.answer, message);
  return message;
}

function readContent(content, at) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw new Error(`${at}: "content" has to be text or a list of parts`);
  return content.map((part) => {
    const { type, text, image_url: image } = object(part, `${at}: a part of "content"`);
    if (!PLAIN.includes(type)) throw new Error(`${at}: a part is of type ${show(type)}, not text or image_url`);
    if (type === "text") return { type, text: string(text, `${at}: the text of a part`) };
    const { detail } = object(image, `${at}: a picture`);
    const more = typeof detail === "string" ? { detail } : {};
    return { type, image_url: { url: string(image.url, `${at}: the address of a picture`), ...more } };
  });
}

/** Whether there are more than `most` levels in `value`. */
function deep(value, most) {
  if (value === null || typeof value !== "object") return false;
  return most === 0 || Object.values(value).some((one) => deep(one, most - 1));
}

function readCalls(calls, at) {
  if (!Array.isArray(calls)) throw new Error(`${at}: "tool_calls" has to be a list`);
  return calls.map((call) => {
    object(call, `${at}: a call`);
    object(call.function, `${at}: the function of a call`);
    const { name, arguments: given } = call.function;
    return {
      id: string(call.id ?? "", `${at}: the id of a call`),
      type: "function",
      function: {
        name: string(name, `${at}: the name of a call`),
        arguments: string(given ?? "", `${at}: the arguments of a call`),
      },
    };
  });
}

function object(value, at) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error(`${at} has to be an object`);
  return value;
}

function string(value, at) {
  if (typeof value !== "string") throw new Error(`${at} has to be text`);
  return value;
}
