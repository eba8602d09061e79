// One message: who says it, what it says, and what can be done with it.

import { copy, fill, h, tool } from "/assets/shared/dom.js";
import { answerView } from "/assets/playground/answer.js";
import { area } from "/assets/playground/area.js";
import { answerOf } from "/assets/playground/check.js";
import { askAddress, chooser, readFiles, receive, thumbs } from "/assets/playground/images.js";
import { menu } from "/assets/playground/menu.js";
import { stop, take } from "/assets/playground/run.js";
import { MOST_CHATS, openCalls, partsOf, rewrite, ROLES, setParts, setRole, setText, textOf } from "/assets/playground/state.js";

const HINTS = { user: "Write what the user says", assistant: "Write what the assistant says", system: "Write instructions", tool: "Write what the tool gave back" };

/** A view of `message`: {element, update() as its answer gets on, draw() after all else, place(n), focus()}. */
export function messageView(message, acts) {
  const role = h("select", { class: "role", on: { change: () => turn(role.value) } },
    ROLES.map((one) => h("option", { value: one }, one)));
  const body = h("div", { class: "said" });
  const tools = h("div", { class: "tools", role: "group" });
  const element = h("li", { class: "message", on: { keydown: key } }, h("div", { class: "head" }, role, tools), body);
  let view = null;
  let number = 0;
  let editing = false;

  function turn(to) {
    setRole(message, to);
    acts.drawn();
    draw();
    role.focus();
  }

  function draw() {
    const shown = answered(message) && !editing;
    element.dataset.role = message.role;
    element.classList.toggle("running", Boolean(message.pending));
    role.value = message.role;
    role.disabled = Boolean(message.pending);
    view = shown ? answerView(message.answer) : null;
    view?.element.addEventListener("choice", ({ detail }) => choose(detail?.index ?? detail));
    fill(body, ...(shown ? answer() : fields(message, acts, draw, number, done)));
    view?.update();
    fill(tools, ...buttons());
  }

  function answer() {
    return [message.cut && h("p", { class: "notice small" }, "The page was left while this came: here is what had come."), view.element];
  }

  function choose(index) {
    message.choice = index;
    take(message);
    acts.changed();
  }

  function edit() {
    editing = true;
    draw();
    body.querySelector("textarea")?.focus();
  }

  function done() {
    if (!editing) return;
    editing = false;
    draw();
    tools.querySelector("button")?.focus();
  }

  function buttons() {
    if (message.pending) return [tool("stop", `Stop message ${number}`, () => stop(acts.chat))];
    const mine = message.role === "assistant";
    const said = `message ${number}`;
    return [
      answered(message) && tool("edit", editing ? `Show ${said}` : `Edit ${said}`, () => (editing ? done() : edit()), { "aria-pressed": String(editing) }),
      tool("copy", `Copy ${said}`, () => copy(textOf(message))),
      mine && tool("play", `Continue ${said}`, () => acts.goOn(message)),
      message.role !== "system" && tool("again", `Regenerate from ${said}`, () => acts.again(message)),
      tool("remove", `Delete ${said}`, () => acts.remove(message)),
      menu(`More for ${said}`, items),
    ].filter(Boolean);
  }

  function items() {
    const { messages } = acts.chat;
    const at = messages.indexOf(message);
    const full = acts.app.session.chats.length >= MOST_CHATS;
    return [
      { label: "Insert above", icon: "add", act: () => acts.insert(message, 0) },
      { label: "Insert below", icon: "add", act: () => acts.insert(message, 1) },
      { label: "Move up (Alt+↑)", icon: "up", act: () => acts.move(message, -1), disabled: at === 0 },
      { label: "Move down (Alt+↓)", icon: "down", act: () => acts.move(message, 1), disabled: at === messages.length - 1 },
      { label: "Branch into a column", icon: "branch", act: () => acts.branch(message, "column"), disabled: full },
      { label: "Branch into a session", icon: "branch", act: () => acts.branch(message, "session") },
      message.role === "user" && { label: "Add pictures", icon: "image", act: () => chooser(attach).choose() },
      message.role === "user" && { label: "Add a picture's address", icon: "link", act: address },
      message.name === undefined && message.role !== "tool" && { label: "Give it a name", icon: "edit", act: name },
    ];
  }

  async function attach(files) {
    setParts(message, [...partsOf(message), ...(await readFiles(files, partsOf(message).length))]);
    acts.changed();
    draw();
  }

  async function address() {
    const part = await askAddress();
    if (!part) return;
    setParts(message, [...partsOf(message), part]);
    acts.changed();
    draw();
  }

  function name() {
    message.name = "";
    draw();
    body.querySelector("input")?.focus();
  }

  function key(event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.key === "Escape" && editing) {
      event.stopPropagation();
      done();
    }
    if (!by || !event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    acts.move(message, by);
  }

  receive(element, (files) => message.role === "user" && attach(files));
  return {
    element,
    draw,
    update: () => (view ? view.update() : draw()),
    focus: () => (body.querySelector("textarea") ?? tools.querySelector("button"))?.focus(),
    place(at) {
      if (at === number) return;
      number = at;
      role.setAttribute("aria-label", `Role of message ${number}`);
      tools.setAttribute("aria-label", `Message ${number}`);
      draw();
    },
  };
}

