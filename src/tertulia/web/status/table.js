// A table whose rows are kept: only what has changed is drawn again, so that a selection or an open fold stays.

import { h, fill } from "/assets/shared/dom.js";

/**
 * A table of `columns`, each {name, number, view(row)}; `key(row)` tells rows apart. On a narrow page each row is a
 * card, whose cells say the columns' names. `update(rows)` shows these rows.
 */
export function table(label, columns, key) {
  const heads = columns.map(({ name, number }) => h("th", { role: "columnheader", class: number && "number" }, name));
  const body = h("tbody", { role: "rowgroup" });
  const element = h("table", { role: "table", class: "cards", "aria-label": label },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), body);
  let known = new Map();

  function draw(row, was) {
    const drawn = was ?? { line: h("tr", { role: "row" }, columns.map(cell)), cells: [] };
    columns.forEach(({ view }, place) => {
      const shown = view(row);
      const text = typeof shown === "string" ? shown : null;
      if (text !== null && drawn.cells[place] === text) return;
      drawn.cells[place] = text;
      fill(drawn.line.children[place], shown);
    });
    return drawn;
  }

  return {
    element,
    update(rows) {
      const next = new Map();
      for (const row of rows) {
        const was = known.get(key(row));
        const mark = JSON.stringify(row);
        next.set(key(row), was?.mark === mark ? was : { ...draw(row, was), mark });
      }
      const lines = [...next.values()].map(({ line }) => line);
      for (const [name, { line }] of known) if (!next.has(name)) line.remove();
      lines.forEach((line, place) => {
        if (body.children[place] !== line) body.insertBefore(line, body.children[place] ?? null);
      });
      known = next;
    },
  };
}

function cell({ name, number }) {
  return h("td", { role: "cell", class: number && "number", "data-name": name });
}
