// What settings are set with: a label, a control, what it does, what is wrong with it.

import { h, tool } from "/assets/shared/dom.js";

let made = 0;

/**
 * A field named `name`: `{element, say(wrong), mark(set)}` around `control`, which gets the label, the help and what
 * is wrong. `options`: `label`, `range`, `help`, `lack` (who can't honour it), `beside` (elements before the control),
 * `unset` (a function for the button that unsets it), `wide` (false where half of the panel's width will do).
 */
export function field(
  name,
  control,
  { label = name, range = "", help = "", lack = "", beside = [], unset, wide = true } = {},
) {
  const id = (control.id ||= `setting-${name}-${(made += 1)}`);
  const wrong = h("p", { class: "wrong small", id: `${id}-wrong`, role: "alert", hidden: true });
  const clear =
    unset &&
    tool("close", `Unset ${label}`, () => {
      unset();
      control.focus();
    });
  const lines = [
    help && h("p", { class: "help", id: `${id}-help` }, help),
    lack && h("p", { class: "lack small", id: `${id}-lack` }, lack),
  ];
  control.setAttribute(
    "aria-describedby",
    [`${id}-wrong`, help && `${id}-help`, lack && `${id}-lack`].filter(Boolean).join(" "),
  );
  const head = h(
    "div",
    { class: "row apart" },
    h("span", { class: "row" }, h("label", { for: id }, label), range && h("span", { class: "faint small" }, range)),
    clear,
  );
  return {
    element: h(
      "div",
      { class: `field setting${wide ? " wide" : ""}`, dataset: { field: name } },
      head,
      h("div", { class: "control" }, ...beside, control),
      wrong,
      lines,
    ),
    say(message) {
      wrong.hidden = !message;
      if (wrong.textContent !== message) wrong.textContent = message;
      control.setAttribute("aria-invalid", String(Boolean(message)));
    },
    mark(set) {
      control.closest(".setting").classList.toggle("set", set);
      if (clear) clear.hidden = !set;
    },
  };
}

/** A select of `options` ([value, words]). */
export function select(options, value, change) {
  const element = h(
    "select",
    { on: { change: () => change(element.value) } },
    options.map(([one, words]) => h("option", { value: one }, words)),
  );
  element.value = value;
  return element;
}

/** A text of several lines. */
export function textarea(value, change, properties = {}) {
  const element = h("textarea", {
    value,
    rows: 2,
    spellcheck: false,
    on: { input: () => change(element.value) },
    ...properties,
  });
  return element;
}

/** A fold with `title`, which says how much in it is set. */
export function fold(title, open, ...children) {
  const count = h("span", { class: "chip accent", hidden: true });
  const element = h(
    "details",
    { class: "group", open },
    h("summary", {}, h("span", {}, title), " ", count),
    h("div", { class: "stack" }, children),
  );
  return {
    element,
    tell(set, wrong) {
      count.hidden = !set;
      count.textContent = set ? `${set} set` : "";
      if (wrong) element.open = true;
    },
  };
}

/** JSON as people read it; text that is still being written stays as it is. */
export function written(value) {
  return value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
