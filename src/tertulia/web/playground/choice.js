// The dialog in which a model is chosen: searched, filtered, or named.

import { fill, h } from "/assets/shared/dom.js";
import { context } from "/assets/shared/format.js";
import { loadModels, models, price, standard } from "/assets/playground/cards.js";
import { press } from "/assets/playground/press.js";

const SHOWN = 100;
const UNLISTED = "The server did not list it: it may know the name nevertheless, or say what is nearest.";
const FILTERS = {
  "Takes pictures": (one) => one.architecture?.input_modalities?.includes("image"),
  "On this machine": (one) => !one.providers || one.providers.some((by) => by.provider === "local"),
  "Calls tools": (one) => one.providers?.some((by) => by.supports_tools),
};
const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };

/** The dialog, open. `made` is a promise of the id that is chosen, null if none is. */
export class Choice {
  #active = 0;
  #rows = [];
  #wanted = new Set();
  #list = h("ul", { id: "models", role: "listbox", "aria-label": "Models" });
  #note = h("p", { class: "faint small", role: "status" });

  constructor(current) {
    this.current = current || standard();
    this.input = h("input", {
      type: "search", placeholder: "Search, or write an id", autocomplete: "off", spellcheck: false,
      role: "combobox", "aria-expanded": "true", "aria-controls": "models", "aria-autocomplete": "list",
      "aria-label": "Search models",
      on: { input: () => this.#draw(), keydown: (event) => this.#key(event) },
    });
    const search = h("div", { class: "search" }, this.input, press("Cancel", () => this.dialog.close("")));
    const filters = h("div", { class: "row" }, Object.keys(FILTERS).map((name) => this.#filter(name)));
    this.dialog = h("dialog", { class: "models", "aria-label": "Choose a model" }, search, filters, this.#note, this.#list);
    this.made = new Promise((resolve) => {
      this.dialog.addEventListener("close", () => {
        this.dialog.remove();
        resolve(this.dialog.returnValue ? this.dialog.returnValue.slice(1) : null);
      });
    });
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.input.focus();
    this.#draw();
    this.#point(this.#rows.findIndex(({ id }) => id === this.current));
    if (models().failure) this.#reload();
  }

  #filter(name) {
    const flip = ({ currentTarget: button }) => {
      const on = !this.#wanted.delete(name);
      if (on) this.#wanted.add(name);
      button.setAttribute("aria-pressed", String(on));
      this.#draw();
    };
    return press(name, flip, { class: "small", "aria-pressed": "false" });
  }

  #draw() {
    const written = this.input.value.trim();
    const found = this.#found(written.toLowerCase().split(/\s+/));
    this.#rows = found.slice(0, SHOWN).map((one) => ({ id: one.id, element: row(one, this.current) }));
    const listed = found.some((one) => one.id === written);
    if (written && !listed) this.#rows.push({ id: written, element: unlisted(written) });
    this.#rows.forEach(({ id, element }, place) => {
      element.id = `model-${place}`;
      element.addEventListener("click", () => this.#pick(id));
    });
    fill(this.#list, this.#rows.map(({ element }) => element));
    fill(this.#note, this.#remark(found.length));
    this.#point(0);
  }

  #found(words) {
    return models().all.filter((one) => {
      const by = (one.providers ?? []).map(({ provider }) => provider);
      const text = [one.id, ...(one.aliases ?? []), ...by].join(" ").toLowerCase();
      return words.every((word) => text.includes(word)) && [...this.#wanted].every((name) => FILTERS[name](one));
    });
  }

  #remark(count) {
    const { failure, loaded, all } = models();
    if (failure) return [h("span", { class: "error" }, failure.message), " ", press("Ask again", () => this.#reload())];
    if (!loaded) return "Asking the server …";
    if (!all.length) return "This server has no model yet: `tertulia pull smollm2` fetches one.";
    if (count > SHOWN) return `${count} models: the first ${SHOWN} are shown. Write more of the name.`;
    return count === 1 ? "1 model" : `${count} models`;
  }

  async #reload() {
    fill(this.#note, "Asking the server …");
    await loadModels();
    this.#draw();
  }

  #point(at) {
    this.#active = Math.max(0, Math.min(at, this.#rows.length - 1));
    this.#rows.forEach(({ element }, place) => element.classList.toggle("active", place === this.#active));
    this.input.setAttribute("aria-activedescendant", this.#rows.length ? `model-${this.#active}` : "");
    this.#rows[this.#active]?.element.scrollIntoView({ block: "nearest" });
  }

  #pick(id) {
    this.dialog.close(`=${id}`);
  }

  #key(event) {
    const step = STEPS[event.key];
    if (step) this.#point(this.#active + step);
    else if (event.key === "Enter" && this.#rows.length) this.#pick(this.#rows[this.#active].id);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function row(one, current) {
  const by = one.providers ?? [];
  const priced = by.filter((each) => each.status === "live" && price(each));
  const [cheapest] = priced.sort((a, b) => a.pricing.output - b.pricing.output);
  const chip = (text, kind = "", title = "") => h("span", { class: `chip ${kind}`, title }, text);
  return h("li", { role: "option", "aria-selected": String(one.id === current) },
    h("div", { class: "id" }, one.id),
    h("div", { class: "row facts" },
      one.status && chip(one.status, one.status === "ready" ? "good" : ""),
      FILTERS["Takes pictures"](one) && chip("pictures", "accent"),
      one.context_length ? chip(`${context(one.context_length)} tokens`) : null,
      cheapest && chip(price(cheapest), "", "dollars per million tokens, read / written"),
      by.length ? h("span", { class: "faint small" }, by.map((each) => each.provider).join(", ")) : null),
    one.description ? h("p", { class: "faint small" }, one.description) : null);
}

function unlisted(id) {
  return h("li", { role: "option", "aria-selected": "false" },
    h("div", { class: "id" }, `Ask for “${id}”`), h("p", { class: "faint small" }, UNLISTED));
}
