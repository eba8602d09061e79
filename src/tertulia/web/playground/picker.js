// Which model answers, and who serves it.

import { fill, h } from "/assets/shared/dom.js";
import { context } from "/assets/shared/format.js";
import { card, loadModels, models, POLICIES, price, short, standard } from "/assets/playground/cards.js";

const SHOWN = 100;
const FILTERS = {
  pictures: ["Takes pictures", (one) => one.architecture?.input_modalities?.includes("image")],
  here: ["On this machine", (one) => !one.providers || one.providers.some((by) => by.provider === "local")],
  tools: ["Calls tools", (one) => one.providers?.some((by) => by.supports_tools)],
};

/** Buttons for the model and the provider of `chat`; `change()` is called when another is chosen. */
export function picker(chat, change) {
  const name = h("span", { class: "name" });
  const button = h("button", { type: "button", class: "model", "aria-haspopup": "dialog", on: { click: open } }, name, h("span", { "aria-hidden": "true" }, "▾"));
  const select = h("select", { class: "provider", "aria-label": "Provider", on: { change: provide } });

  async function open() {
    const chosen = await choose(chat.model);
    if (chosen === null) return;
    chat.model = chosen;
    if (chat.provider && !(chat.provider in POLICIES) && !serves(chosen, chat.provider)) chat.provider = "";
    update();
    change();
  }

  function provide() {
    chat.provider = select.value;
    update();
    change();
  }

  function update() {
    const id = chat.model || standard();
    name.textContent = short(id);
    button.title = id || "The server's default model";
    button.setAttribute("aria-label", `Model: ${id || "the server's default"}`);
    fill(select, ...options(chat));
    select.value = chat.provider;
  }

  update();
  return { elements: [button, select], button, update };
}

function serves(id, provider) {
  return card(id)?.providers?.some((one) => one.provider === provider) ?? false;
}

function options(chat) {
  const list = card(chat.model)?.providers ?? [];
  const told = list.map((one) => {
    const facts = [one.status === "live" ? "" : one.status, price(one)].filter(Boolean).join(", ");
    return h("option", { value: one.provider }, facts ? `${one.provider} (${facts})` : one.provider);
  });
  if (chat.provider && !(chat.provider in POLICIES) && !list.some((one) => one.provider === chat.provider)) {
    told.push(h("option", { value: chat.provider }, `${chat.provider} (not told by the server)`));
  }
  const policies = Object.entries(POLICIES).map(([value, label]) => h("option", { value }, label));
  return [h("option", { value: "" }, "Any provider"), h("optgroup", { label: "Chosen by" }, policies),
    told.length ? h("optgroup", { label: "Providers" }, told) : null];
}

/** Let the person choose a model in a dialog: its id, or null if none was chosen. */
function choose(current) {
  let active = 0;
  let rows = [];
  const wanted = new Set();
  const input = h("input", {
    type: "search", role: "combobox", "aria-expanded": "true", "aria-controls": "models", "aria-label": "Search models",
    "aria-autocomplete": "list", placeholder: "Search models, or write an id", autocomplete: "off", spellcheck: false,
    on: { input: () => draw(0), keydown: key },
  });
  const list = h("ul", { id: "models", role: "listbox", "aria-label": "Models" });
  const note = h("p", { class: "faint small", role: "status" });
  const boxes = Object.entries(FILTERS).map(([name, [label]]) => {
    const flip = () => {
      wanted[wanted.has(name) ? "delete" : "add"](name);
      box.setAttribute("aria-pressed", String(wanted.has(name)));
      draw(0);
    };
    const box = h("button", { type: "button", class: "small", "aria-pressed": "false", on: { click: flip } }, label);
    return box;
  });
  const dialog = h("dialog", { class: "models", "aria-label": "Choose a model" },
    h("div", { class: "search" }, input, h("button", { type: "button", on: { click: () => dialog.close("") } }, "Cancel")),
    h("div", { class: "row" }, boxes), note, list);
  const pick = (id) => dialog.close(`=${id}`);

  function draw(at) {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = matches(words, wanted);
    const exact = found.some((one) => one.id === input.value.trim());
    rows = found.slice(0, SHOWN).map((one) => ({ id: one.id, element: row(one, current || standard()) }));
    if (input.value.trim() && !exact) rows.push({ id: input.value.trim(), element: typed(input.value.trim()) });
    rows.forEach(({ id, element }, place) => {
      element.id = `model-${place}`;
      element.addEventListener("click", () => pick(id));
    });
    fill(list, rows.map(({ element }) => element));
    fill(note, ...remark(found.length, reload));
    point(at);
  }

  async function reload() {
    fill(note, "Asking the server …");
    await loadModels();
    draw(0);
  }

  function point(at) {
    active = Math.max(0, Math.min(at, rows.length - 1));
    rows.forEach(({ element }, place) => element.classList.toggle("active", place === active));
    input.setAttribute("aria-activedescendant", rows.length ? `model-${active}` : "");
    rows[active]?.element.scrollIntoView({ block: "nearest" });
  }

  function key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) point(active + step);
    else if (event.key === "Enter" && rows[active]) pick(rows[active].id);
    else return;
    event.preventDefault();
  }

  document.body.append(dialog);
  draw(0);
  point(rows.findIndex(({ id }) => id === (current || standard())));
  if (models().failure) reload();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue ? dialog.returnValue.slice(1) : null);
    });
    dialog.showModal();
    input.focus();
    point(active);
  });
}

function matches(words, wanted) {
  return models().all.filter((one) => {
    const text = [one.id, ...(one.aliases ?? []), ...(one.providers ?? []).map((by) => by.provider)].join(" ").toLowerCase();
    return words.every((word) => text.includes(word)) && [...wanted].every((name) => FILTERS[name][1](one));
  });
}

function row(one, current) {
  const by = one.providers ?? [];
  const prices = by.filter((each) => each.status === "live" && price(each));
  const cheapest = prices.sort((a, b) => a.pricing.output - b.pricing.output)[0];
  const facts = [
    one.status && h("span", { class: `chip ${one.status === "ready" ? "good" : ""}` }, one.status),
    FILTERS.pictures[1](one) && h("span", { class: "chip accent" }, "pictures"),
    one.context_length ? h("span", { class: "chip" }, `${context(one.context_length)} tokens`) : null,
    cheapest && h("span", { class: "chip", title: "dollars per million tokens, read / written" }, price(cheapest)),
    by.length ? h("span", { class: "faint small" }, by.map((each) => each.provider).join(", ")) : null,
  ];
  return h("li", { role: "option", "aria-selected": String(one.id === current) },
    h("div", { class: "id" }, one.id), h("div", { class: "row facts" }, facts),
    one.description ? h("p", { class: "faint small" }, one.description) : null);
}

function typed(id) {
  return h("li", { role: "option", "aria-selected": "false" }, h("div", { class: "id" }, `Ask for “${id}”`),
    h("p", { class: "faint small" }, "The server did not list it: it may know the name nevertheless, or say what is nearest."));
}

function remark(count, reload) {
  const { failure, loaded, all } = models();
  if (failure) return [h("span", { class: "error" }, failure.message), " ", h("button", { type: "button", on: { click: reload } }, "Ask again")];
  if (!loaded) return ["Asking the server …"];
  if (!all.length) return ["This server has no model yet: `tertulia pull smollm2` fetches one."];
  if (count > SHOWN) return [`${count} models: the first ${SHOWN} are shown. Write more of the name.`];
  return [count === 1 ? "1 model" : `${count} models`];
}
