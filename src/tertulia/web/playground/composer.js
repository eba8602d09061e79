// Where the next message is written, and to whom it goes.

import { fill, h, icon } from "/assets/shared/dom.js";
import { area, setArea } from "/assets/playground/area.js";
import { sees, short } from "/assets/playground/cards.js";
import { askAddress, chooser, readFiles, receive, thumbs } from "/assets/playground/images.js";
import { menu } from "/assets/playground/menu.js";
import { running, stopAll } from "/assets/playground/run.js";

/** The composer: {element, draw(), draft(chat), write(text), clear(), focus()}. */
export function composer(app) {
  const text = area("", (value) => {
    draft().text = value;
    app.drafted();
  }, { id: "prompt", placeholder: "Write a message", "aria-keyshortcuts": "Control+Enter" });
  const pictures = h("div", {});
  const remark = h("p", { class: "small warn", role: "status" });
  const targets = h("fieldset", { class: "targets" });
  const send = h("button", { type: "button", class: "primary", title: "Ctrl+Enter", on: { click: () => app.send() } }, icon("send"), "Send");
  const halt = h("button", { type: "button", class: "halt", title: "Esc", on: { click: stopAll } }, icon("stop"), h("span", {}, "Stop all"));
  const element = h("form", { class: "composer", "aria-label": "Next message", on: { submit: (event) => event.preventDefault() } },
    pictures, h("label", { class: "unseen", for: "prompt" }, "Message"), text, remark,
    h("div", { class: "row" },
      chooser(attach).button,
      menu("More to add", () => [{ label: "A picture's address", icon: "link", act: address }]),
      targets, h("span", { class: "space" }), halt, send));
  let target = "";

  function draft() {
    return (app.session.draft ??= { text: "", parts: [] });
  }

  async function attach(files) {
    const parts = await readFiles(files, draft().parts.length);
    draft().parts.push(...parts);
    changed();
  }

  async function address() {
    const part = await askAddress();
    if (part) draft().parts.push(part);
    changed();
    text.focus();
  }

  function changed() {
    app.drafted();
    attached();
  }

  function attached() {
    const { parts } = draft();
    fill(pictures, thumbs(parts, (part) => {
      draft().parts = draft().parts.filter((one) => one !== part);
      changed();
      text.focus();
    }));
    const blind = parts.length ? chosen().filter((chat) => sees(chat.model) === false) : [];
    remark.textContent = blind.length ? `${blind.map((chat) => short(chat.model)).join(" and ")}: takes no pictures, as far as the server knows.` : "";
  }

  function chosen() {
    const { chats } = app.session;
    const one = chats.find((chat) => chat.id === target);
    return one ? [one] : chats;
  }

  function draw() {
    const { chats } = app.session;
    if (!chats.some((chat) => chat.id === target)) target = "";
    setArea(text, draft().text);
    fill(targets, ...(chats.length > 1 ? choices(chats) : []));
    targets.hidden = chats.length < 2;
    attached();
    status();
  }

  function choices(chats) {
    const choice = (id, label, told) => h("label", { title: told },
      h("input", { type: "radio", name: "target", value: id, checked: id === target, "aria-label": told, on: { change: () => aim(id) } }), h("span", {}, label));
    return [h("legend", { class: "unseen" }, "Send to"), h("span", { class: "faint small", "aria-hidden": "true" }, "To"),
      choice("", `all ${chats.length}`, `All ${chats.length} conversations`),
      ...chats.map((chat, place) => choice(chat.id, String(place + 1), `Conversation ${place + 1}, ${short(chat.model)}`))];
  }

  function aim(id) {
    target = id;
    app.drafted();
    attached();
  }

  function status() {
    const count = running().filter(({ session }) => session === app.session).length;
    halt.hidden = !count;
    halt.lastChild.textContent = count > 1 ? "Stop all" : "Stop";
    halt.setAttribute("aria-label", halt.lastChild.textContent);
  }

  receive(element, attach);
  return {
    element,
    attach,
    draw,
    status,
    chosen,
    /** What `chat` would be sent next, or null. */
    draft: (chat) => (chosen().includes(chat) ? draft() : null),
    write(value) {
      draft().text = value;
      setArea(text, value);
      app.drafted();
      text.focus();
    },
    clear() {
      app.session.draft = { text: "", parts: [] };
      setArea(text, "");
      attached();
    },
    focus: () => text.focus(),
  };
}
