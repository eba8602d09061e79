// What was found to work where, by asking; how old that is; and how it is found out anew.

import { codeBlock } from "/assets/shared/code.js";
import { h } from "/assets/shared/dom.js";
import { age, word } from "/assets/shared/format.js";
import { warm } from "/assets/models/facts.js";

const WORDS = {
  usage: "answers, with its usage",
  tools: "tools",
  tool_choice: "a required tool call",
  response_format: "a JSON Schema",
  json_object: "any JSON object",
  logprobs: "log-probabilities",
  seed: "seed",
  n: "several choices",
  stop: "stop strings",
  image: "images",
  image_url: "images by address",
  stream_usage: "usage in streams",
};

/** A table of fields and providers, as far as anybody probed; and the command that does. */
export function checks(entry) {
  const probed = entry.providers.filter((one) => Object.keys(one.capabilities).length);
  const fields = [...new Set(probed.flatMap((one) => Object.keys(one.capabilities)))].sort(
    (a, b) => place(a) - place(b));
  return h("section", { class: "stack", "aria-label": "What works" },
    h("h2", {}, "What works"),
    probed.length ? table(fields, probed) : h("p", { class: "soft" }, "It was not probed yet, anywhere."),
    warm(entry) && codeBlock(`tertulia probe ${word(entry.id)}`, "shell"),
    warm(entry) && h("p", { class: "soft small" }, "A probe finds out by a dozen tiny requests to each provider that can ",
      "be asked; ", h("code", {}, ":PROVIDER"), " behind the name asks one alone."));
}

const place = (field) => (field in WORDS ? Object.keys(WORDS).indexOf(field) : Infinity);

function table(fields, probed) {
  return h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "What was found out" },
    h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Field"),
        probed.map((one) => h("th", { scope: "col" }, one.provider === "local" ? "this machine" : one.provider)))),
      h("tbody", {}, fields.map((field) => h("tr", {},
        h("th", { scope: "row" }, WORDS[field] ?? h("code", {}, field)),
        probed.map((one) => cell(one.capabilities[field], one.probed[field])))))));
}

function cell(works, when) {
  if (works === undefined) return h("td", { class: "faint" }, "unknown");
  return h("td", {}, h("span", { class: `chip ${works ? "good" : "bad"}` }, works ? "works" : "doesn't"),
    when && h("span", { class: "faint small" }, ` ${age(Date.now() / 1000 - when)}`));
}
