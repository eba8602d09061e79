// The address holds what is looked for, in the words of the Hub's own page; and which models that means.

import { cheapest, local, speed, task, warm } from "/assets/models/facts.js";

export const SORTS = {
  trending: "Trending",
  price: "Cheapest",
  speed: "Fastest",
  context: "Longest context",
  newest: "Newest",
  name: "Name",
};
const WORDS = { created: "newest", createdAt: "newest", modified: "newest", lastModified: "newest", trendingScore: "trending" };

const own = (words, name) => (Object.hasOwn(words, name) ? words[name] : undefined); // an address may say "toString"
const list = (query, ...names) =>
  names.flatMap((name) => query.getAll(name)).flatMap((said) => said.split(",")).filter(Boolean);

/** What an address (its part from `?` on) looks for. */
export function read(text) {
  const query = new URLSearchParams(text);
  const sort = query.get("sort") ?? "";
  return {
    search: query.get("search") ?? "",
    task: query.get("pipeline_tag") ?? "",
    warm: query.get("inference") === "warm",
    providers: list(query, "inference_provider", "inference_provider[]"),
    filters: list(query, "filter", "filter[]", "other"),
    author: query.get("author") ?? "",
    sort: [sort, own(WORDS, sort)].find((one) => Object.hasOwn(SORTS, one)) ?? "trending",
  };
}

/** The address for what is looked for. */
export function write(state) {
  const query = new URLSearchParams();
  const said = [
    ["search", state.search.trim()],
    ["inference", state.warm && "warm"],
    ["pipeline_tag", state.task],
    ["inference_provider", state.providers.join(",")],
    ["filter", state.filters.join(",")],
    ["author", state.author],
    ["sort", state.sort !== "trending" && state.sort],
  ];
  for (const [name, value] of said) if (value) query.set(name, value);
  const text = query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return text ? `/models?${text}` : "/models";
}

/** Whether `entry` is looked for. */
export function matches(entry, state) {
  if (state.warm && !warm(entry)) return false;
  if (state.task && state.task !== task(entry)) return false;
  if (state.author && entry.id.split("/")[0].toLowerCase() !== state.author.toLowerCase()) return false;
  if (state.providers.length && !state.providers.some((name) => serves(entry, name))) return false;
  if (!state.filters.every((tag) => entry.tags.includes(tag.toLowerCase()))) return false;
  return state.search.toLowerCase().split(/\s+/).every((word) => entry.text.includes(word));
}

function serves(entry, name) {
  if (name === "all") return warm(entry);
  return name === "local" ? local(entry) : entry.providers.some((one) => one.provider === name);
}

const byName = new Intl.Collator("en", { numeric: true }).compare;
const last = (value, sign = 1) => (value === undefined || value === 0 || value === "" ? Infinity : sign * value);
const difference = (a, b) => (a === b ? 0 : a - b); // two unknowns are level

/** What models are ordered by, lower first; unknown is Infinity and comes last. */
const KEYS = {
  trending: (entry) => entry.trending || Infinity,
  price: (entry) => cheapest(entry)?.pricing.output ?? Infinity,
  speed: (entry) => last(speed(entry), -1),
  context: (entry) => last(entry.context_length, -1),
  newest: (entry) => (entry.released ? -Date.parse(entry.released) : Infinity),
  name: () => 0,
};

/** `entries` in the order that `sort` asks for. Who is level: what can be asked first, then as the server has them. */
export function sorted(entries, sort) {
  const rows = entries.map((entry, place) => ({ entry, place, key: KEYS[sort](entry), cold: warm(entry) ? 0 : 1 }));
  const order = sort === "name"
    ? (a, b) => byName(a.entry.id, b.entry.id)
    : (a, b) => difference(a.key, b.key) || a.cold - b.cold || a.place - b.place;
  return rows.sort(order).map((row) => row.entry);
}
