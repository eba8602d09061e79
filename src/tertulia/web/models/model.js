// One model: what it is, who serves it, how it is asked, and how it comes here.

import { get } from "/assets/shared/api.js";
import { codeBlock } from "/assets/shared/code.js";
import { copy, fill, h, tool } from "/assets/shared/dom.js";
import { bytes, number, word } from "/assets/shared/format.js";
import { snippetPanel } from "/assets/shared/snippets.js";
import { trouble } from "/assets/shared/trouble.js";
import { checks } from "/assets/models/checks.js";
import { local, parameters, path, playground, sees, warm, whole } from "/assets/models/facts.js";
import { chips, where } from "/assets/models/list.js";
import { providerTable } from "/assets/models/providers.js";

const QUESTION = "What is the capital of France?";
const PICTURE = "https://cdn.britannica.com/61/93061-050-99147DCE/Statue-of-Liberty-Island-New-York-Bay.jpg";

/** Show the model `id` in `main`. */
export async function model(main, id) {
  const way = h("nav", { "aria-label": "You are here", class: "small" }, h("a", { href: "/models" }, "Models"), ` / ${id}`);
  const title = h("div", { class: "row title" }, h("h1", {}, id));
  const body = h("div", { class: "stack" }, h("p", { class: "faint", role: "status" }, "Loading the model ..."));
  document.title = `${id} · Tertulia`;
  fill(main, h("article", { class: "one stack" }, way, title, body));
  try {
    const entry = whole(await get(`/api/catalog/${encodeURIComponent(id)}`));
    if (entry.id !== id) history.replaceState(history.state, "", path(entry.id) + location.search);
    document.title = `${entry.id} · Tertulia`;
    fill(way, h("a", { href: "/models" }, "Models"), ` / ${entry.id}`);
    fill(title, h("h1", {}, entry.id), tool("copy", "Copy the id", () => copy(entry.id)));
    fill(body, head(entry), missing(entry), facts(entry), providers(entry), code(entry), pull(entry), checks(entry));
  } catch (error) {
    if (error.status !== 404) return void fill(body, trouble(error, () => model(main, id)));
    fill(body, h("p", { class: "error", role: "alert" }, error.message),
      h("p", {}, h("a", { href: `/models?${new URLSearchParams({ search: id.split("/").pop() })}` }, "Search for it"),
        " among the models that are known here."));
  }
}

const section = (title, ...children) => h("section", { class: "stack", "aria-label": title }, h("h2", {}, title), children);

function head(entry) {
  const hub = `https://huggingface.co/${entry.id}`;
  return h("div", { class: "stack" },
    h("p", { class: entry.description ? "lead" : "faint" }, entry.description || "Nobody described it."),
    h("div", { class: "row" }, where(entry), chips(entry)),
    h("div", { class: "row" },
      h("a", { class: `button ${warm(entry) ? "primary" : ""}`, href: playground(entry.id) }, "Open in playground"),
      entry.catalog && !entry.shipped && h("a", { class: "button", href: hub, rel: "noreferrer" }, "On the Hub")));
}

/** Why it can't be asked, and what would change that. */
function missing(entry) {
  if (warm(entry)) return null;
  const keyless = entry.providers.some((one) => one.status === "no key");
  const ways = [
    ...entry.providers.map((one) => h("li", {}, h("b", {}, one.provider), `: ${one.why}`)),
    entry.runs && h("li", {}, h("b", {}, "this machine"), ": fetch it with ", h("code", {}, `tertulia pull ${word(entry.id)}`)),
  ].filter(Boolean);
  const known = entry.catalog && !entry.runs ? " The engine here is not built for its family." : "";
  return h("div", { class: "notice warn stack" },
    h("p", {}, ways.length ? "Nobody can be asked for it yet:" : `Nobody is known to serve it.${known}`),
    ways.length > 0 && h("ul", {}, ways),
    keyless && h("p", {}, "A key is read when ", h("code", {}, "tertulia serve"), " starts."),
    !ways.length && h("p", {}, "Any server that speaks OpenAI's dialect can, once the configuration names it, with this model, under ",
      h("code", {}, "[providers.NAME]"), "."));
}

function facts(entry) {
  const rows = [
    ["Context", entry.context_length && `${number(entry.context_length)} tokens`],
    ["Reads", entry.input.join(", ")],
    ["Writes", entry.output.join(", ")],
    ["Parameters", entry.parameters && parameters(entry.parameters)],
    ["Licence", entry.licence],
    ["Released", entry.released],
    ["Here", local(entry) && `${entry.status}${entry.bytes ? `, ${bytes(entry.bytes)} of weights` : ""}`],
    ["Also called", entry.aliases.join(", ")],
  ];
  const optional = ["Here", "Also called"];
  return h("dl", { class: "card facts" }, rows.filter(([label, value]) => value || !optional.includes(label))
    .map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", { class: value ? "" : "faint" }, value || "unknown"))));
}

function providers(entry) {
  return section("Who serves it", entry.providers.length
    ? providerTable(entry)
    : h("p", { class: "soft" }, "Nobody is known to serve it."));
}

function code(entry) {
  const live = entry.providers.filter((one) => one.status === "live" && one.provider !== "local");
  const choices = [["", "whoever is best"], ["fastest", "the fastest"], ["cheapest", "the cheapest"],
    ...live.map((one) => [one.provider, one.provider])];
  const from = h("select", { id: "from" }, choices.map(([value, label]) => h("option", { value }, label)));
  const stream = h("input", { type: "checkbox", id: "stream" });
  const body = () => ({ model: entry.id, messages: [{ role: "user", content: question(entry) }],
    ...(stream.checked ? { stream: true } : {}) });
  const panel = snippetPanel(body, { provider: () => from.value });
  for (const control of [from, stream]) control.addEventListener("change", () => panel.refresh());
  panel.refresh();
  return section("Ask it",
    h("div", { class: "toolbar" }, h("label", { for: "from" }, "Answered by"), from,
      h("label", { class: "check" }, stream, "Streaming")),
    panel.element);
}

function question(entry) {
  if (!sees(entry)) return QUESTION;
  return [{ type: "text", text: "Describe this image in one sentence." }, { type: "image_url", image_url: { url: PICTURE } }];
}

function pull(entry) {
  if (local(entry) || !entry.runs) return null;
  const size = entry.fetch ? `${entry.about ? "About " : ""}${bytes(entry.fetch)} to fetch` : "How large it is is not known";
  const kept = entry.about && entry.parameters ? `; loaded at 8 bits it takes about ${bytes(entry.parameters * 1.1)} of memory` : "";
  return section("On this machine",
    codeBlock(`tertulia pull ${word(entry.id)}`, "shell"),
    h("p", { class: "soft" }, `${size}${kept}. Disk and memory are checked first.`));
}
