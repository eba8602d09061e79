// What the door does, in words; and what to say where somebody is not let in.

import { h } from "/assets/shared/dom.js";
import { askToken, token } from "/assets/shared/token.js";

const WORDS = {
  open: "Nobody needs a token yet: whatever runs on this machine may ask. As soon as there is one token, every " +
    "request must bring one, and that stays so when the last is revoked.",
  locked: "Every request must bring a token.",
  anybody: "This server was started with --open: anybody may ask without a token. A token counts what its owner " +
    "spends. Once there is one, to see this page and the status takes one with the permission admin.",
};

/** A notice of how the door is: `told` is what GET /api/tokens says. */
export function notice({ door }) {
  return h("p", { class: door === "locked" ? "notice" : "notice warn" }, WORDS[door]);
}

/** Say that no admin is left, if that `would` be so. */
export function orphaned(would) {
  return would && h("p", { class: "notice warn", role: "status" },
    "Then no token would have the permission admin: nobody could see this page or the status, or make another token " +
    "here. On the machine that serves, ", h("code", {}, "tertulia token new NAME --permission admin"), " still makes one.");
}

/** What went wrong, with what may help; `again` is called where that is to be tried. */
export function trouble(error, again) {
  const refused = error.status === 401 || error.status === 403;
  const other = async () => {
    if (await askToken(error.message)) again();
  };
  return h("div", { class: "error stack", role: "alert" }, h("span", {}, error.message),
    h("div", { class: "row" },
      refused && h("button", { type: "button", on: { click: other } }, token() ? "Use another token" : "Use a token"),
      h("button", { type: "button", on: { click: again } }, "Try again")));
}
