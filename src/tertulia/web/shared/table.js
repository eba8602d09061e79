// A table of Markdown.

import { h } from "/assets/shared/dom.js";

/** A table with this head and no rows yet: `{element, body}`. `sides` are the columns' classes; `fills(cell, text)`
 * writes a cell. */
export function grid(head, sides, fills) {
  const body = h("tbody");
  const table = h("table", {}, h("thead", {}, line(head, sides, "th", fills)), body);
  return { element: h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Table" }, table), body };
}

/** A line of a table, of elements `tag`. */
export function line(texts, sides, tag, fills) {
  const make = (side, place) => {
    const cell = h(tag, { dir: "auto", class: side || null });
    fills(cell, texts[place] ?? "");
    return cell;
  };
  return h("tr", {}, sides.map(make));
}
