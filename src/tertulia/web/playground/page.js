// The playground: conversations beside each other, and what is around them.

import "/assets/shared/theme.js";
import { fill, h, say } from "/assets/shared/dom.js";
import { loadModels, models, short, standard } from "/assets/playground/cards.js";
import { Column } from "/assets/playground/column.js";
import { Composer } from "/assets/playground/composer.js";
import { receive } from "/assets/playground/images.js";
import { listenKeys, showKeys } from "/assets/playground/keys.js";
import { menu } from "/assets/playground/menu.js";
import { dismiss, offer } from "/assets/playground/notes.js";
import { Panel } from "/assets/playground/panel.js";
import { press } from "/assets/playground/press.js";
import { running, stop, stopAll } from "/assets/playground/run.js";
import { Sender } from "/assets/playground/send.js";
import { Sessions } from "/assets/playground/sessions.js";
import { linked, share } from "/assets/playground/share.js";
import { blank, copyChat, MOST_CHATS, newChat, newSession, reborn, title } from "/assets/playground/state.js";
import { flush, list, listen, load, MOST, recall, remember, rescue, save, saveAll } from "/assets/playground/store.js";

const CURRENT = "tertulia-session";
const FULL = `${MOST} sessions are kept at most: delete some first.`;
const WIDE = matchMedia("(min-width: 1000px)");

/** What all parts of the page call each other by. */
const app = {
  session: newSession(),
  ask: (chat, going) => sender.ask(chat, going),
  send: () => sender.send(),
  column: (chat) => columns.find((one) => one.chat === chat),
  tell: (text) => {
    told.textContent = text;
  },
  changed, drafted, add, close, redraw, open, openId, fresh, leave, trouble,
};
let columns = [];
let asked = null; // the session with the model that the address names
let stale = false; // whether another tab has changed the session that is shown

const name = h("input", {
  class: "name", "aria-label": "Name of this session", autocomplete: "off", maxLength: 200, on: { input: rename },
});
const notice = h("div", { class: "notices", role: "status" });
const tabs = h("div", { class: "tabs", role: "group", "aria-label": "Conversations" });
const grid = h("div", { class: "columns" });
const toggle = press("Sessions", () => reveal(app.sessions.element.hidden), {
  class: "quiet", "aria-controls": "sessions", "aria-expanded": "false",
});
const labelled = (draw, label, act, title) => press(label, act, { draw, title, class: "wordy", "aria-label": label });
const told = h("p", { class: "unseen", role: "status" });
const sender = new Sender(app);
const compare = labelled("add", "Compare", () => add(), "One more conversation beside it (Alt+C)");

Object.assign(app, { panel: new Panel(app), sessions: new Sessions(app), composer: new Composer(app) });

function frame() {
  const bar = h("div", { class: "strip" }, toggle, name,
    labelled("edit", "New", () => fresh(), "New session (Alt+N)"), compare,
    labelled("link", "Share", () => share(app.session), "A link to this session"),
    menu("More for this session", () => [
      { label: "Duplicate", icon: "copy", act: () => app.sessions.duplicate() },
      { label: "Export", icon: "up", act: () => app.sessions.exportOne() },
      { label: "Import a file", icon: "down", act: () => app.sessions.importFile() },
      { label: "Delete", icon: "remove", danger: true, act: () => app.sessions.remove() },
      { label: "Keys (?)", icon: "more", act: showKeys },
    ]));
  fill(document.querySelector("#main"), h("h1", { class: "unseen" }, "Playground"),
    h("div", { class: "playground" }, app.sessions.element,
      h("div", { class: "middle" }, bar, notice, told, tabs, grid, app.composer.element), app.panel.element));
  receive(grid, (files) => app.composer.attach(files));
}

