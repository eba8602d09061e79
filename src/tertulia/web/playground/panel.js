// Beside the conversations: the settings of one of them, or the code that sends what it would send.

import { fill, h, tool } from "/assets/shared/dom.js";
import { snippetPanel } from "/assets/shared/snippets.js";
import { card, short } from "/assets/playground/cards.js";
import { press } from "/assets/playground/press.js";
import { body } from "/assets/playground/request.js";
import { settingsPanel } from "/assets/playground/settings.js";
import { sendable } from "/assets/playground/state.js";

const SOON = 400; // milliseconds after the last change
const KINDS = { settings: "Settings", code: "Code" };

/** The panel beside the conversations of `app`, closed. */
export class Panel {
  #kind = "";
  #chat = null;
  #code = null;
  #back = null;
  #timer = 0;
  #heading = h("h2", { id: "panel-title" });
  #tabs = h("div", { class: "row", role: "group", "aria-label": "What is shown" });
  #trouble = h("div", { class: "trouble" });
  #content = h("div", { class: "content" });

  constructor(app) {
    this.app = app;
    const keydown = (event) => this.#key(event);
    const close = tool("close", "Close the panel", () => this.hide());
    const top = h("div", { class: "row apart top" }, this.#heading, close);
    const properties = { class: "panel", hidden: true, tabIndex: -1, "aria-labelledby": "panel-title" };
    this.element = h("aside", { ...properties, on: { keydown } }, top, this.#tabs, this.#trouble, this.#content);
  }

  /** Show "settings" or "code" of `chat`; close, where that is shown. */
  show(kind, chat) {
    if (this.#kind === kind && this.#chat === chat) return this.hide();
    if (!this.#chat) this.#back = document.activeElement;
    this.#kind = kind;
    this.#chat = chat;
    this.element.hidden = false;
    this.draw();
    return this.element.focus();
  }

  hide() {
    this.element.hidden = true;
    this.#kind = "";
    this.#chat = null;
    fill(this.#content);
    if (this.#back?.isConnected) this.#back.focus();
  }

  /** Something in `chat`, or in the draft, is another than it was. */
  changed(chat = this.#chat) {
    if (this.#kind !== "code" || this.#chat !== chat) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refresh(), SOON);
  }

  /** The model of `chat` is another one. */
  redraw(chat) {
    if (this.#chat === chat) this.draw();
  }

  /** Other conversations are shown: close, if this one's is not among them. */
  settle() {
    if (this.#chat && !this.app.session.chats.includes(this.#chat)) this.hide();
    else if (this.#chat) this.#entitle();
  }

  draw() {
    const chat = this.#chat;
    this.#entitle();
    fill(this.#tabs, Object.entries(KINDS).map(([kind, label]) =>
      press(label, () => this.#turn(kind), { "aria-pressed": String(kind === this.#kind) })));
    fill(this.#trouble);
    if (this.#kind === "settings") {
      fill(this.#content, settingsPanel(chat, card(chat.model), () => this.app.changed(chat)));
    } else {
      this.#code = snippetPanel(() => this.#asked().body);
      const told = h("p", { class: "faint small" }, "What would be sent next, or what was sent last.");
      fill(this.#content, told, this.#code.element);
      this.#refresh();
    }
  }

  #entitle() {
    const { chats } = this.app.session;
    const number = chats.length > 1 ? `${chats.indexOf(this.#chat) + 1} · ` : "";
    this.#heading.textContent = number + short(this.#chat.model);
  }

  #turn(kind) {
    this.#kind = kind;
    this.draw();
    this.#tabs.querySelector("[aria-pressed=true]").focus();
  }

  #asked() {
    return body(sendable(this.#chat, this.app.composer.draftFor(this.#chat)));
  }

  #refresh() {
    if (this.#kind !== "code") return;
    const told = this.#asked().problems.map(({ field, message }) => `${field}: ${message}`).join("; ");
    fill(this.#trouble, told ? h("p", { class: "notice warn small" }, told) : null);
    this.#code.refresh();
  }

  #key(event) {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    event.stopPropagation();
    this.hide();
  }
}
