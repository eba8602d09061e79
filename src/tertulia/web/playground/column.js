// One conversation: its model, its system prompt, its messages, its foot.

import { fill, h, tool } from "/assets/shared/dom.js";
import { Acts } from "/assets/playground/acts.js";
import { area, setArea } from "/assets/playground/area.js";
import { short } from "/assets/playground/cards.js";
import { follow } from "/assets/playground/follow.js";
import { menu } from "/assets/playground/menu.js";
import { MessageView, offerResults } from "/assets/playground/message.js";
import { Picker } from "/assets/playground/picker.js";
import { press } from "/assets/playground/press.js";
import { busy, stop } from "/assets/playground/run.js";
import { copyChat, failed, MOST_CHATS } from "/assets/playground/state.js";

const EXAMPLES = {
  "Explain something": "Explain what a hash table is in three sentences, for somebody who has never written a program.",
  "Write code": "Write a Python function that tells whether a word is a palindrome, with two examples of its use.",
  "Sum up a text":
    "Sum this up in one sentence:\n\nThe tertulia was a gathering of friends in a café, on the same evening of each " +
    "week, to talk about books, politics or nothing in particular. Nobody was host and nobody was guest.",
};

/** The view of `chat`; `app` is the page's. */
export class Column {
  #views = new Map();
  #follow = () => {};
  #number = 1;
  #badge = h("span", { class: "badge" });
  #list = h("ol", { class: "messages" });
  #empty = h("div", { class: "empty" });
  #trouble = h("div", { class: "trouble", role: "alert" });
  #foot = h("div", { class: "row foot" });

  constructor(chat, app) {
    this.chat = chat;
    this.app = app;
    this.acts = new Acts(chat, app, this);
    this.picker = new Picker(chat, () => this.#chosen());
    this.system = area(chat.system, (text) => this.#instruct(text), {
      class: "system", placeholder: "What the model is told before anything else",
    });
    this.scroller = this.#scroller();
    this.element = h("section", { class: "column" },
      h("header", { class: "chooser" }, this.#badge, this.picker.elements,
        tool("settings", "Settings of this conversation", () => app.panel.show("settings", chat)),
        tool("code", "Code of this conversation", () => app.panel.show("code", chat)),
        menu("More for this conversation", () => this.#items())),
      this.scroller);
    this.#label();
  }

  /** Show all messages as they are now. */
  draw() {
    const { messages } = this.chat;
    for (const [message, view] of this.#views) {
      if (messages.includes(message)) continue;
      view.element.remove();
      this.#views.delete(message);
    }
    messages.forEach((message, place) => {
      if (!this.#views.has(message)) this.#views.set(message, new MessageView(message, this.acts));
      const view = this.#views.get(message);
      const there = this.#list.children[place] ?? null;
      if (there !== view.element) this.#list.insertBefore(view.element, there);
      view.place(place + 1);
    });
    setArea(this.system, this.chat.system);
    this.#below();
  }

  /** The answer in `message` got on. */
  progress(message) {
    this.#views.get(message)?.update();
  }

  /** The answer in `message` has begun or is over. */
  turned(message) {
    fill(this.#trouble);
    this.draw();
    this.#views.get(message)?.draw();
    if (message.pending) this.#follow();
  }

  /** Be the conversation number `at`, of `all`. */
  place(at, all) {
    this.#number = at;
    this.#badge.hidden = all === 1;
    this.#label();
  }

  /** More is known of the models. */
  update() {
    this.picker.draw();
    this.#label();
  }

  focus(message) {
    (this.#views.get(message) ?? this.scroller).focus();
  }

  /** Say why nothing was sent; [] takes it away. */
  tell(problems) {
    const show = () => this.app.panel.show("settings", this.chat);
    fill(this.#trouble, !problems.length ? null : h("div", { class: "error" }, h("p", {}, "Not sent:"),
      h("ul", {}, problems.map(({ field, message }) => h("li", {}, h("code", {}, field), ` ${message}`))),
      press("Open the settings", show)));
  }

  #scroller() {
    const inner = h("div", { class: "inner" },
      h("label", { class: "field prompt" }, h("span", {}, "System prompt"), this.system),
      this.#empty, this.#list, this.#trouble, this.#foot);
    const scroller = h("div", { class: "scroller", tabIndex: -1 }, inner);
    this.#follow = follow(scroller, inner, () => busy(this.chat));
    return scroller;
  }

  #items() {
    const { chat, app } = this;
    const { length } = app.session.chats;
    const copied = () => app.add(copyChat(chat), chat);
    return [
      { label: "Copy into a column", icon: "copy", act: copied, disabled: length >= MOST_CHATS },
      { label: "Delete all messages", icon: "remove", act: () => this.acts.clear(), disabled: !chat.messages.length },
      { label: "Close this conversation", icon: "close", act: () => app.close(chat), disabled: length === 1 },
    ];
  }

  #instruct(text) {
    this.chat.system = text;
    this.app.changed(this.chat);
  }

  #chosen() {
    this.#label();
    this.app.changed(this.chat);
    this.app.redraw(this.chat);
  }

  #label() {
    this.#badge.textContent = this.#number;
    this.element.setAttribute("aria-label", `Conversation ${this.#number}: ${short(this.chat.model)}`);
  }

  #below() {
    const last = this.chat.messages.at(-1);
    this.#list.hidden = !last;
    fill(this.#empty, last ? null : this.#welcome());
    fill(this.#foot, busy(this.chat) ? press("Stop", () => stop(this.chat), { draw: "stop" }) : this.#offers(last));
  }

  #offers(last) {
    const { chat, app, acts } = this;
    const ask = (label) => press(label, () => app.ask(chat), { class: "primary" });
    return [
      offerResults(chat.messages.findLast((message) => message.tool_calls?.length), acts),
      last && failed(last) && ask("Try again"),
      last && ["user", "tool"].includes(last.role) && ask("Get an answer"),
      press("Add a message", () => acts.insert(null, 0), { class: "quiet" }),
    ];
  }

  #welcome() {
    if (this.#number > 1) return h("p", { class: "faint" }, "Nothing here yet: what you write below comes here, too.");
    const examples = Object.entries(EXAMPLES);
    return [
      h("h2", {}, "What would you like to try?"),
      h("p", { class: "soft" }, "Write below, or begin with one of these. Nothing is sent before you say so."),
      h("div", { class: "row" },
        examples.map(([name, text]) => press(name, () => this.app.composer.write(text), { title: text }))),
    ];
  }
}
