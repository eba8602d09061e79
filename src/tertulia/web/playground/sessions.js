// The sessions that this browser keeps: a list of them, and what can be done with each.

import { fill, h, say } from "/assets/shared/dom.js";
import { age } from "/assets/shared/format.js";
import { readSessions } from "/assets/playground/check.js";
import { menu } from "/assets/playground/menu.js";
import { offer } from "/assets/playground/notes.js";
import { press } from "/assets/playground/press.js";
import { running, stopAll } from "/assets/playground/run.js";
import { awaited, blank, copySession, title } from "/assets/playground/state.js";
import { drop, list, load, MOST, saveAll } from "/assets/playground/store.js";

const LARGEST = 64 << 20;

/** The list; what is done without naming a session is done with the one that `app` shows. */
export class Sessions {
  #items = h("ul", { class: "list" });
  #others = 0; // how many are kept beside the one that is shown
  #count = h("p", { class: "faint small" });

  constructor(app) {
    this.app = app;
    this.element = h("aside", { class: "sessions", id: "sessions", "aria-label": "Sessions", hidden: true },
      h("div", { class: "row" },
        press("New session", () => app.fresh(), { class: "grow" }),
        menu("More for sessions", () => [
          { label: "Import a file", icon: "down", act: () => this.importFile() },
          { label: "Export all", icon: "up", act: () => this.#exportAll() },
        ])),
      this.#items, this.#count);
  }

  /** How many are kept, as far as is known here. */
  get kept() {
    return this.#others + !blank(this.app.session);
  }

  /** Show what is kept now. */
  async draw() {
    const heads = await list();
    const { session } = this.app;
    const kept = heads.some(({ id }) => id === session.id);
    const here = kept ? [] : [{ id: session.id, title: title(session), changed: Date.now() }];
    this.#others = heads.length - kept;
    fill(this.#items, [...here, ...heads].map((head) => this.#item(head)));
    this.#tell(kept || !blank(session)); // which is written in a moment
  }

  /** How many are kept: the one that is shown only once there is something in it. */
  #tell(kept) {
    const since = this.#items.querySelector(".current .since");
    if (since && !kept) since.textContent = "not kept yet";
    else if (since?.textContent === "not kept yet") since.textContent = age(0);
    this.#count.textContent = `${this.#others + kept || "They are"} kept in this browser only.`;
  }

  /** The session that is shown is called something else now. */
  entitle() {
    const place = this.#items.querySelector(".current .title");
    if (place) place.textContent = title(this.app.session);
    if (place && !blank(this.app.session)) this.#tell(true);
  }

  async duplicate(id) {
    const session = await this.#whole(id);
    if (session) this.app.open(copySession(session));
  }

  async exportOne(id) {
    const session = await this.#whole(id);
    if (session) download([session], title(session));
  }

  async remove(id = this.app.session.id) {
    const session = await this.#whole(id);
    if (!session) return;
    stopAll(session); // what still came would be kept
    if (id === this.app.session.id) await this.app.leave();
    await drop(id);
    offer(`“${title(session)}” is deleted.`, async () => {
      await saveAll(session, title(session));
      await this.app.openId(session.id);
    });
    this.draw();
  }

  importFile() {
    const change = ({ target }) => target.files[0] && this.#take(target.files[0]);
    h("input", { type: "file", accept: ".json,application/json", on: { change } }).click();
  }

  #item({ id, title: kept, changed }) {
    const current = id === this.app.session.id;
    const called = current ? title(this.app.session) : kept;
    const open = { click: () => this.app.openId(id) };
    return h("li", { class: current ? "current" : "" },
      h("button", { type: "button", class: "quiet open", "aria-current": current ? "true" : null, on: open },
        h("span", { class: "title" }, called),
        h("span", { class: "since faint small" }, age((Date.now() - changed) / 1000))),
      menu(`More for ${called}`, () => [
        { label: "Duplicate", icon: "copy", act: () => this.duplicate(id) },
        { label: "Export", icon: "up", act: () => this.exportOne(id) },
        { label: "Delete", icon: "remove", danger: true, act: () => this.remove(id) },
      ]));
  }

  /** The session `id`; while answers come to it, the one they come to. */
  async #whole(id = this.app.session.id) {
    const { session } = this.app;
    return id === session.id ? session : running().find((run) => run.session.id === id)?.session ?? load(id);
  }

  async #exportAll() {
    const all = await Promise.all((await list()).map(({ id }) => this.#whole(id)));
    if (all.length) download(all.filter(Boolean), "sessions");
    else say("There is no session to export yet.");
  }

  async #take(file) {
    try {
      if (file.size > LARGEST) throw new Error("it is larger than a session can be");
      const read = readSessions(parse(await file.text()));
      const room = MOST - (await list()).length;
      if (read.length > room) throw new Error(`${MOST} sessions are kept at most: delete some first`);
      for (const session of read) await saveAll(session, title(session));
      await this.app.openId(read[0].id);
      say(read.length === 1 ? "Imported" : `${read.length} sessions imported`);
    } catch (error) {
      this.app.trouble(`${file.name} is not imported: ${error.message.replace(/\.$/, "")}.`);
    }
  }
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
  const plain = { tertulia: 1, sessions: sessions.map(outside) };
  const url = URL.createObjectURL(new Blob([JSON.stringify(plain, null, 2)], { type: "application/json" }));
  const file = name.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60).replace(/^-|-$/g, "") || "session";
  h("a", { href: url, download: `${file}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function outside(session) {
  const brief = (message) => ({ ...message, answer: figures(message.answer) });
  const said = ({ messages }) => messages.filter((message) => !awaited(message)).map(brief);
  return { ...session, chats: session.chats.map((chat) => ({ ...chat, messages: said(chat) })) };
}

function figures(answer) {
  if (!answer) return undefined;
  const { request: _, response: __, ...rest } = answer;
  return rest;
}
