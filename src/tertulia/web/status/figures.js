// Figures and small drawings that all parts of the page use.

import { h } from "/assets/shared/dom.js";

export const UNKNOWN = "–";

/** `value` in `words`, or the sign for what nobody told. */
export function known(value, words) {
  return value === null || value === undefined ? UNKNOWN : words(value);
}

/** A part of the page: its heading, its contents, and a line for where there is nothing to show. */
export function part(title, ...contents) {
  const id = title.toLowerCase().replaceAll(" ", "-");
  return h("section", { class: "stack", "aria-labelledby": id }, h("h2", { id }, title), contents);
}

/** A bar that is filled to `share` (0 to 1), with `words` beside it. */
export function bar(share, words) {
  const inner = h("span", {});
  inner.style.width = `${Math.min(Math.max(share, 0), 1) * 100}%`;
  return h("span", { class: "measure" }, h("span", { class: "gauge", "aria-hidden": "true" }, inner), words);
}

/** A span of time as `3 d 4 h`, of seconds. */
export function span(seconds) {
  const steps = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = steps.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  let rest = seconds;
  const words = steps.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count ? `${count} ${unit}` : "";
  });
  return words.filter(Boolean).join(" ");
}

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** A Unix time as the time of day, with the date as its title. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  return h("time", { dateTime: date.toISOString(), title: day.format(date) }, clock.format(date));
}
