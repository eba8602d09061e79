// What keys do on this page.

import { h } from "/assets/shared/dom.js";
import { menuOpen } from "/assets/playground/menu.js";

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const LIST = [
  [[MAC ? "⌘" : "Ctrl", "Enter"], "Send"],
  [["Esc"], "Stop the answers on their way"],
  [["/"], "Write (Alt+/ from within a field)"],
  [["Alt", "N"], "New session"],
  [["Alt", "C"], "Compare: one more conversation"],
  [["Alt", "↑"], "Move the message up that you are in"],
  [["Alt", "↓"], "Move it down"],
  [["?"], "This list"],
];

/** Listen to keys: `acts` are {send, stop, focus, fresh, compare}; `stop` says whether there was something to stop. */
export function listenKeys(acts) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented || menuOpen() || document.querySelector("dialog[open]")) return;
    const act = found(event, acts);
    if (act && act() !== false) event.preventDefault();
  });
}

function found(event, acts) {
  const { key, code, altKey: alt, ctrlKey: ctrl, metaKey: meta } = event;
  if (key === "Enter" && (ctrl || meta)) return acts.send;
  if (key === "Escape") return acts.stop;
  if (ctrl || meta) return null;
  // By their places, as Alt makes other letters of them on a Mac.
  if (alt) return { KeyN: acts.fresh, KeyC: acts.compare, Slash: acts.focus }[key === "/" ? "Slash" : code];
  if (event.target.closest("input, textarea, select, [contenteditable]")) return null;
  return key === "/" ? acts.focus : key === "?" ? showKeys : null;
}

/** Show what keys there are. */
export function showKeys() {
  const drawn = (keys) => keys.flatMap((key) => [h("kbd", {}, key), " "]);
  const rows = LIST.map(([keys, does]) => h("tr", {}, h("td", {}, drawn(keys)), h("td", {}, does)));
  const dialog = h("dialog", { class: "small", "aria-labelledby": "keys-title" },
    h("form", { method: "dialog" }, h("h2", { id: "keys-title" }, "Keys"), h("table", {}, h("tbody", {}, rows)),
      h("div", { class: "row end" }, h("button", { type: "submit" }, "Close"))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
