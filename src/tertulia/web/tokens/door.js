// What the door does, in words; and what to say where somebody is not let in.

import { h } from "/assets/shared/dom.js";

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
