// Buttons that say in words what they do.

import { h, icon } from "/assets/shared/dom.js";

/** A button with the words `label`, behind a drawing if one is named. */
export function press(label, act, { draw = "", ...properties } = {}) {
  const on = { click: act };
  return h("button", { type: "button", on, ...properties }, draw ? icon(draw) : null, h("span", {}, label));
}
