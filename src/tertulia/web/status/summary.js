// The server itself, in a row of figures.

import { fill, h } from "/assets/shared/dom.js";
import { bytes, number } from "/assets/shared/format.js";
import { known, span, UNKNOWN } from "/assets/status/figures.js";

const NAMES = ["Server", "Up for", "Being answered", "In the queue", "Retries left", "Memory"];

/** The row, {element, update(told), wait()}. */
export function summary() {
  const values = NAMES.map(() => h("dd", {}, "…"));
  const element = h("dl", { class: "tiles card" },
    NAMES.map((name, place) => h("div", {}, h("dt", {}, name), values[place])));
  const warning = h("p", { class: "notice warn", hidden: true });
  const show = (all) => all.forEach((value, place) => {
    if (values[place].textContent !== value) fill(values[place], value);
  });
  return {
    element: h("div", { class: "stack" }, element, warning),
    wait: () => show(values.map(({ textContent }) => (textContent === "…" ? UNKNOWN : textContent))),
    update(told) {
      show([
        `${told.ready ? "Ready" : "Loading"} · ${told.version}`,
        span(told.now - told.started),
        number(told.in_flight),
        known(queued(told), number),
        known(told.retries, (left) => `${number(Math.floor(left))} of ${number(told.reserve)}`),
        known(told.memory, bytes),
      ]);
      const lost = told.lost_entries;
      warning.hidden = !lost;
      if (lost) warning.textContent = `${number(lost)} entries of the usage log were lost: the server's log says why.`;
    },
  };
}

/** Those who wait for an engine; null where an engine did not tell. */
function queued({ models, engines_told: whole }) {
  if (!whole) return null;
  return models.reduce((sum, { engine }) => sum + (engine?.queue_length ?? 0), 0);
}
