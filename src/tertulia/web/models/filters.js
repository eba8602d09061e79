// What the list can be narrowed by, with how many models each would leave.

import { fill, h } from "/assets/shared/dom.js";
import { number } from "/assets/shared/format.js";
import { SIGHT, TEXT } from "/assets/models/facts.js";
import { matches } from "/assets/models/query.js";

const TASKS = [["", "Anything"], [TEXT, "Text"], [SIGHT, "Text and images"]];
const TAGS = [["tools", "Tools"], ["structured-output", "Structured output"], ["recommended", "Recommended"]];
const PLACES = [["local", "This machine"], ["all", "Any provider"]];
const toggled = (items, item) => (items.includes(item) ? items.filter((one) => one !== item) : [...items, item]);

/** The controls beside the list. `change(part)` is called with what of the state is another now. */
export function filterPanel(change) {
  const place = h("div", { class: "stack" });
  const summary = h("summary", {}, "Filters");
  const element = h("details", { class: "filters" }, summary, place);
  const wide = matchMedia("(min-width: 800px)");
  const fit = () => {
    element.open = wide.matches;
  };
  wide.addEventListener("change", fit);
  fit();
  return {
    element,
    /** Show `state` over `entries`. The focus stays where it was. */
    show(state, entries) {
      const left = (part) => entries.filter((entry) => matches(entry, { ...state, ...part })).length;
      const count = (part) => (entries.length ? number(left(part)) : "");
      const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
      const scroll = place.querySelector(".providers")?.scrollTop ?? 0;
      fill(place, tasks(state, count, change), abilities(state, count, change), providers(state, entries, count, change));
      place.querySelector(".providers")?.scrollTo(0, scroll);
      if (focused) document.getElementById(focused)?.focus();
      summary.textContent = active(state).length ? `Filters (${active(state).length})` : "Filters";
    },
  };
}

function option(kind, name, id, label, checked, count, act) {
  const input = h("input", { type: kind, name, id: `filter-${name}-${id}`, checked, on: { change: act } });
  return h("label", { class: "check" }, input, h("span", { class: "label" }, label),
    h("span", { class: "faint small" }, count));
}

function group(title, ...options) {
  return h("fieldset", {}, h("legend", {}, title), options);
}

function tasks(state, count, change) {
  return group("Reads", TASKS.map(([task, label]) =>
    option("radio", "task", task || "any", label, state.task === task, count({ task }), () => change({ task }))));
}

function abilities(state, count, change) {
  const there = count({ warm: true });
  return group("Only with",
    option("checkbox", "warm", "now", "Can be asked now", state.warm, there, () => change({ warm: !state.warm })),
    TAGS.map(([tag, label]) => {
      const filters = state.filters.includes(tag) ? state.filters : [...state.filters, tag];
      const act = () => change({ filters: toggled(state.filters, tag) });
      return option("checkbox", "tag", tag, label, state.filters.includes(tag), count({ filters }), act);
    }));
}

function providers(state, entries, count, change) {
  const known = new Map();
  for (const entry of entries) for (const one of entry.providers) known.set(one.provider, one.status !== "no key");
  for (const name of state.providers) if (name !== "all" && !known.has(name)) known.set(name, false);
  const rows = [...known].sort((a, b) => (b[0] === "local") - (a[0] === "local") || b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const options = rows.map(([name, keyed]) => {
    const label = [name === "local" ? "This machine" : name, !keyed && h("span", { class: "faint small" }, " no key")];
    const act = () => change({ providers: toggled(state.providers, name) });
    return option("checkbox", "provider", name, label, state.providers.includes(name), count({ providers: [name] }), act);
  });
  return options.length > 0 && group("Served by", h("div", { class: "providers" }, options));
}

/** What narrows the list: words for each, and the part of the state that takes it away. */
export function active(state) {
  const label = (pairs, value) => pairs.find(([one]) => one === value)?.[1] ?? value;
  return [
    state.search.trim() && [`“${state.search.trim()}”`, { search: "" }],
    state.task && [`Reads: ${label(TASKS, state.task).toLowerCase()}`, { task: "" }],
    state.warm && ["Can be asked now", { warm: false }],
    ...state.filters.map((tag) => [label(TAGS, tag), { filters: toggled(state.filters, tag) }]),
    ...state.providers.map((name) => [label(PLACES, name), { providers: toggled(state.providers, name) }]),
    state.author && [`By ${state.author}`, { author: "" }],
  ].filter(Boolean);
}
