// The models to begin with, and the code that asks one of them.

import { get } from "/assets/shared/api.js";
import { fill, h } from "/assets/shared/dom.js";
import { context } from "/assets/shared/format.js";
import { snippetPanel } from "/assets/shared/snippets.js";
import { trouble } from "/assets/shared/trouble.js";
import { para } from "/assets/docs/prose.js";

const PICTURE = "https://cdn.britannica.com/61/93061-050-99147DCE/Statue-of-Liberty-Island-New-York-Bay.jpg";
const sees = (model) => model.input.includes("image");
const here = (model) => model.status !== "" && model.status !== undefined;
const asked = (model) => here(model) || model.providers.some(({ status }) => (status ?? "live") === "live");

/** Ask for the catalog, and put what it says into `places.models`, `places.text` and `places.image`. */
export async function models(places, policies) {
  let known = [];
  try {
    known = (await get("/api/catalog")).models.map((one) => ({ ...one, input: one.input ?? [], providers: one.providers ?? [] }));
    fill(places.models, recommended(known));
  } catch (error) {
    fill(places.models, trouble(error, () => models(places, policies)));
    if (error.status === 401 || error.status === 403) { // the code would only be asked for in vain
      for (const one of [places.text, places.image]) fill(one, h("p", { class: "faint" }, "The code takes a token, too."));
      return;
    }
  }
  fill(places.text, example("text", known, policies));
  fill(places.image, example("image", known.filter(sees), policies));
}

function recommended(known) {
  const picked = known.filter((model) => model.recommended || here(model)).sort((a, b) => asked(b) - asked(a));
  if (!picked.length) return para("The catalog of this server recommends none.", "faint");
  const [seeing, plain] = [picked.filter(sees), picked.filter((model) => !sees(model))];
  return [
    plain.length > 0 && [h("h3", {}, "Models that read text"), h("ul", { class: "models" }, plain.map(card))],
    seeing.length > 0 && [h("h3", {}, "Models that see images, too"), h("ul", { class: "models" }, seeing.map(card))],
  ];
}

function card(model) {
  return h("li", {},
    h("div", { class: "row" },
      h("a", { href: `/models/${model.id}` }, model.id),
      model.context_length > 0 && h("span", { class: "chip" }, `${context(model.context_length)} tokens`),
      here(model) && h("span", { class: "chip good" }, "on this machine"),
      !asked(model) && h("span", { class: "chip warn" },
        model.providers.length ? "wants a provider's key" : "nobody serves it yet")),
    h("p", { class: "soft" }, model.description));
}

/** The code for a request of text, or with an image: who answers, what is asked, in which language. */
function example(kind, known, policies) {
  const ids = [...known].sort((a, b) => asked(b) - asked(a) || (b.recommended ?? false) - (a.recommended ?? false));
  const names = ids.map((model) => model.id);
  if (!names.length) names.push(kind === "text" ? "default" : "Qwen/Qwen2.5-VL-7B-Instruct");
  const model = h("select", { id: `${kind}-model` }, names.map((name) => h("option", {}, name)));
  const provider = h("select", { id: `${kind}-provider` });
  const words = h("input", {
    id: `${kind}-words`, value: kind === "text" ? "What is the capital of France?" : "Describe this image in one sentence.",
  });
  const picture = h("input", { id: "image-url", value: PICTURE, spellcheck: false });
  const stream = h("input", { type: "checkbox", id: `${kind}-stream` });
  const body = () => {
    const parts = [{ type: "text", text: words.value }, { type: "image_url", image_url: { url: picture.value } }];
    const content = kind === "text" ? words.value : parts;
    return { model: model.value, messages: [{ role: "user", content }], ...(stream.checked ? { stream: true } : {}) };
  };
  const panel = snippetPanel(body, { provider: () => provider.value });
  const renew = () => {
    fill(provider, providers(known.find((one) => one.id === model.value), policies));
    panel.refresh();
  };
  model.addEventListener("change", renew);
  for (const control of [provider, words, picture, stream]) control.addEventListener("change", panel.refresh);
  renew();
  const field = (control, text) => h("div", { class: "field" }, h("label", { for: control.id }, text), control);
  return h("div", { class: "card stack" },
    h("div", { class: "choices" }, field(model, "Model"), field(provider, "Provider"), field(words, "Message"),
      kind === "image" && field(picture, "Image address")),
    h("label", { class: "check" }, stream, "Stream the answer"),
    panel.element);
}

function providers(model, policies) {
  const told = (one) => (one.status && one.status !== "live" ? `${one.provider} (${one.status})` : one.provider);
  return [
    h("option", { value: "" }, "whoever serves it"),
    h("optgroup", { label: "By policy" },
      Object.keys(policies).filter((name) => name !== "local").map((name) => h("option", { value: name }, name))),
    model?.providers.length > 0 && h("optgroup", { label: "Provider" },
      model.providers.map((one) => h("option", { value: one.provider }, told(one)))),
  ];
}