/** Show the session as it is now. */
function draw() {
  const { chats } = app.session;
  columns = chats.map((chat) => columns.find((column) => column.chat === chat) ?? new Column(chat, app));
  const shown = columns.map(({ element }) => element);
  const same = grid.children.length === shown.length && shown.every((one, place) => grid.children[place] === one);
  if (!same) fill(grid, shown);
  columns.forEach((column, place) => {
    column.place(place + 1, chats.length);
    column.draw();
  });
  grid.dataset.count = chats.length;
  compare.disabled = chats.length >= MOST_CHATS;
  tabs.hidden = chats.length < 2;
  tabulate();
  app.composer.draw();
  app.panel.settle();
  entitle();
}

function tabulate() {
  seen.disconnect();
  fill(tabs, columns.map(tab));
}

function tab({ element, chat }, place) {
  const go = () => element.scrollIntoView({ inline: "start", block: "nearest" });
  seen.observe(element);
  return press(`${place + 1} · ${short(chat.model)}`, go, { "aria-pressed": "false" });
}

/** Which conversation a narrow screen shows. */
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const place = columns.findIndex(({ element }) => element === target);
    tabs.children[place]?.setAttribute("aria-pressed", String(isIntersecting));
  }
}, { root: grid, threshold: 0.6 });

function entitle() {
  if (document.activeElement !== name) name.value = app.session.name;
  name.placeholder = title(app.session);
  app.sessions.entitle();
  document.title = `${title(app.session)} · Playground · Tertulia`;
}

function rename() {
  app.session.name = name.value.trim();
  changed();
}

/** Something of the session is another than it was, in `chat` if one is given: it is kept. */
function changed(chat) {
  app.session.changed = Date.now();
  remember("sessionStorage", CURRENT, app.session.id);
  plain();
  save(app.session, title(app.session));
  entitle();
  if (chat) app.panel.changed(chat);
}

/** The model of `chat` is another: what tells of it is drawn anew. */
function redraw(chat) {
  app.panel.redraw(chat);
  app.composer.draw();
  tabulate();
}

/** The draft in the composer is another. */
function drafted() {
  changed();
  app.panel.changed();
}

// ---------------------------------------------------------------- conversations and sessions

/** Put a conversation beside the others, behind `after`: `chat`, or a copy of the last one to compare it with. */
function add(chat = copyChat(app.session.chats.at(-1)), after = app.session.chats.at(-1)) {
  const { chats } = app.session;
  if (chats.length >= MOST_CHATS) return say(`There are ${MOST_CHATS} conversations at most.`);
  chats.splice(chats.indexOf(after) + 1, 0, chat);
  changed();
  draw();
  saveAll(app.session, title(app.session));
  const column = columns.find((one) => one.chat === chat);
  column.element.scrollIntoView({ inline: "start", block: "nearest" });
  column.picker.button.focus();
  return undefined;
}

function close(chat) {
  const { session } = app;
  const at = session.chats.indexOf(chat);
  stop(chat);
  session.chats.splice(at, 1);
  changed();
  draw();
  columns[Math.max(0, at - 1)].picker.button.focus();
  offer("The conversation is closed.", () => {
    if (session.chats.length < MOST_CHATS) session.chats.splice(at, 0, chat);
    save(session, title(session));
    if (session === app.session) draw();
  });
}

/** Show `session`, which is new; it is kept from now on if there is anything in it. False if there is no room. */
async function open(session) {
  if (await crowded()) return false;
  if (!blank(session)) await saveAll(session, title(session));
  show(session);
  app.sessions.draw();
  return true;
}

/** Whether one more session has no room here; that is said, then. */
async function crowded() {
  if ((await list()).length < MOST) return false;
  trouble(FULL);
  return true;
}

function show(session) {
  flush();
  if (session !== asked) plain();
  dismiss();
  stale = false;
  app.session = session;
  remember("sessionStorage", CURRENT, session.id);
  columns = [];
  name.value = session.name;
  draw();
  if (!WIDE.matches) reveal(false);
}

async function openId(id) {
  const live = running().find(({ session }) => session.id === id)?.session;
  await flush();
  const session = id === app.session.id ? app.session : live ?? (await load(id));
  if (session) show(session);
  else trouble("This session is no longer kept in this browser.");
  app.sessions.draw();
}

