// A button that opens a list of things to do.

import { h, tool } from "/assets/shared/dom.js";
import { press } from "/assets/playground/press.js";

let shut = null;

/**
 * A button called `label` with a menu; `items()` gives, when it opens, a list of {label, act, icon?, danger?,
 * disabled?}, of which those that are false are left out.
 */
export function menu(label, items) {
  const open = () => button.getAttribute("aria-expanded") === "true";
  const button = tool("more", label, () => (open() ? shut?.() : show(button, label, items())), {
    "aria-haspopup": "menu", "aria-expanded": "false",
  });
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" || open()) return;
    event.preventDefault();
    button.click();
  });
  return button;
}

/** Whether a menu is open. */
export function menuOpen() {
  return shut !== null;
}

function show(button, label, items) {
  shut?.();
  const entries = items.filter(Boolean).map((item) => entry(item, () => close(true)));
  const keydown = (event) => key(event, entries, close);
  const list = h("div", { class: "menu", role: "menu", "aria-label": label, on: { keydown } }, entries);
  const outside = (event) => {
    if (!list.contains(event.target) && !button.contains(event.target)) close(false);
  };
  const follow = (event) => !list.contains(event.target) && place(list, button);
  function close(back) {
    if (shut !== close) return;
    shut = null;
    list.remove();
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    document.removeEventListener("scroll", follow, true);
    if (back) button.focus();
  }
  shut = close;
  (button.closest("dialog") ?? document.body).append(list);
  place(list, button);
  button.setAttribute("aria-expanded", "true");
  document.addEventListener("pointerdown", outside, true);
  document.addEventListener("scroll", follow, true);
  entries.find((one) => !one.disabled)?.focus();
}

function entry({ label, act, icon: draw, danger, disabled }, close) {
  const choose = () => {
    close();
    act();
  };
  return press(label, choose, { draw, role: "menuitem", tabIndex: -1, class: danger ? "danger" : "", disabled });
}

function key(event, entries, close) {
  const able = entries.filter((one) => !one.disabled);
  const at = able.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (to !== undefined) able.at(to % able.length)?.focus();
  else if (event.key === "Escape") close(true);
  else if (event.key === "Tab") close(true);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function place(list, button) {
  const box = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = list;
  const below = box.bottom + 4 + height <= innerHeight || box.top < height;
  list.style.left = `${Math.max(8, Math.min(box.right - width, innerWidth - width - 8))}px`;
  const top = below ? Math.min(box.bottom + 4, innerHeight - height - 8) : box.top - height - 4;
  list.style.top = `${Math.max(8, top)}px`;
}
