// The fields of a type: one row each, with what is inside folded beneath; and the box that filters them.

import { fill, h } from "/assets/shared/dom.js";
import { number } from "/assets/shared/format.js";
import { defaultText, limits, objects, typeText } from "/assets/docs/schema.js";
import { prose } from "/assets/docs/prose.js";

const DEEPEST = 10;

/**
 * The fields of the type `name` as a list, at anchors that begin with `kind`: `request.messages.content`. With
 * `asked` required fields are marked, else those that may be absent.
 */
export function fieldList(schemas, name, kind, asked) {
  return list(schemas[name], { schemas, asked, id: kind, path: "", depth: 0 });
}

function list(schema, place) {
  const rows = Object.entries(schema.properties).map(([name, field]) => row(name, field, schema, place));
  return h("ul", { class: "fields" }, rows);
}

function row(name, field, owner, { schemas, asked, id, path, depth }) {
  const here = { schemas, asked, depth: depth + 1, id: `${id}.${name}`, path: path ? `${path}.${name}` : name };
  const inside = depth < DEEPEST ? objects(field, schemas) : [];
  const needed = owner.required?.includes(name);
  const mark = field["x-unsent"] ? "never sent" : asked ? needed && "required" : !needed && "may be absent";
  const default_ = defaultText(field);
  const bounds = limits(field, schemas);
  return h("li", { id: here.id, class: "field-row", dataset: { path: here.path } },
    h("div", { class: "head" },
      h("a", { class: "anchor", href: `#${here.id}`, title: `Link to ${here.path}` }, h("code", {}, name)),
      field["x-unsent"] ? null : h("span", { class: "type" }, typeText(field, schemas)),
      mark && h("span", { class: `chip ${mark === "required" ? "accent" : ""}` }, mark)),
    h("p", { class: "meaning" }, prose(field.description)),
    (bounds.length > 0 || default_) && h("p", { class: "limits" },
      bounds.length > 0 && h("span", {}, bounds.join("; ")),
      default_ && h("span", {}, h("b", {}, "without it: "), prose(default_))),
    field.examples && h("p", { class: "limits" }, h("b", {}, "such as "), h("code", {}, JSON.stringify(field.examples[0]))),
    inside.length > 0 && nested(inside, here));
}

function nested(inside, here) {
  const count = inside.reduce((sum, { schema }) => sum + Object.keys(schema.properties).length, 0);
  const one = inside.length === 1;
  const words = one ? `${count} field${count > 1 ? "s" : ""} inside` : `${inside.length} kinds`;
  return h("details", { class: "inside" },
    h("summary", {}, words, h("span", { class: "unseen" }, ` of ${here.path}`)),
    inside.map(({ label, many, schema }) => {
      const place = { ...here, path: here.path + many, id: one ? here.id : `${here.id}(${label.replace("type: ", "")})` };
      return h("div", {},
        !one && h("p", { class: "kind" }, h("code", {}, label), " ", prose(schema.description)),
        list(schema, place));
    }));
}

/**
 * A box that leaves of the page only the fields below `lists` whose names or meanings hold what is typed, with what
 * they stand in: `{element, clear()}`. `filtered` is told whether anything is typed.
 */
export function filterBox(lists, filtered) {
  const input = h("input", { id: "filter", type: "search", placeholder: "such as logprobs", autocomplete: "off" });
  const told = h("span", { class: "faint small", role: "status" });
  const renew = () => {
    const wanted = input.value.trim().toLowerCase();
    const count = lists.reduce((sum, one) => sum + filter(one, wanted), 0);
    fill(told, wanted && `${number(count)} field${count === 1 ? "" : "s"}`);
    filtered(wanted !== "");
  };
  const clear = () => {
    if (!input.value) return;
    input.value = "";
    renew();
  };
  input.addEventListener("input", renew);
  input.addEventListener("keydown", (event) => event.key === "Escape" && clear());
  return { element: h("div", { class: "filter" }, h("label", { for: "filter" }, "Find a field"), input, told), clear };
}

/** Hide what doesn't match; how many fields do. */
function filter(list, wanted) {
  const rows = [...list.querySelectorAll(".field-row")];
  for (const item of rows) item.hidden = wanted !== "";
  for (const fold of list.querySelectorAll("details.inside")) fold.open = false;
  const found = wanted ? rows.filter((item) => matches(item, wanted)) : [];
  for (const item of found) {
    show(item);
    for (const inner of item.querySelectorAll(".field-row")) inner.hidden = false;
  }
  list.classList.toggle("none", wanted !== "" && found.length === 0);
  return found.length;
}

function matches(item, wanted) {
  const { path } = item.dataset;
  const name = /[.[]/.test(wanted) ? path : path.split(".").pop();
  return `${name} ${item.querySelector(".meaning").textContent}`.toLowerCase().includes(wanted);
}

/** Have a row seen: open what it stands in. */
export function show(item) {
  for (let at = item; at; at = at.parentElement?.closest(".field-row")) {
    at.hidden = false;
    const fold = at.parentElement?.closest("details.inside");
    if (fold) fold.open = true;
  }
}

/** A button that unfolds all fields below `place`, and folds them again. */
export function foldButton(place) {
  const button = h("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "Unfold all");
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-pressed") === "false";
    for (const fold of place.querySelectorAll("details.inside")) fold.open = open;
    button.setAttribute("aria-pressed", String(open));
  });
  return button;
}
