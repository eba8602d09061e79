// The models that can be asked, as /v1/models tells them.

import { get } from "/assets/shared/api.js";
import { money } from "/assets/shared/format.js";

export const POLICIES = { fastest: "Fastest", cheapest: "Cheapest", preferred: "Preferred" };

const known = { all: [], byId: new Map(), standard: "", failure: null, loaded: false };

/** Ask the server for its models; `models()` and the like tell of them from then on. Doesn't raise. */
export async function loadModels() {
  const [list, standard] = await Promise.allSettled([get("/v1/models"), get("/v1/models/default")]);
  known.failure = list.status === "rejected" ? list.reason : null;
  known.all = list.value?.data ?? [];
  known.byId = new Map();
  for (const card of [...known.all].reverse()) {
    for (const name of [...(card.aliases ?? []), card.id]) known.byId.set(name, card);
  }
  known.standard = standard.value?.id ?? known.all[0]?.id ?? "";
  known.loaded = true;
}

/** {all: cards, failure: why there are none or null, loaded: whether the server was asked yet}. */
export function models() {
  return known;
}

/** The id of the model that is asked where none is named; "" where that is not known. */
export function standard() {
  return known.standard;
}

/** The card of a model, by its id or an alias; undefined of one that the server did not tell of. */
export function card(id) {
  return known.byId.get(id || known.standard);
}

/** A model's name without who made it. */
export function short(id) {
  return (id || known.standard || "default model").split("/").at(-1);
}

/** Whether a model takes pictures; undefined if that is not known. */
export function sees(id) {
  return card(id)?.architecture?.input_modalities?.includes("image");
}

/** What a million tokens cost, read and written; "" if that is not known. */
export function price(provider) {
  const { input, output } = provider.pricing ?? {};
  if (!Number.isFinite(input) || !Number.isFinite(output)) return "";
  return input === 0 && output === 0 ? "free" : `${money(input)} / ${money(output)}`;
}
