// What can be said of a model, out of what the server tells of it and of those who serve it.

export const TEXT = "text-generation";
export const SIGHT = "image-text-to-text";

const STATES = ["live", "error", "no key"]; // who can be asked comes first

const now = (entry) => entry.providers.filter((one) => one.status === "live");

/** An entry as the server sends it, with the fields that it leaves out where they are empty; and what it is found by,
 * the same for every letter that is typed. */
export function whole(entry) {
  const empty = { description: "", licence: "", aliases: [], input: [], output: [], context_length: 0, trending: 0 };
  const providers = (entry.providers ?? []).map((one) => ({ status: "live", capabilities: {}, probed: {}, ...one }));
  providers.sort((a, b) => STATES.indexOf(a.status) - STATES.indexOf(b.status));
  const full = { ...empty, released: "", parameters: 0, status: "", bytes: 0, fetch: 0, ...entry, providers };
  full.text = [full.id, ...full.aliases, full.description].join(" ").toLowerCase();
  full.tags = tags(full);
  return full;
}

/** Those who can be asked now; where nobody can, all who serve it. */
export function asked(entry) {
  const live = now(entry);
  return live.length ? live : entry.providers;
}

export const warm = (entry) => now(entry).length > 0;
export const local = (entry) => entry.status !== "";
export const sees = (entry) => entry.input.includes("image");
export const task = (entry) => (sees(entry) ? SIGHT : TEXT);
export const tools = (entry) => asked(entry).some((one) => one.supports_tools);
export const forms = (entry) => asked(entry).some((one) => one.supports_structured_output);

/** Who asks least for what is written, as `/v1/models` tells it; undefined where no price is known. */
export function cheapest(entry) {
  const priced = asked(entry).filter((one) => one.pricing);
  return priced.sort((a, b) => a.pricing.output - b.pricing.output || a.pricing.input - b.pricing.input)[0];
}

/** The most tokens a second that were measured; undefined where nothing was. */
export function speed(entry) {
  const known = now(entry).map((one) => one.throughput).filter(Boolean);
  return known.length ? Math.max(...known) : undefined;
}

/** The words that `filter` finds it by. */
function tags(entry) {
  return [task(entry), "conversational", entry.recommended && "recommended", tools(entry) && "tools",
    forms(entry) && "structured-output", entry.licence && `license:${entry.licence.toLowerCase()}`].filter(Boolean);
}

/** Where it is shown. */
export const path = (id) => `/models/${id.split("/").map(encodeURIComponent).join("/")}`;

/** Where it is tried, at one provider or at whoever is best. */
export function playground(id, provider = "") {
  const query = new URLSearchParams({ modelId: id, ...(provider ? { provider } : {}) });
  return `/playground?${query}`;
}

/** Parameters, as they are called: 8.03B, 494M. */
export function parameters(count) {
  const [size, letter] = count >= 1e9 ? [1e9, "B"] : [1e6, "M"];
  return `${Number((count / size).toPrecision(3))}${letter}`;
}
