// The settings of a chat.

import { h } from "/assets/shared/dom.js";

/** A panel for what `chat.settings` may hold; `card` is the model's of /v1/models or null; `onChange(chat)` is called after a change. */
export function settingsPanel(chat, card, onChange) {
  return h("div", { class: "settings" });
}
