// Those who serve a model, side by side.

import { h } from "/assets/shared/dom.js";
import { context, duration, money, number } from "/assets/shared/format.js";
import { playground } from "/assets/models/facts.js";

const STATES = { live: ["good", "live"], error: ["bad", "failing"], "no key": ["warn", "no key"] };
const UNKNOWN = "unknown";

/** What is known of each; the best of those that can be asked is marked in each column of figures. */
export function providerTable(entry) {
  const best = {
    output: least(entry, (one) => one.pricing?.output),
    latency: least(entry, (one) => one.first_token_latency_ms),
    speed: least(entry, (one) => one.throughput && -one.throughput),
  };
  const heads = ["Provider", "State", "In, per M", "Out, per M", "Context", "First token", "Tokens/s", "Tools",
    "Structured output"];
  const cells = heads.map((text, place) => h("th", { scope: "col", class: place > 1 && place < 7 ? "number" : "" }, text));
  return h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Providers side by side" },
    h("table", { class: "served" },
      h("caption", { class: "unseen" }, `Who serves ${entry.id}`),
      h("thead", {}, h("tr", {}, cells, h("th", {}, h("span", { class: "unseen" }, "Try it")))),
      h("tbody", {}, entry.providers.map((one) => row(entry, one, best)))));
}

function row(entry, one, best) {
  const [kind, word] = STATES[one.status] ?? ["", one.status];
  const price = one.pricing;
  const room = one.context_length ?? (one.provider === "local" && entry.context_length);
  return h("tr", {},
    h("th", { scope: "row" }, one.provider === "local" ? "this machine" : one.provider,
      one.is_model_author && h("span", { class: "chip" }, "its author")),
    h("td", {}, h("span", { class: `chip ${kind}` }, word), one.why && h("div", { class: "small soft why" }, one.why)),
    figure(price && money(price.input)),
    figure(price && money(price.output), best.output === one),
    figure(room && context(room), false, number(room || 0)),
    figure(one.first_token_latency_ms && duration(one.first_token_latency_ms), best.latency === one),
    figure(one.throughput && number(Math.round(one.throughput)), best.speed === one),
    able(one.supports_tools), able(one.supports_structured_output),
    h("td", {}, one.status === "live" && h("a", {
      href: playground(entry.id, one.provider), "aria-label": `Try at ${one.provider}`,
    }, "Try")));
}

function figure(text, best = false, title = "") {
  if (!text) return h("td", { class: "number faint" }, UNKNOWN);
  return h("td", { class: `number${best ? " best" : ""}`, title }, text, best && h("span", { class: "unseen" }, " (best)"));
}

function able(works) {
  return h("td", { class: works === undefined ? "faint" : "" }, works === undefined ? UNKNOWN : works ? "yes" : "no");
}

/** The one with the least of what `key` gives, among several that can be asked. */
function least(entry, key) {
  const known = entry.providers.filter((one) => one.status === "live" && typeof key(one) === "number");
  return known.length > 1 ? known.reduce((a, b) => (key(b) < key(a) ? b : a)) : undefined;
}
