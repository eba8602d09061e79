// The last chats: who asked what of whom, and what became of it. Never what was said.

import { h } from "/assets/shared/dom.js";
import { duration, money, number } from "/assets/shared/format.js";
import { known, moment, part } from "/assets/status/figures.js";
import { table } from "/assets/status/table.js";

const COLUMNS = [
  { name: "At", view: ({ when }) => moment(when) },
  { name: "Model", view: ({ model }) => model || "–" },
  { name: "Provider", view: ({ provider }) => provider || "–" },
  { name: "Outcome", view: outcome },
  { name: "First token", number: true, view: ({ first }) => known(first, (value) => duration(value * 1000)) },
  { name: "In all", number: true, view: ({ seconds }) => duration(seconds * 1000) },
  { name: "Tokens in + out", number: true, view: tokens },
  { name: "Cost", number: true, view: ({ cost }) => known(cost, money) },
  { name: "Caller", view: ({ caller }) => caller },
  { name: "Route", view: route },
];
const DRAWN = 60;

/** The part, {element, update(told), wait()}. */
export function requests() {
  const shown = table("Recent requests", COLUMNS, ({ id, when }) => `${id} ${when}`);
  const empty = h("p", { class: "faint" }, "Looking …");
  const drawing = h("div", { class: "spark tall", role: "img", hidden: true });
  shown.element.hidden = true;
  let newest = "";
  return {
    element: part("Recent requests", empty, drawing, shown.element),
    wait: () => shown.element.hidden && (empty.textContent = ""),
    update({ requests: all }) {
      empty.textContent = "No chat yet since the server was started.";
      empty.hidden = all.length > 0;
      shown.element.hidden = drawing.hidden = all.length === 0;
      const now = all.length ? `${all[0].id} ${all[0].when} ${all.length}` : "";
      if (now === newest) return;
      newest = now;
      shown.update(all);
      spark(drawing, all.slice(0, DRAWN).reverse());
    },
  };
}

function outcome({ outcome: word, status }) {
  if (word === "ok") return h("span", { class: "chip good" }, String(status));
  if (word === "hung_up") return h("span", { class: "chip" }, "caller left");
  return h("span", { class: status >= 500 || status < 400 ? "chip bad" : "chip warn" }, `${status} ${word}`);
}

function tokens({ prompt_tokens: read, completion_tokens: written }) {
  return read === null ? "–" : `${number(read)} + ${number(written)}`;
}

/** Who was asked, one after another; folded where that was one alone. */
function route({ id, attempts, stream }) {
  if (!attempts.length) return h("code", { class: "id" }, id);
  const steps = attempts.map(({ provider, model, outcome: word, why, seconds }) =>
    h("li", {}, h("strong", {}, provider), ` ${model}: ${word}`, why && ` (${why})`,
      seconds > 0 && ` after ${duration(seconds * 1000)}`));
  const words = attempts.length === 1 ? "1 asked" : `${attempts.length} considered`;
  return h("details", {}, h("summary", {}, words), h("ol", {}, steps),
    h("p", { class: "faint" }, stream ? "streamed" : "whole", " · ", h("code", { class: "id" }, id)));
}

/** How long each took, against the longest of them; what went wrong in another colour. */
function spark(box, all) {
  const most = Math.max(...all.map(({ seconds }) => seconds), 0.001);
  box.replaceChildren(...all.map(({ seconds, outcome: word }) => {
    const one = h("span", { class: word === "ok" ? "" : "wrong" });
    one.style.height = `${Math.max((seconds / most) * 100, 4)}%`;
    return one;
  }));
  const wrong = all.filter(({ outcome: word }) => word !== "ok").length;
  const words = `The last ${all.length}, by seconds: ${duration(most * 1000)} at most, ${wrong} without success`;
  box.setAttribute("aria-label", words);
  box.title = words;
}
