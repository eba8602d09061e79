// One conversation: its model, its system prompt, its messages, its foot.

import { fill, h, tool } from "/assets/shared/dom.js";
import { actsOn } from "/assets/playground/acts.js";
import { area } from "/assets/playground/area.js";
import { short } from "/assets/playground/cards.js";
import { menu } from "/assets/playground/menu.js";
import { messageView, offerResults } from "/assets/playground/message.js";
import { picker } from "/assets/playground/picker.js";
import { busy, stop } from "/assets/playground/run.js";
import { copyChat, failed, MOST_CHATS } from "/assets/playground/state.js";

const NEAR = 48;
const EXAMPLES = {
  "Explain something": "Explain what a hash table is in three sentences, for somebody who has never written a program.",
  "Write code": "Write a Python function that tells whether a word is a palindrome, with two examples of its use.",
  "Sum up a text": "Sum this up in one sentence:\n\nThe tertulia was a gathering of friends in a café, on the same evening of each week, to talk about books, politics or nothing in particular. Nobody was host and nobody was guest.",
};

/** A view of `chat`: {element, draw(), progress(message), place(n, of), update(), focus(message), tell(problems)}. */
export function columnView(chat, app) {
  const views = new Map();
  const acts = actsOn(chat, app, () => column);
  const choice = picker(chat, () => {
    label();
    app.changed(chat);
    app.panel.redraw(chat);
  });
  const badge = h("span", { class: "badge" });
  const system = area(chat.system, (text) => {
    chat.system = text;
    app.changed(chat);
  }, { class: "system", placeholder: "What the model is told before anything else" });
  const list = h("ol", { class: "messages" });
  const empty = h("div", { class: "empty" });
  const trouble = h("div", { class: "trouble", role: "alert" });
  const foot = h("div", { class: "row foot" });
  const inner = h("div", { class: "inner" },
    h("label", { class: "field prompt" }, h("span", {}, "System prompt"), system), empty, list, trouble, foot);
  const scroller = h("div", { class: "scroller", tabIndex: -1 }, inner);
  const element = h("section", { class: "column" },
    h("header", { class: "chooser" }, badge, ...choice.elements,
      tool("settings", "Settings of this conversation", () => app.panel.show("settings", chat)),
      tool("code", "Code of this conversation", () => app.panel.show("code", chat)),
      menu("More for this conversation", items)),
    scroller);
  let number = 1;
  let stuck = true;

  function items() {
    const alone = app.session.chats.length === 1;
    return [
      { label: "Copy into a column", icon: "copy", act: () => app.add(copyChat(chat), chat), disabled: app.session.chats.length >= MOST_CHATS },
      { label: "Delete all messages", icon: "remove", act: () => app.clear(chat), disabled: !chat.messages.length },
      { label: "Close this conversation", icon: "close", act: () => app.close(chat), disabled: alone },
    ];
  }

  function draw() {
    const kept = new Set(chat.messages.map((message) => message.id));
    for (const [id, { view }] of views) {
      if (kept.has(id)) continue;
      view.element.remove();
      views.delete(id);
    }
    chat.messages.forEach((message, place) => {
      if (views.get(message.id)?.message !== message) {
        views.get(message.id)?.view.element.remove();
        views.set(message.id, { message, view: messageView(message, acts) });
      }
      const { view } = views.get(message.id);
      if (list.children[place] !== view.element) list.insertBefore(view.element, list.children[place] ?? null);
      view.place(place + 1);
    });
    if (system.value !== chat.system) system.value = chat.system;
    below();
  }

  function below() {
    const last = chat.messages.at(-1);
    const idle = !busy(chat);
    element.classList.toggle("busy", !idle);
    fill(empty, ...(last ? [] : welcome(app, number)));
    list.hidden = !last;
    fill(foot, ...(idle ? [
      offerResults(chat.messages.findLast((message) => message.tool_calls?.length), acts),
      last && failed(last) && h("button", { type: "button", class: "primary", on: { click: () => app.ask(chat) } }, "Try again"),
      last && ["user", "tool"].includes(last.role) && h("button", { type: "button", class: "primary", on: { click: () => app.ask(chat) } }, "Get an answer"),
      h("button", { type: "button", class: "quiet", on: { click: () => acts.insert(null, 0) } }, "Add a message"),
    ] : [h("button", { type: "button", on: { click: () => stop(chat) } }, "Stop")]));
  }

  function label() {
    badge.textContent = number;
    element.setAttribute("aria-label", `Conversation ${number}: ${short(chat.model)}`);
  }

  scroller.addEventListener("scroll", () => {
    stuck = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
  }, { passive: true });
  new ResizeObserver(() => {
    if (stuck && busy(chat)) scroller.scrollTop = scroller.scrollHeight;
  }).observe(inner);

  const column = {
    chat,
    element,
    draw,
    progress: (message) => views.get(message.id)?.view.update(),
    /** The answer in `message` has begun or is over. */
    turned(message) {
      fill(trouble);
      stuck ||= Boolean(message.pending);
      draw();
      views.get(message.id)?.view.draw();
    },
    place(at, of) {
      number = at;
      badge.hidden = of === 1;
      label();
      below();
    },
    update() {
      choice.update();
      label();
    },
    focus: (message) => (views.get(message.id)?.view ?? { focus: () => scroller.focus() }).focus(),
    pick: () => choice.button.focus(),
    tell: (problems) => fill(trouble, problems.length ? wrong(problems, () => app.panel.show("settings", chat)) : null),
  };
  label();
  return column;
}

function wrong(problems, show) {
  return h("div", { class: "error" }, h("p", {}, "Not sent:"),
    h("ul", {}, problems.map(({ field, message }) => h("li", {}, h("code", {}, field), ` ${message}`))),
    h("button", { type: "button", on: { click: show } }, "Open the settings"));
}

function welcome(app, number) {
  if (number > 1) return [h("p", { class: "faint" }, "Nothing here yet: what you write below comes here, too.")];
  return [
    h("h2", {}, "What would you like to try?"),
    h("p", { class: "soft" }, "Write below, or begin with one of these. Nothing is sent before you say so."),
    h("div", { class: "row" }, Object.entries(EXAMPLES).map(([name, text]) =>
      h("button", { type: "button", title: text, on: { click: () => app.composer.write(text) } }, name))),
  ];
}
