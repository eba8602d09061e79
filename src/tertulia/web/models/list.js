// The models that were found, a piece at a time.

import { h } from "/assets/shared/dom.js";
import { bytes, context, money, number } from "/assets/shared/format.js";
import { cheapest, forms, local, parameters, path, sees, speed, tools, warm } from "/assets/models/facts.js";

const PIECE = 50; // models that are drawn at once

/** A list that is shown by `show(entries)`; more of it is drawn as its end comes near. */
export function modelList() {
  const items = h("ol", { class: "models", role: "list" }); // without marks Safari takes it for no list
  const more = h("button", { type: "button", hidden: true, on: { click: () => draw() } });
  let waiting = [];

  const draw = () => {
    items.append(...waiting.splice(0, PIECE).map(item));
    more.hidden = !waiting.length;
    more.textContent = `Show more (${number(waiting.length)} left)`;
    near.unobserve(more); // what is in sight already is told only to whoever begins to look
    near.observe(more);
  };
  const near = new IntersectionObserver((seen) => seen.at(-1).isIntersecting && draw(), { rootMargin: "1200px" });
  items.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const links = [...items.querySelectorAll("h2 a")];
    const next = step && links[links.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return {
    element: h("div", { class: "stack" }, items, more),
    show(entries) {
      waiting = [...entries];
      items.replaceChildren();
      draw();
    },
    focus: () => items.querySelector("h2 a")?.focus(),
  };
}

function item(entry) {
  const [owner, name] = entry.id.includes("/") ? entry.id.split(/\/(.*)/) : ["", entry.id];
  const title = h("h2", {}, h("a", { href: path(entry.id) }, owner && h("span", { class: "owner" }, `${owner}/`), name));
  return h("li", { class: "model card" },
    h("div", { class: "about" }, title,
      entry.description && h("p", { class: "soft" }, entry.description),
      h("div", { class: "row" }, where(entry), chips(entry))),
    h("dl", { class: "figures" },
      figure("Context", entry.context_length && context(entry.context_length), number(entry.context_length)),
      figure("In / out, per M", price(entry)),
      figure("Tokens/s", speed(entry) && number(Math.round(speed(entry))))));
}

function figure(label, value, title = "") {
  const known = value !== undefined && value !== 0 && value !== "";
  return h("div", {}, h("dt", {}, label),
    known ? h("dd", { title: title === value ? "" : title }, value) : h("dd", { class: "faint" }, "unknown"));
}

function price(entry) {
  const { pricing } = cheapest(entry) ?? {};
  return pricing && `${money(pricing.input)} / ${money(pricing.output)}`;
}

/** What a model is and can do, as far as it is known. */
export function chips(entry) {
  return [
    entry.trending > 0 && h("span", { class: "chip accent" }, `#${entry.trending} trending`),
    entry.recommended && h("span", { class: "chip accent" }, "recommended"),
    sees(entry) && h("span", { class: "chip" }, "reads images"),
    tools(entry) && h("span", { class: "chip" }, "tools"),
    forms(entry) && h("span", { class: "chip" }, "structured output"),
    entry.parameters > 0 && h("span", { class: "chip" }, parameters(entry.parameters)),
    entry.released && h("span", { class: "chip", title: "Released" }, entry.released),
  ];
}

/** Who can be asked for it, or what is missing. */
export function where(entry) {
  const chip = (kind, ...words) => h("span", { class: `chip ${kind}` }, ...words);
  const far = entry.providers.filter((one) => one.provider !== "local");
  const live = far.filter((one) => one.status === "live");
  const said = [];
  if (local(entry)) said.push(chip("good", `on this machine${entry.status === "loading" ? ", loading" : ""}`));
  if (live.length) said.push(chip("good", names(live)));
  if (warm(entry)) return said;
  if (far.some((one) => one.status === "no key")) said.push(chip("warn", "needs a key of ", names(far, "or")));
  else if (far.length) said.push(chip("bad", names(far), far.length > 1 ? " fail" : " fails"));
  if (entry.runs && !local(entry)) said.push(chip("", `can be pulled${size(entry)}`));
  return said.length ? said : [chip("warn", "nobody here serves it")];
}

function size(entry) {
  return entry.fetch ? `, ${entry.about ? "about " : ""}${bytes(entry.fetch)}` : "";
}

function names(providers, word = "and") {
  const known = providers.map((one) => one.provider);
  return known.length > 3 ? `${known.slice(0, 2).join(", ")} ${word} ${known.length - 2} more` : known.join(", ");
}
