// Words with code among them.

import { h } from "/assets/shared/dom.js";

/** The nodes of a text in which code stands between backticks. */
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/** A paragraph of it. */
export function para(text, kind = "") {
  return h("p", kind ? { class: kind } : {}, prose(text));
}

/** A section with a heading that can be linked to; `parts` are what stands in it. */
export function section(id, title, ...parts) {
  const heading = h("h2", { id: `${id}-title` }, h("a", { href: `#${id}`, class: "anchor" }, title));
  return h("section", { id, class: "stack", "aria-labelledby": `${id}-title` }, heading, parts);
}

/** A table with its heads, and rows of cells. Where there is no room the cells stand below each other: the roles stay. */
export function table(caption, heads, rows) {
  return h("table", { role: "table" },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" },
      h("tr", { role: "row" }, heads.map((head) => h("th", { scope: "col", role: "columnheader" }, head)))),
    h("tbody", { role: "rowgroup" },
      rows.map((cells) => h("tr", { role: "row" }, cells.map((cell) => h("td", { role: "cell" }, cell))))));
}
