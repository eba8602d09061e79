// A text as it was written, however long: pieces that are laid out only where they are seen.

import { h } from "/assets/shared/dom.js";
import { shower } from "/assets/shared/visible.js";

const PIECE = 4000;

/** A view of a text that grows: `{element, write(text, ended, until)}`, with `write` as markdown's. */
export function rawView() {
  const element = h("div", { class: "raw" });
  const show = shower();
  let at = 0; // where the last piece begins
  let last = null;
  const draw = (end, text) => {
    last ??= element.appendChild(h("div", { class: "piece", dir: "auto" }));
    last.replaceChildren(...show(text.slice(at, end)));
  };
  return {
    element,
    write(text, ended, until = Infinity) {
      while (text.length - at > PIECE) {
        const line = text.lastIndexOf("\n", at + PIECE);
        const half = text.codePointAt(at + PIECE - 1) > 0xffff ? 1 : 0;
        const end = line > at ? line : at + PIECE + half;
        draw(end, text);
        at = line > at ? line + 1 : end;
        last = null;
        if (performance.now() > until) return false;
      }
      draw(text.length, text);
      return true;
    },
  };
}
