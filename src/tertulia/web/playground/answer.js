// An answer as it comes: text, thoughts, calls, figures, where it came from, and what went wrong.

import { h } from "/assets/shared/dom.js";

/** A view of `answer` as `fold` makes it: `{element, update()}`. Call `update` for each event; it draws once a frame. */
export function answerView(answer) {
  const text = h("div", { class: "text" });
  const draw = () => {
    text.textContent = answer.choices[0]?.content ?? "";
  };
  return { element: h("div", { class: "answer" }, text), update: () => requestAnimationFrame(draw) };
}
