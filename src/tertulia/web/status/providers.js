// Providers: who can be asked, who is given a rest, who is how fast.

import { h } from "/assets/shared/dom.js";
import { age, duration, number } from "/assets/shared/format.js";
import { known, part, span, UNKNOWN } from "/assets/status/figures.js";
import { table } from "/assets/status/table.js";

const COLUMNS = [
  { name: "Provider", view: ({ name }) => name },
  { name: "State", view: state },
  { name: "Model there", view: ({ one, process }) => one?.model ?? (process ? "" : "none asked yet") },
  { name: "Failures in a row", number: true, view: ({ one }) => (one ? number(one.failures) : "") },
  { name: "Last failure", view: failure },
  { name: "First token", number: true, view: ({ one }) => speed(one, one?.latency, (value) => duration(value * 1000)) },
  { name: "Tokens a second", number: true, view: ({ one }) => speed(one, one?.speed, (value) => value.toFixed(1)) },
];

/** The part, {element, update(told), wait()}. */
export function providers() {
  const shown = table("Providers", COLUMNS, ({ name, one }) => `${name} ${one?.model ?? ""}`);
  const empty = h("p", { class: "faint" }, "Looking …");
  const list = h("ul", {});
  const others = h("details", { hidden: true }, h("summary", {}, "Not set up"), list);
  let names = "";
  return {
    element: part("Providers", empty, shown.element, others),
    wait: () => (empty.textContent = ""),
    update(told) {
      empty.hidden = true;
      shown.update(told.providers.filter(({ why }) => !why).flatMap(rows));
      const missing = told.providers.filter(({ why }) => why);
      const now = JSON.stringify(missing.map(({ name, why }) => [name, why]));
      others.hidden = missing.length === 0;
      if (now === names) return;
      names = now;
      others.firstChild.textContent = `${number(missing.length)} not set up`;
      list.replaceChildren(...missing.map(({ name, why }) => h("li", {}, h("strong", {}, name), `: ${why}`)));
    },
  };
}

/** A row for each model that was asked; one for a provider that was not. */
function rows({ asked, ...provider }) {
  return asked.length ? asked.map((one) => ({ ...provider, one: told(one) })) : [provider];
}

/** What is shown of a model's health: ages in words, so that a row is drawn again only when it reads differently. */
function told({ ago, error_ago: since, rest, ...one }) {
  return { ...one, rest: rest === null ? null : Math.ceil(rest), failed: since === null ? "" : age(since) };
}

function state({ one, process }) {
  if (process && process.state !== "ready") {
    const word = process.state === "stopped" && !process.why ? "starts when it is asked" : process.state;
    return [h("span", { class: process.why ? "chip warn" : "chip" }, word), process.why && h("div", {}, process.why)];
  }
  if (!one) return h("span", { class: "chip" }, "can be asked");
  if (one.rest !== null) {
    return h("span", { class: "chip bad" }, one.rest ? `resting, ${span(one.rest)} left` : "being tried again");
  }
  return one.failures ? h("span", { class: "chip warn" }, "failing") : h("span", { class: "chip good" }, "well");
}

function failure({ one }) {
  return one ? (one.error ? `${one.error}, ${one.failed}` : "none") : "";
}

function speed(one, value, words) {
  return one ? known(value, words) : "";
}
