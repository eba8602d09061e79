// The sessions that this browser keeps: a list of them, and what can be done with each.

import { fill, h, say } from "/assets/shared/dom.js";
import { age } from "/assets/shared/format.js";
import { readSessions } from "/assets/playground/check.js";
import { menu } from "/assets/playground/menu.js";
import { offer } from "/assets/playground/notes.js";
import { copySession, title } from "/assets/playground/state.js";
import { drop, list, load, MOST, saveAll } from "/assets/playground/store.js";

const LARGEST = 64 << 20;

/** The list: {element, draw(), duplicate(), exportThis(), importFile(), remove()}. */
export function sessions(app) {
  const items = h("ul", { class: "list" });
  const count = h("p", { class: "faint small" });
  const element = h("aside", { class: "sessions", id: "sessions", "aria-label": "Sessions", hidden: true },
    h("div", { class: "row" },
      h("button", { type: "button", class: "grow", on: { click: () => app.fresh() } }, "New session"),
      menu("More for sessions", () => [
        { label: "Import a file", icon: "down", act: importFile },
        { label: "Export all", icon: "up", act: exportAll, disabled: !items.children.length },
      ])),
    items, count);

  async function draw() {
    const heads = await list();
    const here = heads.some(({ id }) => id === app.session.id) ? [] : [{ id: app.session.id, title: title(app.session), changed: Date.now() }];
    fill(items, [...here, ...heads].map((head) => item(head)));
    count.textContent = heads.length ? `${heads.length} kept in this browser only` : "Sessions are kept in this browser only.";
    return heads.length;
  }

  function item({ id, title: kept, changed }) {
    const current = id === app.session.id;
    const called = current ? title(app.session) : kept;
    return h("li", { class: current ? "current" : "" },
      h("button", { type: "button", class: "quiet open", "aria-current": current ? "true" : null, on: { click: () => app.openId(id) } },
        h("span", { class: "title" }, called), h("span", { class: "faint small" }, age((Date.now() - changed) / 1000))),
      menu(`More for ${called}`, () => [
        { label: "Duplicate", icon: "copy", act: () => duplicate(id) },
        { label: "Export", icon: "up", act: () => exportOne(id) },
        { label: "Delete", icon: "remove", danger: true, act: () => remove(id) },
      ]));
  }

  const whole = async (id) => (id === app.session.id ? app.session : load(id));

  async function duplicate(id = app.session.id) {
    const session = await whole(id);
    if (session) app.open(copySession(session));
  }

  async function exportOne(id = app.session.id) {
    const session = await whole(id);
    if (session) download([session], title(session));
  }

  async function exportAll() {
    const all = await Promise.all((await list()).map(({ id }) => whole(id)));
    download(all.filter(Boolean), "sessions");
  }

  async function remove(id = app.session.id) {
    const session = await whole(id);
    if (!session) return;
    if (id === app.session.id) await app.leave();
    await drop(id);
    offer(`“${title(session)}” is deleted.`, async () => {
      await saveAll(session, title(session));
      await app.openId(session.id);
    });
    draw();
  }

  function importFile() {
    h("input", { type: "file", accept: ".json,application/json", on: { change: ({ target }) => target.files[0] && take(target.files[0]) } }).click();
  }

  async function take(file) {
    try {
      if (file.size > LARGEST) throw new Error("it is larger than a session can be");
      const read = readSessions(parse(await file.text()));
      if ((await list()).length + read.length > MOST) throw new Error(`${MOST} sessions are kept at most: delete some first`);
      for (const session of read) await saveAll(session, title(session));
      await app.openId(read[0].id);
      say(read.length === 1 ? "Imported" : `${read.length} sessions imported`);
    } catch (error) {
      app.trouble(`${file.name} is not imported: ${error.message}.`);
    }
  }

  return { element, draw, duplicate, exportThis: exportOne, importFile, remove };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`it is not JSON (${error.message})`);
  }
}

/** Give `sessions` to the person as a file: all of them but what answers repeat of them. */
function download(sessions, name) {
  const text = JSON.stringify({ tertulia: 1, sessions: sessions.map(outside) }, null, 2);
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const file = name.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60).replace(/^-|-$/g, "") || "session";
  h("a", { href: url, download: `${file}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function outside(session) {
  const chats = session.chats.map((chat) => ({ ...chat, messages: chat.messages.map((message) => ({ ...message, answer: figures(message.answer) })) }));
  return { ...session, chats };
}

function figures(answer) {
  if (!answer) return undefined;
  const { request: _, response: __, ...rest } = answer;
  return rest;
}