/** Another tab changed the session `id`. Where that is the one shown here, it is read again when a person comes back. */
function elsewhere(id) {
  app.sessions.draw();
  if (id !== app.session.id) return;
  stale = true;
  if (document.hasFocus()) trouble("Another tab changes this session, too: where both go on, both are kept.");
}

/** Another tab went on with `session`, which was changed here as well: what is here becomes one of its own. */
async function parted(session) {
  const called = title(session);
  reborn(session, `${called} (other tab)`);
  if (session === app.session) {
    stale = false;
    remember("sessionStorage", CURRENT, session.id);
    name.value = session.name;
    entitle();
    trouble(`Another tab went on with “${called}”. What is here is kept beside it, as “${session.name}”.`);
  }
  await saveAll(session, title(session));
  app.sessions.draw();
}

async function renew() {
  if (!stale || running().some(({ session }) => session === app.session)) return;
  await flush();
  if (!stale) return;
  const session = await load(app.session.id);
  if (session && stale) show(session);
}

/** A new session with the models that are chosen now: at once, as somebody may go on typing. */
function fresh() {
  if (app.sessions.kept >= MOST) return trouble(FULL);
  show(newSession(app.session.chats.slice(0, 1).map(({ model, provider }) => newChat(model, provider))));
  app.sessions.draw();
  return app.composer.focus();
}

/** Go to another session: this one is being deleted. */
async function leave() {
  const others = (await list()).filter(({ id }) => id !== app.session.id);
  const next = others.length ? await load(others[0].id) : null;
  show(next ?? newSession([newChat(standard())]));
}

function reveal(on) {
  app.sessions.element.hidden = !on;
  toggle.setAttribute("aria-expanded", String(on));
  if (WIDE.matches) remember("localStorage", "tertulia-sessions", on ? "shown" : "hidden");
}

/** Say what is wrong until it is over or closed; "" takes it away. */
function trouble(message, kind = "warn") {
  fill(notice, message && h("p", { class: `notice ${kind} row apart` }, message,
    press("Close", () => trouble(""), { class: "quiet" })));
}

// ---------------------------------------------------------------- the start

/** The session that came by a link, or null. */
async function followed() {
  try {
    const session = await linked();
    if (session && (await crowded())) return null;
    if (session) {
      await saveAll(session, title(session));
      trouble("This session came by a link. Nothing of it was sent: look it through before you run it.", "");
    }
    return session;
  } catch (error) {
    trouble(error.message);
    return null;
  } finally {
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  }
}

/** A session with the model that the address names, or null. It goes on naming it until something else is here. */
async function wished() {
  const query = new URLSearchParams(location.search);
  const model = query.get("modelId");
  asked = model && !(await crowded()) ? newSession([newChat(model, query.get("provider") ?? "")]) : null;
  return asked;
}

function plain() {
  if (location.search) history.replaceState(null, "", "/playground");
}

async function begin() {
  let full = false;
  listen((message) => {
    if (message || full) trouble(message);
    full = Boolean(message);
  }, elsewhere, parted);
  addEventListener("focus", renew);
  await rescue();
  const last = recall("sessionStorage", CURRENT) ?? (await list())[0]?.id;
  const session = (await followed()) ?? (await wished()) ?? (last && (await load(last)));
  if (session) show(session);
  app.sessions.draw();
}

async function learn() {
  await loadModels();
  if (models().failure) trouble(`The models are not known: ${models().failure.message}`);
  settled();
}

/** Name the model of those who take what there is. */
function settled() {
  for (const chat of app.session.chats) chat.model ||= standard();
  for (const column of columns) column.update();
  draw();
}

frame();
reveal(WIDE.matches && recall("localStorage", "tertulia-sessions") !== "hidden");
draw();
listenKeys({
  send: app.send, fresh, compare: () => add(), focus: () => app.composer.focus(),
  stop: () => stopAll(app.session),
});
addEventListener("hashchange", async () => {
  const session = await followed();
  if (session) show(session);
});
await Promise.all([begin(), learn()]);
settled();
