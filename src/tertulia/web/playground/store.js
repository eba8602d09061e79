// Sessions in this browser: IndexedDB, as they may hold pictures. What is being written when the page goes is put
// into localStorage, which takes it at once, and is written from there the next time.

import { rewrite, textOf } from "/assets/playground/state.js";

const NAME = "tertulia";
const RESCUE = "tertulia-rescue-";
const RESCUED = 4_000_000; // characters; browsers take about five million
const SOON = 300;
const PICTURE = 2000; // characters
export const MOST = 300;

let opening = null;
let tell = () => {};
let timer = 0;
let part = () => {};
const pending = new Map();
const known = new Map(); // by id, of what is kept: when it was changed, as far as this tab knows
const writing = new Set();
const channel = "BroadcastChannel" in window ? new BroadcastChannel(NAME) : null;

/** What stands under `key` in this browser's "localStorage" or "sessionStorage"; null where it keeps nothing. */
export function recall(kind, key) {
  try {
    return globalThis[kind].getItem(key);
  } catch {
    return null;
  }
}

/** Have it stand there, where the browser keeps anything. */
export function remember(kind, key, value) {
  try {
    globalThis[kind].setItem(key, value);
  } catch {
    // it is forgotten with the page
  }
}

/**
 * Be told of trouble with the storage (`trouble(message)`, "" when it is over), of a session that another tab changed
 * (`changed(id)`), and of one that is not written as another tab did so meanwhile (`parted(session)`).
 */
export function listen(trouble, changed, parted) {
  tell = trouble;
  part = parted;
  channel?.addEventListener("message", ({ data }) => changed(data));
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && flush());
}

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("heads", { keyPath: "id" });
      request.result.createObjectStore("sessions", { keyPath: "id" });
      request.result.createObjectStore("answers", { keyPath: "id" }).createIndex("session", "session");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

/** Do `act(transaction)`, which may return a request; its result when all is written. */
async function within(mode, act) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(["heads", "sessions", "answers"], mode);
    const request = act(transaction);
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onabort = () => reject(transaction.error ?? request?.error ?? new Error("the browser gave it up"));
  });
}

/** What is kept: {id, title, created, changed}, the latest first. */
export async function list() {
  try {
    const heads = await within("readonly", (transaction) => transaction.objectStore("heads").getAll());
    return heads.sort((one, other) => other.changed - one.changed);
  } catch (error) {
    tell(`Sessions can't be kept by this browser (${error.message}): export what you want to have again.`);
    return [];
  }
}

/** A session with its answers, or null. */
export async function load(id) {
  try {
    const session = await within("readonly", (transaction) => transaction.objectStore("sessions").get(id));
    if (!session) return null;
    known.set(id, session.changed);
    const answers = await within("readonly", (transaction) => answersOf(transaction).index("session").getAll(id));
    const byId = new Map(answers.map((one) => [one.id, one.answer]));
    const messages = session.chats.flatMap((chat) => chat.messages);
    for (const message of messages) {
      restore(message, byId.get(message.id));
      byId.delete(message.id);
    }
    const left = [...byId.keys()];
    if (left.length) await attempt(id, (transaction) => left.forEach((key) => answersOf(transaction).delete(key)));
    return session;
  } catch {
    return null;
  }
}

function restore(message, answer) {
  if (answer && message.role === "assistant") {
    message.answer = answer;
    const said = answer.choices.find((one) => one.index === (message.choice ?? 0)) ?? answer.choices[0];
    if (message.edited || textOf(message) !== (said?.content ?? "")) rewrite(message);
  }
  if (!message.pending) return;
  delete message.pending;
  message.cut = true;
}

/** Keep `session` as it is then, in `wait` milliseconds at the latest; `called` is its title. */
export function save(session, called, wait = SOON) {
  pending.set(session.id, { session, called });
  if (timer) return;
  timer = setTimeout(flush, wait);
}

/** Write now what waits to be written. */
export async function flush() {
  clearTimeout(timer);
  timer = 0;
  const entries = [...pending.values()];
  pending.clear();
  if (!entries.length) return;
  entries.forEach((entry) => writing.add(entry));
  await attempt(entries.map(({ session }) => session.id), (transaction) => {
    for (const { session, called } of entries) put(transaction, session, called);
  });
  entries.forEach((entry) => writing.delete(entry));
}

