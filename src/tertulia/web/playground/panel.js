// Beside the conversations: the settings of one of them, or the code that sends what it would send.

import { fill, h, tool } from "/assets/shared/dom.js";
import { snippetPanel } from "/assets/shared/snippets.js";
import { card, short } from "/assets/playground/cards.js";
import { body } from "/assets/playground/request.js";
import { settingsPanel } from "/assets/playground/settings.js";
import { sendable } from "/assets/playground/state.js";

const SOON = 400;
const KINDS = { settings: "Settings", code: "Code" };

/** The panel: {element, show(kind, chat), hide(), changed(chat), redraw(chat), chat()}. */
export function panel(app) {
  const heading = h("h2", { id: "panel-title" });
  const tabs = h("div", { class: "row", role: "group", "aria-label": "What is shown" });
  const content = h("div", { class: "content" });
  const problems = h("div", { class: "trouble" });
  const element = h("aside", { class: "panel", hidden: true, tabIndex: -1, "aria-labelledby": "panel-title", on: { keydown: key } },
    h("div", { class: "row apart top" }, heading, tool("close", "Close the panel", hide)), tabs, problems, content);
  let shown = null;
  let back = null;
  let timer = 0;

  function show(kind, chat) {
    if (element.hidden) back = document.activeElement;
    if (shown?.kind === kind && shown.chat === chat && !element.hidden) return hide();
    shown = { kind, chat };
    element.hidden = false;
    draw();
    element.focus();
  }

  function draw() {
    const { kind, chat } = shown;
    const place = app.session.chats.indexOf(chat) + 1;
    heading.textContent = app.session.chats.length > 1 ? `${place} · ${short(chat.model)}` : short(chat.model);
    fill(tabs, Object.entries(KINDS).map(([name, label]) => {
      const pick = () => {
        shown.kind = name;
        draw();
        tabs.querySelector("[aria-pressed=true]").focus();
      };
      return h("button", { type: "button", "aria-pressed": String(name === kind), on: { click: pick } }, label);
    }));
    fill(problems);
    if (kind === "settings") fill(content, settingsPanel(chat, card(chat.model), () => app.changed(chat)));
    else {
      shown.code = snippetPanel(asked);
      fill(content, h("p", { class: "faint small" }, "What would be sent next, or what was sent last."), shown.code.element);
      refresh();
    }
  }

  function asked() {
    const { chat } = shown;
    return body(sendable(chat, app.composer.draft(chat))).body;
  }

  function refresh() {
    if (shown?.kind !== "code" || element.hidden) return;
    const { chat } = shown;
    const wrong = body(sendable(chat, app.composer.draft(chat))).problems;
    fill(problems, wrong.length ? h("p", { class: "notice warn small" }, wrong.map(({ field, message }) => `${field}: ${message}`).join("; ")) : null);
    shown.code.refresh();
  }

  function hide() {
    element.hidden = true;
    shown = null;
    fill(content);
    if (back?.isConnected) back.focus();
  }

  function key(event) {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    event.stopPropagation();
    hide();
  }

  return {
    element,
    show,
    hide,
    /** Something in `chat` is another than it was; without it in the composer. */
    changed(chat = shown?.chat) {
      if (shown?.kind !== "code" || shown.chat !== chat) return;
      clearTimeout(timer);
      timer = setTimeout(refresh, SOON);
    },
    /** The model of `chat` is another one. */
    redraw: (chat) => shown?.chat === chat && draw(),
    /** Other conversations are shown: close, if this one's is not among them. */
    settle() {
      if (!shown) return;
      if (app.session.chats.includes(shown.chat)) draw();
      else {
        back = null;
        hide();
      }
    },
  };
}