function answered(message) {
  if (message.cut) message.answer ??= answerOf(message);
  return message.role === "assistant" && Boolean(message.answer);
}

/** What of a message can be edited. */
function fields(message, acts, draw, number, done) {
  const write = (text) => {
    setText(message, text);
    if (message.answer) rewrite(message);
    acts.changed();
  };
  const text = area(textOf(message), write, {
    "aria-label": `Text of message ${number}`, placeholder: HINTS[message.role], spellcheck: message.role !== "tool",
  });
  const drop = (part) => {
    setParts(message, partsOf(message).filter((one) => one !== part));
    acts.changed();
    draw();
  };
  return [
    message.role === "tool" && line("Call", "tool_call_id", message, acts),
    (message.role === "tool" || message.name !== undefined) && line("Name", "name", message, acts),
    text,
    thumbs(partsOf(message), drop),
    message.role === "assistant" && message.tool_calls?.length ? calls(message, acts, number) : null,
    message.answer && h("div", { class: "row end" }, h("button", { type: "button", on: { click: done } }, "Done")),
  ];
}

function line(label, field, message, acts) {
  const change = ({ target }) => {
    message[field] = target.value;
    if (field === "name" && !target.value && message.role !== "tool") delete message.name;
    acts.changed();
  };
  return h("label", { class: "line" }, h("span", {}, label), h("input", { value: message[field] ?? "", spellcheck: false, autocomplete: "off", on: { input: change } }));
}

function calls(message, acts, number) {
  const wrong = h("p", { class: "error small", role: "alert", hidden: true });
  const change = (text) => {
    try {
      const read = JSON.parse(text);
      if (!Array.isArray(read)) throw new Error("it has to be a list of calls");
      if (!read.every((one) => typeof one?.function?.name === "string")) throw new Error("each call needs a function with a name");
      message.tool_calls = read;
      if (message.answer) rewrite(message);
      wrong.hidden = true;
      acts.changed();
    } catch (error) {
      fill(wrong, `Not taken: ${error.message}`);
      wrong.hidden = false;
    }
  };
  const text = area(JSON.stringify(message.tool_calls, null, 2), change, { class: "code", spellcheck: false, "aria-label": `Calls of message ${number}` });
  return h("div", { class: "stack" }, text, wrong);
}

/** What is offered below `message` when it is the last one: results for its calls. Null if there is nothing. */
export function offerResults(message, acts) {
  const open = message && !message.pending ? openCalls(acts.chat, message) : [];
  if (!open.length) return null;
  const label = open.length === 1 ? `Add the result of ${open[0].function.name}` : `Add the ${open.length} results`;
  return h("button", { type: "button", on: { click: () => acts.results(message) } }, label);
}
