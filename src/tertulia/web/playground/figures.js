// What is known about an answer beside its text: figures, who gave it, what went wrong.

import { h } from "/assets/shared/dom.js";
import { duration, money, number } from "/assets/shared/format.js";

const FINISHES = {
  length: ["warn", "cut off: max_tokens or the context's end"],
  content_filter: ["warn", "held back by the provider's filter"],
  tool_calls: ["", "calls tools"],
  function_call: ["", "calls a function"],
  stopped: ["", "stopped by you"],
};
const HINTS = {
  model_not_found: "Choose another model above the conversation.",
  context_length_exceeded: "Delete messages, or choose a model with more context.",
  spend_cap_reached: "This token may spend no more: use another, or raise its cap.",
  invalid_api_key: "Try again to be asked for a token.",
  queue_full: "Try again in a moment, or choose another provider.",
  timeout: "Try again, or choose another provider; a shorter prompt is read sooner.",
  upstream_error: "Try again, or choose another provider.",
};

const THEIRS = {
  invalid_api_key: "Choose another provider, or give the server a key that this one takes.",
  not_found: "Choose another provider, or another model.",
};

/** By status: of a server that isn't there, and of an answer that broke off. */
const LOST = {
  0: "Start it, or reload the page once it is back.",
  200: "What came is kept: continue the message, or regenerate it.",
};

/** Milliseconds that an answer must take for a speed to mean anything. */
const MEASURED = 100;

const own = (table, name) => (Object.hasOwn(table, name) ? table[name] : undefined);

/** Whether `answer` is still being written. */
export function running(answer) {
  return Boolean(answer.started) && !answer.ended && !answer.error;
}

/** A line of figures, all of them the server's own or times taken here. */
export function figures(answer) {
  if (!answer.started) return null;
  const { usage, started, first, ended } = answer;
  const parts = [];
  if (first) parts.push(figure("first token", duration(first - started), "from the request to the first token"));
  if (running(answer)) parts.push(h("span", { class: "faint" }, first ? "writing ..." : "waiting ..."));
  if (ended) {
    const speed = perSecond(answer);
    if (speed) parts.push(figure("tokens/s", speed, "tokens of the answer a second, from the first to the last"));
    parts.push(...(usage ? tokens(usage) : [h("span", { class: "faint" }, "tokens unknown")]));
    parts.push(figure("in all", duration(ended - started), "from the request to the end"));
  }
  return h("p", { class: "figures" }, parts);
}

function figure(name, value, title) {
  return h("span", { title }, h("b", {}, value), ` ${name}`);
}

function perSecond({ usage, first, ended, response }) {
  const count = usage?.completion_tokens ?? 0;
  if (!first || count < 2 || ended - first < MEASURED || response?.whole) return "";
  const speed = (count - 1) / ((ended - first) / 1000);
  return speed >= 100 ? number(Math.round(speed)) : speed.toFixed(1);
}

function tokens(usage) {
  const about = usage.estimated ? "\u2248 " : "";
  const more = usage.estimated ? "the provider told none: counted here" : "as the server counted them";
  const thought = usage.completion_tokens_details?.reasoning_tokens;
  const cached = usage.prompt_tokens_details?.cached_tokens;
  const cost =
    typeof usage.cost === "number"
      ? figure("", money(usage.cost), "what the answer cost, by the provider's prices")
      : h("span", { class: "faint", title: "the provider's prices are not known" }, "cost unknown");
  return [
    figure(
      `in${cached ? ` (${number(cached)} cached)` : ""}`,
      about + number(usage.prompt_tokens),
      `tokens read, ${more}`,
    ),
    figure(
      `out${thought ? ` (${number(thought)} thinking)` : ""}`,
      about + number(usage.completion_tokens),
      `tokens written, ${more}`,
    ),
    cost,
  ];
}

/** Who gave the answer, and how it ended. */
export function origin(answer) {
  const [kind, words] = own(FINISHES, answer.finish) ?? [];
  const tried = answer.route ?? [];
  const before = tried.at(-1)?.outcome === "served" ? tried.length - 1 : 0;
  const asked = String(answer.request?.model ?? "").replace(/:[^:/]*$/, "");
  const other = answer.model && asked && answer.model !== asked;
  return [
    answer.provider &&
      h("span", { class: "chip", title: "the provider that gave this answer" }, `by ${answer.provider}`),
    other && h("span", { class: "chip", title: "the model that gave this answer" }, answer.model),
    before > 0 && h("span", { class: "chip warn" }, `after ${before} other ${before > 1 ? "tries" : "try"}`),
    words && h("span", { class: `chip ${kind}` }, words),
  ];
}

/** Who was asked, and what became of it. */
export function routeOf(answer) {
  if (!answer.route?.length) return null;
  const rows = answer.route.map((one) =>
    h(
      "tr",
      {},
      h("td", {}, String(one.provider)),
      h("td", {}, String(one.outcome)),
      h("td", { class: "number" }, one.seconds ? duration(1000 * one.seconds) : ""),
      h("td", {}, one.why ?? ""),
    ),
  );
  const head = ["Provider", "Outcome", "Time", "Why"].map((name) => h("th", { scope: "col" }, name));
  return h(
    "div",
    { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Who was asked" },
    h("table", { class: "small" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)),
  );
}

/** What would work. */
function hintOf({ error, route, choices }) {
  if (error.status === 200 && choices?.some((choice) => choice.content || choice.reasoning)) return LOST[200];
  if (route?.length && own(THEIRS, error.code)) return THEIRS[error.code];
  if (own(HINTS, error.code)) return HINTS[error.code];
  if (/^messages\b/.test(error.param ?? "")) {
    const seen = /content\[\d+\]/.test(error.param);
    return seen ? "Change or take away that part, or choose another model." : "Change that message.";
  }
  if (error.code === "unsupported_parameter") return "Unset it in the settings, or choose another provider.";
  if (error.status === 400 && error.param && error.param !== "model") return "Change or unset it in the settings.";
  return own(LOST, error.status);
}

/** What the server warned of, and what went wrong, with what would work. */
export function troubles(answer) {
  const { error } = answer;
  const warnings = (answer.warnings ?? []).map((text) => h("p", { class: "notice warn small" }, text));
  if (!error) return warnings;
  const hint = hintOf(answer);
  const wait = error.retryAfter ? `It asks to wait ${error.retryAfter} s.` : "";
  const about = [error.status === 200 ? "" : error.status, error.code ?? error.type, error.param, error.requestId];
  return [
    ...warnings,
    h(
      "div",
      { class: "error", role: "alert" },
      h("p", {}, error.message),
      hint || wait ? h("p", {}, [wait, hint].filter(Boolean).join(" ")) : null,
      h("p", { class: "small" }, about.filter(Boolean).join(" \u00b7 ")),
    ),
  ];
}
