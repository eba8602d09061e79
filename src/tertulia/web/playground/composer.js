// Where the next message is written, and to whom it goes.

import { fill, h, tool } from "/assets/shared/dom.js";
import { area, setArea } from "/assets/playground/area.js";
import { sees, short } from "/assets/playground/cards.js";
import { askAddress, chooseFiles, readFiles, receive, thumbs } from "/assets/playground/images.js";
import { menu } from "/assets/playground/menu.js";
import { press } from "/assets/playground/press.js";
import { running, stopAll } from "/assets/playground/run.js";

/** The composer of the session that `app` shows; what is in it is the session's draft. */
export class Composer {
  #target = "";
  #pictures = h("div", {});
  #remark = h("p", { class: "small warn", role: "status" });
  #targets = h("fieldset", { class: "targets" });

  constructor(app) {
    this.app = app;
    this.text = area("", (text) => this.#write(text), {
      id: "prompt", placeholder: "Write a message", "aria-keyshortcuts": "Control+Enter",
    });
    this.halt = press("Stop all", () => stopAll(app.session), { draw: "stop", class: "halt", title: "Esc" });
    const send = press("Send", () => app.send(), {
      draw: "send", class: "primary", title: "Ctrl+Enter", "aria-label": "Send",
    });
    const address = { label: "A picture's address", icon: "link", act: () => this.#address() };
    const submit = (event) => event.preventDefault();
    this.element = h("form", { class: "composer", "aria-label": "Next message", on: { submit } },
      this.#pictures, h("label", { class: "unseen", for: "prompt" }, "Message"), this.text, this.#remark,
      h("div", { class: "row" },
        tool("image", "Add pictures", () => chooseFiles((files) => this.attach(files))),
        menu("More to add", () => [address]),
        this.#targets, h("span", { class: "space" }), this.halt, send));
    receive(this.element, (files) => this.attach(files));
  }

  /** Show the draft, and whom it can go to. */
  draw() {
    const { chats } = this.app.session;
    if (!chats.some((chat) => chat.id === this.#target)) this.#target = "";
    setArea(this.text, this.#draft().text);
    this.#targets.hidden = chats.length < 2;
    fill(this.#targets, chats.length < 2 ? null : this.#choices(chats));
    this.#attached();
    this.status();
  }

  /** Some answer has begun or is over. */
  status() {
    const count = running().filter(({ session }) => session === this.app.session).length;
    this.halt.hidden = !count;
    const label = count > 1 ? "Stop all" : "Stop";
    this.halt.lastChild.textContent = label;
    this.halt.setAttribute("aria-label", label);
  }

  /** The conversations that it goes to. */
  chosen() {
    const { chats } = this.app.session;
    return chats.filter((chat) => chat.id === this.#target || !this.#target);
  }

  /** The draft as far as it is for `chat`: {text, parts}, or null. */
  draftFor(chat) {
    return this.chosen().includes(chat) ? this.#draft() : null;
  }

  /** Put `text` into it. */
  write(text) {
    setArea(this.text, text);
    this.#write(text);
    this.focus();
  }

  clear() {
    this.app.session.draft = { text: "", parts: [] };
    this.draw();
  }

  focus() {
    this.text.focus();
  }

  /** Add the pictures in `files`. */
  async attach(files) {
    const parts = await readFiles(files, this.#draft().parts.length);
    this.#setParts([...this.#draft().parts, ...parts]); // what is there now: more may have come meanwhile
  }

  async #address() {
    const part = await askAddress();
    if (part) this.#setParts([...this.#draft().parts, part]);
    this.focus();
  }

  #draft() {
    return (this.app.session.draft ??= { text: "", parts: [] });
  }

  #write(text) {
    this.#draft().text = text;
    this.app.drafted();
  }

  #setParts(parts) {
    this.#draft().parts = parts;
    this.app.drafted();
    this.#attached();
  }

  #attached() {
    const { parts } = this.#draft();
    const remove = (part) => {
      this.#setParts(this.#draft().parts.filter((one) => one !== part));
      this.focus();
    };
    fill(this.#pictures, thumbs(parts, remove));
    const blind = parts.length ? this.chosen().filter((chat) => sees(chat.model) === false) : [];
    const names = blind.map((chat) => short(chat.model)).join(" and ");
    this.#remark.textContent = names && `${names}: takes no pictures, as far as the server knows.`;
  }

  #choices(chats) {
    const choice = (id, label, told) => h("label", { title: told }, h("input", {
      type: "radio", name: "target", value: id, checked: id === this.#target, "aria-label": told,
      on: { change: () => this.#aim(id) },
    }), h("span", {}, label));
    return [
      h("legend", { class: "unseen" }, "Send to"), h("span", { class: "faint small", "aria-hidden": "true" }, "To"),
      choice("", `all ${chats.length}`, `All ${chats.length} conversations`),
      chats.map(({ id, model }, place) => choice(id, `${place + 1}`, `Conversation ${place + 1}, ${short(model)}`)),
    ];
  }

  #aim(id) {
    this.#target = id;
    this.app.drafted();
    this.#attached();
  }
}
