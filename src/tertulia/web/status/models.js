// The models of this machine that are loaded: their processes and their engines' own figures.

import { fill, h } from "/assets/shared/dom.js";
import { bytes, number } from "/assets/shared/format.js";
import { bar, known, part, span, UNKNOWN } from "/assets/status/figures.js";

const STATES = { ready: "good", loading: "warn", restarting: "bad", stopped: "bad" };
const SHOWN = 60; // samples of the KV pool's use

/** The part, {element, update(told), wait()}. */
export function models() {
  const box = h("div", { class: "grid" });
  const empty = h("p", { class: "faint" }, "Looking …");
  const cards = new Map();
  return {
    element: part("Models on this machine", empty, box),
    wait: () => cards.size || (empty.textContent = ""),
    update(told) {
      empty.hidden = told.models.length > 0;
      empty.textContent = "None is loaded. One is when it is first asked for.";
      const ids = new Set(told.models.map(({ id }) => id));
      for (const [id, { element }] of cards) if (!ids.has(id)) element.remove(), cards.delete(id);
      for (const model of told.models) {
        if (!cards.has(model.id)) {
          cards.set(model.id, card(model.id));
          box.append(cards.get(model.id).element);
        }
        cards.get(model.id).update(model, told.now);
      }
    },
  };
}

function card(id) {
  const state = h("span", { class: "chip" });
  const why = h("p", { class: "error small", hidden: true });
  const figures = h("dl", { class: "facts" });
  const about = h("p", { class: "faint small" });
  const past = [];
  const drawing = h("div", { class: "spark", role: "img" });
  return {
    element: h("article", { class: "card stack" },
      h("div", { class: "row apart" }, h("h3", {}, id), state), why, figures, drawing, about),
    update({ process, engine }, now) {
      const word = process?.state ?? "ready";
      state.className = `chip ${STATES[word] ?? ""}`;
      state.textContent = process ? `${word} for ${span(now - process.since)}` : word;
      why.hidden = !process?.why;
      why.textContent = process?.why ? died(process) : "";
      fill(figures, facts(process, engine).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
      about.textContent = made(engine?.info);
      if (engine) past.push(engine.kv_used_ratio ?? 0);
      past.splice(0, past.length - SHOWN);
      spark(drawing, past);
    },
  };
}

function died({ deaths, why, state }) {
  const times = deaths === 1 ? "once" : `${number(deaths)} times`;
  return deaths && state === "ready" ? `Started again ${times}: ${why}` : why;
}

function facts(process, engine) {
  const { running_sequences: running, queue_length: waiting, kv_used_ratio: used, prompt_tokens: read } = engine ?? {};
  const room = engine?.kv_blocks && engine.info?.block && engine.kv_blocks * engine.info.block;
  const hits = engine?.cached_tokens / read;
  return [
    ["Running", known(running, number)],
    ["Queue", known(waiting, number)],
    ["KV pool in use", used === undefined ? UNKNOWN : bar(used, percent(used) + (room ? ` of ${number(room)} tokens` : ""))],
    ["Prefix hits", read ? bar(hits, `${percent(hits)} of what was read`) : UNKNOWN],
    ["Tokens read", known(read, number)],
    ["Tokens written", known(engine?.completion_tokens, number)],
    ["Preemptions", known(engine?.preemptions, number)],
    ["Memory", known(process?.memory, bytes)],
  ];
}

function percent(share) {
  return `${share > 0 && share < 0.01 ? "< 1" : Math.round(share * 100)} %`;
}

function made(info) {
  if (!info) return "The engine has not told of itself.";
  return `${info.weights} weights · context ${number(Number(info.context))} · OpenVINO ${info.openvino} · ${info.cpu}`;
}

/** The use of the KV pool while this page was open, a bar for each look. */
function spark(box, past) {
  while (box.children.length < past.length) box.append(h("span", {}));
  past.forEach((share, place) => {
    box.children[place].style.height = `${Math.max(share * 100, 3)}%`;
  });
  const most = past.length ? percent(Math.max(...past)) : "nothing";
  box.setAttribute("aria-label", `KV pool in use while this page was open: ${most} at most`);
}
