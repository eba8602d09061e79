// How likely each token was: a text with a warmth for every token, and what could have stood in its place.

import { fill, h } from "/assets/shared/dom.js";
import { shower } from "/assets/shared/visible.js";

const MOST = 20_000;
const STEPS = [
  [0.9, 0],
  [0.6, 1],
  [0.3, 2],
  [0.1, 3],
  [0, 4],
];
const MOVES = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -Infinity, End: Infinity };

let made = 0;

/** A view of log-probabilities that grow: `{element, write(tokens, until)}`; false says that there is more to do. */
export function heatView() {
  const id = `heat-${(made += 1)}`;
  const show = shower();
  const text = h("div", {
    class: "tokens",
    role: "listbox",
    tabIndex: 0,
    "aria-label": "Tokens, and how likely each was",
  });
  const rivals = h("div", { class: "rivals card", role: "status", id: `${id}-rivals`, hidden: true });
  const note = h("p", { class: "faint small" });
  const element = h("div", { class: "heat" }, legend(), h("div", { class: "field-of-tokens" }, text, rivals), note);
  let shown = [];
  let active = -1;

  const choose = (place) => {
    text.children[active]?.classList.remove("active");
    text.children[active]?.removeAttribute("id");
    active = place;
    const token = text.children[place];
    rivals.hidden = !token;
    if (!token) return text.removeAttribute("aria-activedescendant");
    token.classList.add("active");
    token.id = `${id}-active`;
    text.setAttribute("aria-activedescendant", token.id);
    fill(rivals, table(shown[place], show));
    rivals.style.top = `${token.offsetTop + token.offsetHeight + 4}px`;
    rivals.style.left = `${Math.max(0, Math.min(token.offsetLeft, text.clientWidth - rivals.offsetWidth))}px`;
  };
  const placeOf = ({ target }) => [...text.children].indexOf(target.closest(".token"));
  text.addEventListener("pointerover", (event) => event.target !== text && choose(placeOf(event)));
  text.addEventListener("pointerleave", () => document.activeElement !== text && choose(-1));
  text.addEventListener("focus", () => active < 0 && choose(0));
  text.addEventListener("blur", () => choose(-1));
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && active >= 0) {
      event.stopPropagation();
      return choose(-1);
    }
    if (!(event.key in MOVES)) return;
    event.preventDefault();
    choose(Math.max(0, Math.min(text.childElementCount - 1, active + MOVES[event.key])));
    text.children[active]?.scrollIntoView({ block: "nearest" });
  });
  return {
    element,
    write(tokens, until = Infinity) {
      shown = tokens;
      while (text.childElementCount < Math.min(tokens.length, MOST)) {
        const batch = tokens.slice(text.childElementCount, text.childElementCount + 50);
        text.append(...batch.map((one) => tokenOf(one, show)));
        if (performance.now() > until) return false;
      }
      note.textContent = tokens.length > MOST ? `The first ${MOST} of ${tokens.length} tokens are shown.` : "";
      return true;
    },
  };
}

function tokenOf({ token, logprob }, show) {
  const words = String(token).replaceAll("\n", "\u21b5\n");
  return h(
    "span",
    { class: `token h${step(Math.exp(logprob))}`, role: "option", "aria-selected": "false" },
    show(words),
  );
}

function step(chance) {
  return STEPS.find(([least]) => chance >= least)?.[1] ?? 4;
}

function percent(logprob) {
  const chance = 100 * Math.exp(logprob);
  return chance >= 0.1 || chance === 0 ? `${chance.toFixed(1)} %` : "< 0.1 %";
}

/** A token and its rivals, the likeliest first. */
function table({ token, logprob, top_logprobs: top = [] }, show) {
  const all = [...(top ?? [])];
  if (!all.some((one) => one.token === token)) all.push({ token, logprob });
  all.sort((a, b) => b.logprob - a.logprob);
  return h(
    "ol",
    {},
    all.map((one) => {
      const bar = h("span", { class: "bar-of", "aria-hidden": "true" });
      bar.style.width = `${Math.max(1, 100 * Math.exp(one.logprob))}%`;
      const name = h("code", {}, show(JSON.stringify(String(one.token)).slice(0, 60)));
      return h(
        "li",
        { class: one.token === token ? "chosen" : "" },
        name,
        one.token === token ? h("span", { class: "faint" }, "chosen") : null,
        h("span", { class: "figure" }, percent(one.logprob)),
        bar,
      );
    }),
  );
}

function legend() {
  const boxes = STEPS.map(([least, warmth]) =>
    h("span", { class: `token h${warmth}` }, warmth === 4 ? "< 10 %" : `\u2265 ${100 * least} %`),
  );
  return h("p", { class: "legend row small soft" }, "Likely:", boxes);
}