/** Keep what came as the answer in `message`, once and for all. */
export async function saveAnswer(session, message) {
  await attempt(session.id, (transaction) => answersOf(transaction).put(kept(session, message)));
}

/** Keep all of `session` now, its answers too. */
export async function saveAll(session, called) {
  pending.delete(session.id);
  const entry = { session, called };
  writing.add(entry);
  await attempt(session.id, (transaction) => {
    put(transaction, session, called);
    const answers = answersOf(transaction);
    for (const message of session.chats.flatMap((chat) => chat.messages)) {
      if (message.answer && !message.pending) answers.put(kept(session, message));
    }
  });
  writing.delete(entry);
}

/** Forget a session. */
export async function drop(id) {
  pending.delete(id);
  for (const entry of writing) if (entry.session.id === id) writing.delete(entry); // it is not to be rescued
  await attempt(id, (transaction) => {
    transaction.objectStore("heads").delete(id);
    transaction.objectStore("sessions").delete(id);
    const keys = answersOf(transaction).index("session").getAllKeys(id);
    keys.onsuccess = () => keys.result.forEach((key) => answersOf(transaction).delete(key));
  });
}

/** The answer in `message` as it is kept: pictures in its request are those of the messages, and aren't kept again. */
function kept(session, { id, answer }) {
  if (!answer.request?.messages) return { id, session: session.id, answer };
  const messages = answer.request.messages.map((one) =>
    (Array.isArray(one.content) ? { ...one, content: one.content.map(brief) } : one));
  return { id, session: session.id, answer: { ...answer, request: { ...answer.request, messages } } };
}

function brief(part) {
  const url = part.image_url?.url ?? "";
  if (!url.startsWith("data:") || url.length < PICTURE) return part;
  return { ...part, image_url: { ...part.image_url, url: `${url.slice(0, 40)}… (${url.length} characters)` } };
}

async function attempt(ids, act) {
  try {
    await within("readwrite", act);
    for (const id of [ids].flat()) channel?.postMessage(id);
    tell("");
  } catch (error) {
    tell(error.name === "QuotaExceededError"
      ? "This browser's storage is full, so this session is not kept: export it, or delete sessions."
      : `This session is not kept (${error.message}): export it if you want to have it again.`);
  }
}

function answersOf(transaction) {
  return transaction.objectStore("answers");
}

/** Write `session`; not where another tab wrote it since it was read or written here: its turns would be lost. */
function put(transaction, session, called) {
  const plain = light(session);
  const there = transaction.objectStore("heads").get(plain.id);
  there.onsuccess = () => {
    if (session.id !== plain.id) return; // it is another's by now, and is written as that
    if (there.result && there.result.changed !== known.get(plain.id)) part(session);
    else write(transaction, plain, called);
  };
}

function write(transaction, plain, called) {
  const { id, created, changed } = plain;
  transaction.objectStore("sessions").put(plain);
  transaction.objectStore("heads").put({ id, title: called, created, changed });
  transaction.addEventListener("complete", () => known.set(id, changed));
}

/** Without the answers: they are kept by themselves, once each, as they are much larger than what is edited. */
function light(session) {
  const strip = ({ answer: _, ...message }) => message;
  return { ...session, chats: session.chats.map((chat) => ({ ...chat, messages: chat.messages.map(strip) })) };
}

function leave() {
  if (!pending.size && !writing.size) return;
  const rescued = [...writing, ...pending.values()].map(({ session, called }) => ({ session: light(session), called }));
  const text = JSON.stringify(rescued);
  if (text.length < RESCUED) remember("localStorage", RESCUE + Date.now(), text);
  flush(); // that may still be in time, too
}

/** Write what was not written when a page went. Call it before anything is loaded. */
export async function rescue() {
  for (const key of rescued()) {
    const kept = JSON.parse(localStorage.getItem(key));
    localStorage.removeItem(key);
    for (const { session, called } of kept) await newer(session, called);
  }
}

function rescued() {
  try {
    return Object.keys(localStorage).filter((one) => one.startsWith(RESCUE)).sort();
  } catch {
    return []; // nothing is kept
  }
}

async function newer(session, called) {
  await attempt(session.id, (transaction) => {
    const there = transaction.objectStore("sessions").get(session.id);
    there.onsuccess = () => {
      if (!there.result || there.result.changed <= session.changed) write(transaction, session, called);
    };
  });
}
