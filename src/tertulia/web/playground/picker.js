// Which model answers a conversation, and who serves it.

import { fill, h } from "/assets/shared/dom.js";
import { card, POLICIES, price, short, standard } from "/assets/playground/cards.js";
import { Choice } from "/assets/playground/choice.js";

/** A button for the model and a list for the provider of `chat`; `change()` is called when another is chosen. */
export class Picker {
  #name = h("span", { class: "name" });

  constructor(chat, change) {
    this.chat = chat;
    this.change = change;
    const caret = h("span", { "aria-hidden": "true" }, "▾");
    const open = { click: () => this.#open() };
    const properties = { type: "button", class: "model", "aria-haspopup": "dialog", on: open };
    this.button = h("button", properties, this.#name, caret);
    this.select = h("select", { class: "provider", "aria-label": "Provider", on: { change: () => this.#provide() } });
    this.elements = [this.button, this.select];
    this.draw();
  }

  draw() {
    const { chat } = this;
    const id = chat.model || standard();
    this.#name.textContent = short(id);
    this.button.title = id || "The server's default model";
    this.button.setAttribute("aria-label", `Model: ${id || "the server's default"}`);
    fill(this.select, options(chat));
    this.select.value = chat.provider;
  }

  async #open() {
    const chosen = await new Choice(this.chat.model).made;
    if (chosen === null) return;
    this.chat.model = chosen;
    if (pinned(this.chat) && !serves(chosen, this.chat.provider)) this.chat.provider = "";
    this.draw();
    this.change();
  }

  #provide() {
    this.chat.provider = this.select.value;
    this.change();
  }
}

/** Whether `chat` names a provider, and not a policy. */
function pinned({ provider }) {
  return Boolean(provider) && !Object.hasOwn(POLICIES, provider);
}

function serves(id, provider) {
  return card(id)?.providers?.some((one) => one.provider === provider) ?? false;
}

function options(chat) {
  const told = (card(chat.model)?.providers ?? []).map((one) => {
    const facts = [one.status === "live" ? "" : one.status, price(one)].filter(Boolean).join(", ");
    return h("option", { value: one.provider }, facts ? `${one.provider} (${facts})` : one.provider);
  });
  if (pinned(chat) && !serves(chat.model, chat.provider)) {
    told.push(h("option", { value: chat.provider }, `${chat.provider} (not told by the server)`));
  }
  const policies = Object.entries(POLICIES).map(([value, label]) => h("option", { value }, label));
  return [h("option", { value: "" }, "Any provider"), h("optgroup", { label: "Chosen by" }, policies),
    told.length ? h("optgroup", { label: "Providers" }, told) : null];
}
