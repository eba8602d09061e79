// One message: who says it, what it says, and what can be done with it.

import { copy, fill, h, tool } from "/assets/shared/dom.js";
import { answerView } from "/assets/playground/answer.js";
import { area } from "/assets/playground/area.js";
import { answerOf } from "/assets/playground/given.js";
import { askAddress, chooseFiles, readFiles, receive, thumbs } from "/assets/playground/images.js";
import { menu } from "/assets/playground/menu.js";
import { press } from "/assets/playground/press.js";
import { take } from "/assets/playground/run.js";
import { MOST_CHATS, openCalls, partsOf, rewrite, ROLES } from "/assets/playground/state.js";
import { setParts, setRole, setText, textOf } from "/assets/playground/state.js";

const HINTS = {
  user: "Write what the user says",
  assistant: "Write what the assistant says",
  system: "Write instructions",
  tool: "Write what the tool gave back",
};
const CUT = "The page was left while this came: here is what had come.";

/** The view of a message. `acts` are its conversation's. */
export class MessageView {
  #number = 0;
  #editing = false;
  #answer = null;
  #body = h("div", { class: "said" });
  #tools = h("div", { class: "tools", role: "group" });

  constructor(message, acts) {
    this.message = message;
    this.acts = acts;
    const roles = ROLES.map((one) => h("option", { value: one }, one));
    this.role = h("select", { class: "role", on: { change: () => this.#turn() } }, roles);
    const head = h("div", { class: "head" }, this.role, this.#tools);
    this.element = h("li", { class: "message", on: { keydown: (event) => this.#key(event) } }, head, this.#body);
    receive(this.element, (files) => message.role === "user" && this.#attach(files));
  }

  /** Be the message number `at`. */
  place(at) {
    if (at === this.#number) return;
    this.#number = at;
    this.role.setAttribute("aria-label", `Role of message ${at}`);
    this.#tools.setAttribute("aria-label", `Message ${at}`);
    this.draw();
  }

  /** The answer in it got on. */
  update() {
    if (this.#answer) this.#answer.update();
    else this.draw();
  }

  draw() {
    const { message } = this;
    this.element.dataset.role = message.role;
    this.role.value = message.role;
    this.role.disabled = Boolean(message.pending);
    if (message.cut) message.answer ??= answerOf(message);
    const answered = message.role === "assistant" && Boolean(message.answer);
    if (!answered || this.#editing) {
      this.#answer = null;
      fill(this.#body, this.#fields());
    } else if (this.#answer?.answer !== message.answer) fill(this.#body, this.#shown());
    this.#answer?.update();
    fill(this.#tools, message.pending ? null : this.#buttons(answered));
  }

  focus() {
    (this.#body.querySelector("textarea") ?? this.#tools.querySelector("button"))?.focus();
  }

  #shown() {
    this.#answer = answerView(this.message.answer, this.message.choice);
    const { element } = this.#answer;
    element.addEventListener("choice", ({ detail }) => {
      this.message.choice = detail.index;
      take(this.message);
      this.acts.drawn();
      this.draw();
    });
    const { cut, name } = this.message;
    const named = name !== undefined && this.#line("Name", "name");
    return [cut && h("p", { class: "notice small" }, CUT), named, element, this.#thumbs()];
  }

  #buttons(answered) {
    const { message, acts } = this;
    const said = `message ${this.#number}`;
    const pressed = { "aria-pressed": String(this.#editing) };
    return [
      answered && tool("edit", `Edit ${said}`, () => (this.#editing ? this.#done() : this.#edit()), pressed),
      tool("copy", `Copy ${said}`, () => copy(textOf(message))),
      goesOn(message) && tool("play", `Continue ${said}`, () => acts.goOn(message)),
      message.role !== "system" && tool("again", `Regenerate from ${said}`, () => acts.again(message)),
      tool("remove", `Delete ${said}`, () => acts.remove(message)),
      menu(`More for ${said}`, () => this.#items()),
    ];
  }

  #items() {
    const { message, acts } = this;
    const { chat, app } = acts;
    const user = message.role === "user";
    const [first, last] = [chat.messages[0] === message, chat.messages.at(-1) === message];
    const full = app.session.chats.length >= MOST_CHATS;
    const named = message.name !== undefined || message.role === "tool";
    return [
      { label: "Insert above", icon: "add", act: () => acts.insert(message, 0) },
      { label: "Insert below", icon: "add", act: () => acts.insert(message, 1) },
      { label: "Move up (Alt+↑)", icon: "up", act: () => acts.move(message, -1), disabled: first },
      { label: "Move down (Alt+↓)", icon: "down", act: () => acts.move(message, 1), disabled: last },
      { label: "Branch into a column", icon: "branch", act: () => acts.branch(message, "column"), disabled: full },
      { label: "Branch into a session", icon: "branch", act: () => acts.branch(message, "session") },
      user && { label: "Add pictures", icon: "image", act: () => chooseFiles((files) => this.#attach(files)) },
      user && { label: "Add a picture's address", icon: "link", act: () => this.#address() },
      !named && { label: "Give it a name", icon: "edit", act: () => this.#name() },
    ];
  }

  #turn() {
    setRole(this.message, this.role.value);
    this.acts.drawn();
    this.draw();
    this.role.focus();
  }

  #edit() {
    this.#editing = true;
    this.draw();
    this.#body.querySelector("textarea").focus();
  }

  #done() {
    this.#editing = false;
    this.draw();
    this.#tools.querySelector("button").focus();
  }

  async #attach(files) {
    const parts = await readFiles(files, partsOf(this.message).length);
    this.#setParts([...partsOf(this.message), ...parts]);
  }

  async #address() {
    const part = await askAddress();
    if (part) this.#setParts([...partsOf(this.message), part]);
  }

  #setParts(parts) {
    setParts(this.message, parts);
    this.acts.changed();
    this.draw();
  }

  #name() {
    this.message.name = "";
    this.draw();
    this.#body.querySelector("input").focus();
  }

  #key(event) {
    if (event.key === "Escape" && this.#editing) {
      event.stopPropagation();
      this.#done();
    }
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || !event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.acts.move(this.message, by);
  }

  /** What of it can be edited. */
  #fields() {
    const { message } = this;
    return [
      message.role === "tool" && this.#line("Call", "tool_call_id"),
      (message.role === "tool" || message.name !== undefined) && this.#line("Name", "name"),
      area(textOf(message), (text) => this.#write(text), {
        "aria-label": `Text of message ${this.#number}`, placeholder: HINTS[message.role],
        spellcheck: message.role !== "tool",
      }),
      this.#thumbs(),
      message.tool_calls?.length ? this.#calls() : null,
      this.#editing && h("div", { class: "row end" }, press("Done", () => this.#done())),
    ];
  }

  #thumbs() {
    const remove = (part) => this.#setParts(partsOf(this.message).filter((one) => one !== part));
    return thumbs(partsOf(this.message), remove);
  }

  #write(text) {
    setText(this.message, text);
    if (this.message.answer) rewrite(this.message);
    this.acts.changed();
  }

  #line(label, field) {
    const { message, acts } = this;
    const input = ({ target }) => {
      message[field] = target.value;
      if (field === "name" && !target.value && message.role !== "tool") delete message.name;
      acts.changed();
    };
    const value = message[field] ?? "";
    return h("label", { class: "line" }, h("span", {}, label),
      h("input", { value, spellcheck: false, autocomplete: "off", on: { input } }));
  }

  #calls() {
    const wrong = h("p", { class: "error small", role: "alert", hidden: true });
    const change = (text) => {
      try {
        this.message.tool_calls = readCalls(text);
        this.#write(textOf(this.message));
        wrong.hidden = true;
      } catch (error) {
        fill(wrong, `Not taken: ${error.message}`);
        wrong.hidden = false;
      }
    };
    const properties = { class: "code", spellcheck: false, "aria-label": `Calls of message ${this.#number}` };
    const text = area(JSON.stringify(this.message.tool_calls, null, 2), change, properties);
    return h("div", { class: "stack" }, text, wrong);
  }
}

/** Whether a message has an end behind which more can be said. */
function goesOn({ role, tool_calls: calls }) {
  return role === "assistant" && !calls?.length;
}

function readCalls(text) {
  const calls = JSON.parse(text);
  if (!Array.isArray(calls)) throw new Error("it has to be a list of calls");
  const named = calls.every((one) => typeof one?.function?.name === "string");
  if (!named) throw new Error("each call needs a function with a name");
  return calls;
}

/** A button that adds results for the calls of `message` that have none; null if there are no such. */
export function offerResults(message, acts) {
  const open = message && !message.pending ? openCalls(acts.chat, message) : [];
  if (!open.length) return null;
  const label = open.length === 1 ? `Add the result of ${open[0].function.name}` : `Add the ${open.length} results`;
  return press(label, () => acts.results(message));
}
