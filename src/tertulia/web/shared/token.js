// The token of this tab: asked for once, gone with the tab, and sent nowhere but here.

import { h } from "/assets/shared/dom.js";

const KEY = "tertulia-token";

export function token() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function keepToken(value) {
  sessionStorage.setItem(KEY, value);
}

export function dropToken() {
  sessionStorage.removeItem(KEY);
}

let asking = null;

/** Ask the person for a token, once for all who need it; true if one was given. `why` is the server's message. */
export function askToken(why) {
  asking ??= show(why).finally(() => {
    asking = null;
  });
  return asking;
}

function show(why) {
  const input = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: false, required: true });
  const form = h("form", { method: "dialog" },
    h("h2", { id: "token-title" }, "This server wants a token"),
    h("p", {}, why),
    h("label", { for: "token" }, "Token"), input,
    h("p", { class: "faint" }, "It is kept for this tab only. `tertulia token new NAME` makes one."),
    h("div", { class: "row end" },
      h("button", { type: "button", on: { click: () => dialog.close("") } }, "Cancel"),
      h("button", { type: "submit", class: "primary" }, "Use it")));
  const dialog = h("dialog", { class: "small", "aria-labelledby": "token-title" }, form);
  form.addEventListener("submit", () => keepToken(input.value.trim()));
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(input.value.trim() !== "" && token() === input.value.trim());
    });
    dialog.showModal();
  });
}
