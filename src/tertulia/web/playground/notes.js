// What is said for a moment, and can be taken back while it is said.

import { h, say } from "/assets/shared/dom.js";

const SHOWN = 10_000;
let bar = null;
let timer = 0;

/** Say `text`, with a button that calls `undo`. */
export function offer(text, undo) {
  bar ??= document.body.appendChild(h("div", { class: "undo", role: "status" }));
  const take = () => {
    dismiss();
    undo();
    say("It is back");
  };
  bar.replaceChildren(h("span", {}, text), h("button", { type: "button", on: { click: take } }, "Undo"));
  bar.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(dismiss, SHOWN);
}

/** Say it no longer: what could be taken back is no longer in sight. */
export function dismiss() {
  clearTimeout(timer);
  if (!bar) return;
  bar.hidden = true;
  bar.replaceChildren();
}
