// All models: a search, filters, an order, and the list.

import { get } from "/assets/shared/api.js";
import { fill, h, icon } from "/assets/shared/dom.js";
import { number } from "/assets/shared/format.js";
import { trouble } from "/assets/shared/trouble.js";
import { whole } from "/assets/models/facts.js";
import { active, filterPanel } from "/assets/models/filters.js";
import { modelList } from "/assets/models/list.js";
import { matches, read, SORTS, sorted, write } from "/assets/models/query.js";

/** Show all models in `main`. */
export function browse(main) {
  const page = {
    entries: [],
    state: read(location.search),
    search: h("input", { id: "search", type: "search", placeholder: "Search by name or what it does", autocomplete: "off", maxLength: 200 }),
    sort: h("select", { id: "sort" }, Object.entries(SORTS).map(([value, label]) => h("option", { value }, label))),
    count: h("p", { class: "soft", role: "status" }, "Loading the models ..."),
    said: h("div", { class: "row said" }),
    note: h("div", {}),
    list: modelList(),
  };
  page.filters = filterPanel((part) => go(page, part));
  fill(main,
    h("h1", {}, "Models"),
    h("div", { class: "browse" },
      page.filters.element,
      h("section", { class: "stack", "aria-label": "Models found" },
        h("div", { class: "toolbar", role: "search" },
          h("label", { for: "search", class: "unseen" }, "Search models"), page.search,
          h("label", { for: "sort" }, "Sort"), page.sort),
        h("div", { class: "row apart" }, page.count, page.said),
        page.note, page.list.element)));
  show(page);
  listen(page);
  load(page);
}

async function load(page) {
  try {
    page.entries = (await get("/api/catalog")).models.map(whole);
    page.loaded = true;
    show(page);
  } catch (error) {
    page.count.textContent = "The models are not known.";
    const again = () => {
      fill(page.note);
      page.count.textContent = "Loading the models ...";
      load(page);
    };
    fill(page.note, trouble(error, again));
  }
}

function listen(page) {
  page.search.addEventListener("input", () => go(page, { search: page.search.value }, true));
  page.sort.addEventListener("change", () => go(page, { sort: page.sort.value }));
  page.search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      page.list.focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, dialog")) return;
    event.preventDefault();
    page.search.focus();
    page.search.select();
  });
  addEventListener("popstate", () => {
    page.state = read(location.search);
    show(page);
  });
}

/** Look for something else: `part` of the state changes, and the address with it. A search that is being typed is one
 * step of the history, not one for each letter. */
function go(page, part, typing = false) {
  page.state = { ...page.state, ...part };
  const address = write(page.state);
  if (typing && history.state?.typing) history.replaceState({ typing }, "", address);
  else history.pushState({ typing }, "", address);
  show(page);
}

function show(page) {
  const { state, entries } = page;
  if (page.search.value !== state.search) page.search.value = state.search;
  page.sort.value = state.sort;
  page.filters.show(state, entries);
  if (!page.loaded) return;
  const found = sorted(entries.filter((entry) => matches(entry, state)), state.sort);
  const all = found.length === entries.length;
  page.count.textContent = `${number(found.length)}${all ? "" : ` of ${number(entries.length)}`} model${found.length === 1 ? "" : "s"}`;
  fill(page.said, active(state).map(([label, part]) => removal(page, label, part)));
  fill(page.note, found.length ? order(state.sort, found) : nothing(page));
  page.list.show(found);
}

function removal(page, label, part) {
  const click = () => {
    go(page, part);
    page.search.focus();
  };
  return h("button", { type: "button", class: "removal", "aria-label": `Remove: ${label}`, on: { click } }, label, icon("close"));
}

/** What an order can't tell, and how it could. */
function order(sort, found) {
  const unknown = {
    trending: () => !found.some((entry) => entry.trending) && [
      "The Hub was not asked yet what is trending, so those that can be asked come first: ",
      h("code", {}, "tertulia models --refresh"), " asks it.",
    ],
    speed: () => !found.some((entry) => entry.providers.some((one) => one.throughput)) &&
      ["No speed was measured yet: each answer that comes through here measures one."],
  }[sort]?.();
  return unknown && h("p", { class: "faint small" }, unknown);
}

function nothing(page) {
  const clear = () => {
    go(page, { ...read(""), sort: page.state.sort });
    page.search.focus();
  };
  const idle = { ...page.state, warm: false };
  const less = page.state.warm ? page.entries.filter((entry) => matches(entry, idle)).length : 0;
  const wider = () => {
    go(page, { warm: false });
    page.search.focus();
  };
  return h("div", { class: "card stack" },
    h("p", {}, less ? "None of them can be asked now: it wants a provider's key, or to be fetched." : page.entries.length ? "No model that is known here is all of that." : "No model is known here."),
    page.entries.length > 0 && h("div", { class: "row" },
      less > 0 && h("button", { type: "button", class: "primary", on: { click: wider } },
        less === 1 ? "Show the one that can't be asked yet" : `Show the ${number(less)} that can't be asked yet`),
      h("button", { type: "button", on: { click: clear } }, "Clear all filters")),
    h("p", { class: "soft" }, "Any repository of the Hugging Face Hub whose weights the engine can load can be fetched: ",
      h("code", {}, "tertulia pull OWNER/NAME"), ". ", h("code", {}, "tertulia models --refresh"),
      " asks the providers that have a key what they serve by now."));
}
