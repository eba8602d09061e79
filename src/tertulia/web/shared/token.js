// The token of this tab: asked for once, gone with the tab, and sent nowhere but here.

import { h } from "/assets/shared/dom.js";

const KEY = "tertulia-token";
const SENDABLE = /^[\x21-\x7e]+$/;

let asking = null;
let declined = -1;
let here = ""; // of this page, where the browser lets nothing be stored

export function token() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return here;
  }
}

export function keepToken(value) {
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    here = value;
  }
}

export function dropToken() {
  here = "";
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // nothing was stored
  }
}

/**
 * Ask the person for a token; true if there is another one now. Many who need it at once have one answer, and who was
 * refused `sent` (performance.now()) before a person said no is not asked for again. `why` is the server's message,
 * `used` the token that it is about.
 */
export function askToken(why, { used = token(), sent = performance.now() } = {}) {
  if (token() !== used) return Promise.resolve(token() !== "");
  if (sent <= declined) return Promise.resolve(false);
  asking ??= show(why, used).finally(() => {
    asking = null;
  });
  return asking;
}

function show(why, used) {
  const input = h("input", {
    id: "token", type: "password", autocomplete: "off", autocapitalize: "off", spellcheck: false, required: true,
    "aria-describedby": "token-why", on: { input: () => input.setCustomValidity("") },
  });
  const form = h("form", { method: "dialog" },
    h("h2", { id: "token-title" }, used ? "Another token is needed" : "This server wants a token"),
    h("p", { id: "token-why", class: used ? "error" : "soft" }, why.replace(/: send the header .*/, ".")),
    h("div", { class: "field" },
      h("label", { for: "token" }, "Token"), input,
      h("span", { class: "help" },
        "Kept for this tab only. ", h("code", {}, "tertulia token new NAME"), " makes one.")),
    h("div", { class: "row end" },
      h("button", { type: "button", on: { click: () => dialog.close("") } }, "Cancel"),
      h("button", { type: "submit", class: "primary" }, "Use it")));
  const dialog = h("dialog", { class: "small", "aria-labelledby": "token-title" }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = input.value.trim();
    if (SENDABLE.test(given)) dialog.close(given);
    else {
      input.setCustomValidity("A token is letters, digits and signs of ASCII, without spaces");
      input.reportValidity();
    }
  });
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(settle(dialog)));
    dialog.showModal();
  });
}

/** The dialog is over: keep what was given, or remember that nothing was. */
function settle(dialog) {
  const given = dialog.returnValue;
  dialog.remove();
  if (given) keepToken(given);
  else declined = performance.now();
  return given !== "";
}
