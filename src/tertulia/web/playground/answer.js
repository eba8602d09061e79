// An answer as it comes: text, thoughts, calls, figures, where it came from, and what went wrong.

import { codeBlock } from "/assets/shared/code.js";
import { fill, h } from "/assets/shared/dom.js";
import { duration } from "/assets/shared/format.js";
import { parse } from "/assets/shared/json.js";
import { markdown } from "/assets/shared/markdown.js";
import { figures, origin, routeOf, running, troubles } from "/assets/playground/figures.js";
import { soon } from "/assets/playground/frame.js";
import { heatView } from "/assets/playground/heat.js";
import { rawView } from "/assets/playground/raw.js";

const WAYS = { text: "Formatted", raw: "Raw", heat: "Tokens" };
const GLANCE = 4000; // characters of a call's arguments that are shown while they come
const COLOURED = 200; // lines of a response that are shown in colours

let made = 0;

/**
 * A view of `answer` as `fold` makes it, of its choice `index` first: `{answer, element, update()}`. Call `update` for each event; it draws at most once a
 * frame, and only what is new. The element sends an event "choice" with `detail.index` when another choice is looked
 * at.
 */
export function answerView(answer, index = null) {
  const id = `answer-${(made += 1)}`;
  const tabs = h("div", { class: "choices row", role: "tablist", "aria-label": "Choices", hidden: true });
  const panel = h("div", { class: "choice", id: `${id}-panel` });
  const ways = h("div", { class: "ways row", role: "group", "aria-label": "Show the answer", hidden: true });
  const line = h("div", { class: "line-of-figures row" });
  const trouble = h("div", { class: "stack", hidden: true });
  const element = h(
    "div",
    { class: "answer" },
    tabs,
    panel,
    trouble,
    line,
    h("div", { class: "row apart" }, exchange(answer), ways),
  );
  const state = { answer, id, way: "text", index, views: new Map(), told: "", seen: "" };

  const draw = (until) => {
    if (!answer.choices.some((one) => one.index === state.index)) state.index = answer.choices[0]?.index ?? null;
    chooseTabs(state, tabs, panel, pick);
    const done = choiceOf(state, panel)?.draw(until, !running(answer)) ?? true;
    chooseWays(state, ways, show);
    tell(state, line, trouble);
    if (running(answer) || !done) element.setAttribute("aria-busy", "true");
    else element.removeAttribute("aria-busy");
    return done;
  };
  const show = (way) => {
    state.way = way;
    soon(draw);
  };
  const pick = (index) => {
    state.index = index;
    element.dispatchEvent(new CustomEvent("choice", { detail: { index } }));
    soon(draw);
  };
  return { answer, element, update: () => soon(draw) };
}

/** The view of the choice that is looked at, put into `panel`. */
function choiceOf(state, panel) {
  const choice = state.answer.choices.find(({ index }) => index === state.index);
  if (!choice) return null;
  if (!state.views.has(state.index)) state.views.set(state.index, choiceView(choice, state));
  const view = state.views.get(state.index);
  if (panel.firstChild !== view.element) fill(panel, view.element);
  return view;
}

function chooseTabs({ answer, index, id }, tabs, panel, pick) {
  const { choices } = answer;
  tabs.hidden = choices.length < 2;
  if (tabs.hidden) return;
  for (const choice of choices.slice(tabs.childElementCount)) {
    const move = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      const place = choices.indexOf(choice) + by;
      tabs.children[(place + choices.length) % choices.length].focus();
      pick(choices[(place + choices.length) % choices.length].index);
    };
    const on = { click: () => pick(choice.index), keydown: move };
    tabs.append(
      h("button", { type: "button", role: "tab", id: `${id}-tab-${choice.index}`, "aria-controls": panel.id, on }),
    );
  }
  for (const [place, choice] of choices.entries()) {
    const tab = tabs.children[place];
    tab.textContent = `Choice ${choice.index + 1}`;
    tab.setAttribute("aria-selected", String(choice.index === index));
    tab.tabIndex = choice.index === index ? 0 : -1;
  }
  panel.setAttribute("role", "tabpanel");
  panel.setAttribute("aria-labelledby", `${id}-tab-${index}`);
}

function chooseWays({ answer, index, way }, ways, show) {
  const choice = answer.choices.find((one) => one.index === index);
  const names = Object.keys(WAYS).filter((name) => name !== "heat" || choice?.logprobs?.length);
  ways.hidden = !choice?.content;
  if (ways.childElementCount !== names.length) {
    fill(
      ways,
      names.map((name) =>
        h(
          "button",
          { type: "button", class: "quiet small", dataset: { name }, on: { click: () => show(name) } },
          WAYS[name],
        ),
      ),
    );
  }
  for (const button of ways.children) button.setAttribute("aria-pressed", String(button.dataset.name === way));
}

