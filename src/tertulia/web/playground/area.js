// A textarea that is as high as its text.

import { h } from "/assets/shared/dom.js";

const NATIVE = CSS.supports("field-sizing", "content");

/** A textarea with `value`, which calls `change(text)` as it is edited. `properties` are those of `h`. */
export function area(value, change, properties = {}) {
  const { class: more = "", on = {}, ...rest } = properties;
  const input = (event) => {
    grow(element);
    change(element.value, event);
  };
  const element = h("textarea", { rows: 1, ...rest, class: `grows ${more}`, on: { ...on, input }, value });
  if (!NATIVE) new ResizeObserver(() => grow(element)).observe(element);
  return element;
}

/** Set the text of such an area. */
export function setArea(element, text) {
  if (element.value !== text) element.value = text;
  grow(element);
}

function grow(element) {
  if (NATIVE) return;
  element.style.height = "auto";
  element.style.height = `${element.scrollHeight + 2}px`;
}
