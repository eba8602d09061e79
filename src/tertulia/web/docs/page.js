// The specification of this server: drawn at once, and filled from its own description of itself.

import "/assets/shared/theme.js";
import { get } from "/assets/shared/api.js";
import { copy, fill, h, tool } from "/assets/shared/dom.js";
import { decoded } from "/assets/shared/format.js";
import { contents, follow } from "/assets/docs/contents.js";
import { fieldList, filterBox, foldButton, show } from "/assets/docs/fields.js";
import { models } from "/assets/docs/models.js";
import { addresses, faults, headers, streaming } from "/assets/docs/parts.js";
import { para, section } from "/assets/docs/prose.js";

const SECTIONS = [
  ["task", "The task"], ["models", "Models to begin with"], ["code", "Code"], ["request", "Request"],
  ["answer", "Answer"], ["stream", "Stream"], ["headers", "Headers"], ["errors", "Errors"],
  ["addresses", "Addresses"], ["tokens", "Tokens"],
].map(([id, title]) => ({ id, title }));

const waiting = (what) => h("p", { class: "faint" }, `Loading ${what} ...`);
const place = (what) => h("div", { class: "stack" }, waiting(what));

const places = {
  models: place("the catalog"), text: place("the catalog"), image: place("the catalog"), request: place("the fields"),
  answer: place("the fields"), about: h("div", { class: "about stack" }, waiting("how it goes")), stream: place("the fields"), headers: place("the headers"),
  errors: place("the errors"), addresses: place("the addresses"),
};

function task() {
  const base = `${location.origin}/v1`;
  return [
    para("A chat completion is the next message of a conversation: given what was said so far, by the system, the user, the assistant and tools, a model writes what the assistant says next. Models that read text take texts; models that see take images among them."),
    para("This server speaks OpenAI's chat completion API, so its clients work with it, and Hugging Face's specification field by field. Answers can be streamed, held to a JSON Schema, a pattern or a grammar, call tools, and tell the probability of each token. A model of this machine answers, or a provider whose key the server has."),
    h("div", { class: "base card row apart" },
      h("span", {}, "Base URL ", h("code", {}, base)), tool("copy", "Copy the base URL", () => copy(base))),
  ];
}

function tokens() {
  return [
    para("On its own machine a server asks for no token, unless one has been made. Reached by others, or as soon as there is one, it wants `Authorization: Bearer TOKEN` with each request; pages and `/health` are open to all."),
    h("p", {}, "A token has a permission: ", h("code", {}, "inference"), " to ask, ", h("code", {}, "admin"),
      " for figures and for tokens. It may expire, and have a limit of what it may spend; revoked, it is refused at once. ",
      h("a", { href: "/settings/tokens" }, "Make and revoke them here"), ", or with ", h("code", {}, "tertulia token new NAME"), "."),
    para("How many tokens of text a conversation comes to is told by `POST /v1/chat/completions/input_tokens`, with the same body, without an answer; how many were spent, by `usage`. Messages and answer together must fit into the model's context."),
  ];
}

const texts = {
  task, tokens,
  models: () => [places.models, h("p", {}, h("a", { href: "/models" }, "All models that there are"), ", or the ",
    h("a", { href: "/playground" }, "playground"), " to try them.")],
  code: () => [
    para("Choose who answers, a language and a client; the code is what runs against this server."),
    h("h3", { id: "code-text" }, "A conversation in text"), places.text,
    h("h3", { id: "code-image" }, "A conversation with an image"), places.image,
  ],
  request: () => [para("`POST /v1/chat/completions` with a JSON object of these fields:"), places.request],
  answer: () => [para("Without `stream`, or with `stream: false`, the answer is a JSON object of these fields:"), places.answer],
  stream: () => [places.about, places.stream],
  headers: () => places.headers, errors: () => places.errors, addresses: () => places.addresses,
};

function draw() {
  const main = document.querySelector("#main");
  main.classList.add("page");
  const drawn = SECTIONS.map(({ id, title }) => section(id, title, texts[id]()));
  const beside = contents(SECTIONS);
  const box = filterBox([places.request, places.answer, places.stream], (typed) => {
    if (page.classList.contains("filtering") !== typed) scrollTo(0, 0);
    page.classList.toggle("filtering", typed);
  });
  const page = h("div", { class: "docs" },
    h("aside", { class: "beside" }, box.element, beside.element),
    h("article", { class: "stack" }, h("h1", {}, "Chat completion"), drawn));
  fill(main, page);
  follow(beside.links, drawn);
  addEventListener("hashchange", () => {
    box.clear(); // what is gone to may be hidden
    goto();
  });
}

/** Go where the address says; a field may be folded away. */
function goto() {
  const target = document.getElementById(decoded(location.hash.slice(1)));
  if (!target) return;
  if (target.classList.contains("field-row")) {
    show(target);
    const inside = target.querySelector(":scope > details.inside");
    if (inside) inside.open = true;
  }
  target.scrollIntoView();
}

async function load() {
  let told;
  try {
    told = await get("/openapi.json");
  } catch (error) {
    for (const one of Object.values(places)) fill(one, h("p", { class: "error", role: "alert" }, error.message));
    return;
  }
  const { schemas } = told.components;
  const ours = told["x-tertulia"];
  const put = (at, name, kind) => {
    const list = fieldList(schemas, name, kind, kind === "request");
    fill(at, h("div", { class: "row end" }, foldButton(at)), list, h("p", { class: "nothing faint" }, "No field here."));
  };
  put(places.request, "ChatRequest", "request");
  put(places.answer, "Completion", "answer");
  put(places.stream, "Chunk", "stream");
  fill(places.about, streaming(ours));
  fill(places.headers, headers(ours));
  fill(places.errors, faults(ours));
  fill(places.addresses, addresses(told.paths, ours));
  goto();
  await models(places, ours.policies);
}

draw();
load();