/** Figures and troubles, where they are others than were told before. */
function tell(state, line, trouble) {
  const { answer } = state;
  const { first, ended, usage, provider, model, finish, route, error, warnings } = answer;
  const told = JSON.stringify([first, ended, usage, provider, model, finish, route]);
  if (told !== state.told) fill(line, origin(answer), figures(answer), many(answer));
  state.told = told;
  const seen = JSON.stringify([error, warnings]);
  if (seen !== state.seen) fill(trouble, troubles(answer));
  state.seen = seen;
  trouble.hidden = !trouble.hasChildNodes();
}

function many({ route }) {
  if (!route?.some((one) => one.outcome !== "served")) return null;
  return h("details", { class: "route small" }, h("summary", {}, "Route"), routeOf({ route }));
}

// ---------------------------------------------------------------- one choice

function choiceView(choice, state) {
  const thoughts = thoughtsView();
  const place = h("div", { class: "said-text" });
  const refusal = h("p", { class: "notice warn", hidden: true });
  const calls = h("div", { class: "calls stack", hidden: true });
  const views = {};
  const makers = { text: markdown, raw: rawView, heat: heatView };
  return {
    element: h("div", {}, thoughts.element, place, refusal, calls),
    draw(until, ended) {
      const way = state.way === "heat" && !choice.logprobs?.length ? "text" : state.way;
      const view = (views[way] ??= makers[way]());
      if (place.firstChild !== view.element) fill(place, view.element);
      const thought = thoughts.draw(choice, until, ended);
      const done = way === "heat" ? view.write(choice.logprobs, until) : view.write(choice.content ?? "", ended, until);
      refusal.hidden = !choice.refusal;
      if (choice.refusal) refusal.textContent = choice.refusal;
      calls.hidden = !choice.tool_calls?.length;
      drawCalls(calls, choice.tool_calls ?? [], ended);
      return thought && done;
    },
  };
}

function thoughtsView() {
  const summary = h("summary", {});
  const view = markdown();
  const element = h("details", { class: "thoughts", hidden: true }, summary, view.element);
  let [last, over] = ["", false];
  element.addEventListener("toggle", () => soon((until) => !element.open || view.write(last, over, until)));
  return {
    element,
    draw({ reasoning, content, tool_calls: calls, thought }, until, ended) {
      element.hidden = !reasoning;
      if (!reasoning) return true;
      [last, over] = [reasoning, ended];
      const thinking = !ended && !content && !calls?.length;
      const time = thought?.from && thought.to ? ` for ${duration(thought.to - thought.from)}` : "";
      const words = thinking ? "Thinking ..." : `Thought${time}`;
      if (summary.textContent !== words) summary.textContent = words;
      return !element.open || view.write(reasoning, ended, until);
    },
  };
}

/** Calls as calls: the function's name and its arguments, as JSON once they are whole. */
function drawCalls(element, calls, ended) {
  for (const [place, call] of calls.entries()) {
    const given = call.function?.arguments ?? "";
    const text = typeof given === "string" ? given : JSON.stringify(given);
    const key = `${call.function?.name} ${call.id} ${text.length} ${ended}`;
    const card = element.children[place] ?? element.appendChild(h("div", { class: "call" }));
    if (card.dataset.key === key) continue;
    card.dataset.key = key;
    const { value } = ended ? parse(text) : {};
    const shown = value === undefined ? text : JSON.stringify(value, null, 2);
    const head = h(
      "div",
      { class: "row" },
      h("span", { class: "chip accent" }, "call"),
      h("code", {}, call.function?.name || "..."),
      call.id && h("span", { class: "faint small" }, call.id),
    );
    const broken =
      ended && value === undefined && text
        ? h("p", { class: "notice warn small" }, `The arguments are not JSON: ${parse(text).problem}`)
        : null;
    fill(
      card,
      head,
      ended ? codeBlock(shown, "json", { label: "arguments" }) : h("pre", {}, text.slice(0, GLANCE)),
      broken,
    );
  }
}

// ---------------------------------------------------------------- the exchange

/** What was sent and what came, word for word, made when somebody looks. */
function exchange(answer) {
  const content = h("div", { class: "stack" });
  const fillIt = () => element.open && fill(content, requestOf(answer), responseOf(answer), routeOf(answer));
  const element = h(
    "details",
    { class: "exchange small", on: { toggle: fillIt } },
    h("summary", {}, "Request and response"),
    content,
  );
  return element;
}

function requestOf({ request }) {
  if (!request) return h("p", { class: "faint" }, "The request was not kept.");
  return codeBlock(JSON.stringify(request, null, 2), "json", { label: "request" });
}

function responseOf({ response, requestId }) {
  const { chunks = [], whole = null, left = 0, last = "" } = response ?? {};
  const label = requestId ? `response ${requestId}` : "response";
  if (whole) return codeBlock(JSON.stringify(whole, null, 2), "json", { label });
  if (!chunks.length && !left) return h("p", { class: "faint" }, "The response was not kept, or there was none.");
  const lines = left ? [...chunks, `... ${left} that were not kept, but for the last`, last] : chunks;
  return codeBlock(lines.join("\n"), lines.length > COLOURED ? "" : "json", { label });
}
