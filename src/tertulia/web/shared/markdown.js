// Markdown as it is being written. Lines that have ended are drawn once; only the last block is drawn again.

import { codeView } from "/assets/shared/code.js";
import { h } from "/assets/shared/dom.js";
import { inline } from "/assets/shared/inline.js";
import { cells, closes, expand, headOf, indentOf, isRule, ITEM, place } from "/assets/shared/lines.js";
import { starts, unindent, within } from "/assets/shared/lines.js";
import { grid, line } from "/assets/shared/table.js";
import { shower } from "/assets/shared/visible.js";

const LONG = 6000; // characters of a line or a paragraph, after which it goes on in another
const DEEP = 8; // quotes and lists inside each other; what is deeper is text
const MOST = 30_000; // elements, after which the rest is shown as it was written
const PIECE = 50; // items of a list, or rows of a table, that are laid out together
const PART = 40; // blocks that are laid out together
const LINES = 100; // lines of code that are coloured in one go

/** `text` as an element, once and for all. */
export function render(text) {
  const view = markdown();
  view.write(text, true);
  return view.element;
}

/**
 * A view of a text that grows: `{element, write(text, ended, until)}`. `write` is given all of the text each time, and
 * works until performance.now() is `until`: false says that there is more to do, in another `write`.
 */
export function markdown() {
  const element = h("div", { class: "markdown" });
  const state = {
    element,
    root: element.appendChild(h("div", { class: "part" })),
    stack: [],
    leaf: null,
    made: 0,
    undo: null,
    show: shower(),
  };
  let [at, middle] = [0, false]; // what was read; whether that ended inside a line
  let [found, searched] = [-1, 0];
  const next = (text) => {
    if (found < at) found = text.indexOf("\n", Math.max(at, searched));
    if (found < 0) searched = text.length;
    return found;
  };
  /** Read one line, or what of a long one is enough; false if there is none. */
  const step = (text) => {
    const end = next(text);
    if ((end < 0 ? text.length : end) - at > LONG) {
      const cut = place(text, at + LONG);
      take(state, text.slice(at, cut), middle);
      [at, middle] = [cut, true];
    } else if (end >= 0) {
      take(state, text.slice(at, end), middle);
      [at, middle] = [end + 1, false];
    } else return false;
    return true;
  };
  return {
    element,
    write(text, ended, until = Infinity) {
      revert(state);
      let [more, steps] = [true, 0];
      while (more && ((steps += 1) % 16 || performance.now() < until)) more = step(text);
      if (!more && at < text.length) {
        if (ended) take(state, text.slice(at), middle);
        else guess(state, text.slice(at), middle);
        if (ended) at = text.length;
      }
      settle(state);
      element.classList.toggle("long", element.childElementCount > 1);
      return !more;
    },
  };
}

// ---------------------------------------------------------------- what may be taken back

/** Show a line that is still being written as what it would be if it ended here. */
function guess(state, line, middle) {
  const before = { stack: [...state.stack], leaf: state.leaf, copy: state.leaf && { ...state.leaf }, made: state.made };
  state.undo = [
    () => {
      Object.assign(state, { stack: before.stack, leaf: before.leaf, made: before.made });
      if (before.leaf) Object.assign(before.leaf, before.copy, { dirty: before.leaf.kind === "text" });
    },
  ];
  take(state, line, middle, true);
}

function revert(state) {
  const steps = state.undo ?? [];
  state.undo = null;
  for (const step of steps.reverse()) step();
}

function put(state, node, parent = state.stack.at(-1)?.element ?? state.root) {
  state.made += 1;
  parent.append(node);
  state.undo?.push(() => node.remove());
  return node;
}

/** Draw what has changed in the open block. */
function settle(state) {
  const { leaf } = state;
  if (leaf?.kind === "code" && leaf.lines.length) leaf.view.add(leaf.lines.splice(0), leaf.joins);
  if (!leaf?.dirty) return;
  leaf.dirty = false;
  fillText(state, leaf.element, leaf.text);
}

function fillText(state, element, text) {
  element.replaceChildren(...inline(text, state.show, () => (state.made += 1) <= MOST));
}

// ---------------------------------------------------------------- lines

/** Take in a line; `middle` says that it goes on with the one before, `guessed` that it may still go on itself. */
function take(state, line, middle, guessed = false) {
  if (state.root.childElementCount >= PART && !state.leaf) part(state);
  if (state.made > MOST && !(state.leaf?.kind === "code" && state.leaf.last)) rest(state);
  if (line.endsWith("\r")) line = line.slice(0, -1);
  const { leaf } = state;
  if (middle) {
    if (leaf?.kind === "code") return write(state, line, guessed, true);
    end(state);
    return line && begin(state, "p", line);
  }
  const [text, depth] = within(state.stack, leaf?.kind === "code" && !state.stack.length ? line : expand(line));
  const whole = depth === state.stack.length;
  if (leaf?.kind === "code") {
    if (whole && !closes(leaf, text)) return write(state, leaf.indent ? unindent(text, leaf.indent) : text, guessed);
    end(state);
    if (whole) return leaf.fence ? undefined : open(state, text);
  }
  if (!text.trim()) return blank(state, depth);
  // A paragraph goes on without the marks of what it stands in.
  if (!whole && state.leaf?.kind === "text" && !starts(state.stack, text)) return go(state, text.trim());
  if (!whole) leave(state, depth);
  return open(state, text);
}

/** What comes now is laid out for itself, if it is seen; false where that can't be. */
function part(state) {
  if (state.undo || state.stack.length) return false;
  state.root = h("div", { class: "part" });
  state.element.append(state.root);
  return true;
}

function leave(state, depth) {
  end(state);
  state.stack.length = depth;
}

function blank(state, depth) {
  const quotes = state.stack.findIndex(({ kind }, place) => kind === "quote" && place >= depth);
  if (quotes >= 0) leave(state, quotes);
  else if (state.leaf) end(state);
}

/** Open what a line begins: quotes and items, then a block. */
function open(state, text) {
  while (state.stack.length < DEEP && indentOf(text) < 4 && !isRule(text)) {
    const quote = /^ {0,3}> ?/.exec(text);
    const item = quote ? null : ITEM.exec(text);
    if (!quote && (!item || (state.leaf?.kind === "text" && !starts(state.stack, text)))) break;
    end(state);
    if (quote) {
      state.stack.push({ kind: "quote", element: put(state, h("blockquote")) });
      text = text.slice(quote[0].length);
    } else text = openItem(state, text, item);
  }
  if (text.trim()) block(state, text);
}

function openItem(state, text, [all, before, sign, gap = ""]) {
  let parent = state.stack.at(-1)?.element ?? state.root;
  const ordered = /\d/.test(sign);
  let list = parent.lastElementChild;
  const mark = sign.at(-1);
  if (list?.dataset.mark !== mark || list.childElementCount >= PIECE) {
    const before = list?.dataset.mark === mark ? list : null;
    if (before && part(state)) parent = state.root;
    list = h(ordered ? "ol" : "ul", { dataset: { mark }, class: before ? "follows" : null });
    if (ordered) list.start = before ? before.start + PIECE : parseInt(sign, 10);
    put(state, list, parent);
  }
  const wide = gap.length > 4;
  const element = put(state, h("li"), list);
  state.stack.push({ kind: "item", element, indent: before.length + 2 });
  return wide ? text.slice(before.length + sign.length + 1) : text.slice(all.length);
}

// ---------------------------------------------------------------- blocks

function block(state, text) {
  const { leaf } = state;
  const fence = /^( {0,3})(`{3,}|~{3,})([^`]*)$/.exec(text);
  if (fence) return code(state, fence[3].trim().split(/\s/, 1)[0], fence[2], fence[1].length);
  if (leaf?.kind === "row") return row(state, text);
  if (isRule(text)) {
    end(state);
    return put(state, h("hr"));
  }
  const heading = /^ {0,3}(#{1,6})(?: |$)/.exec(text);
  if (heading) return title(state, heading[1].length, text.slice(heading[0].length).trim());
  if (leaf?.kind === "text") return table(state, text) || go(state, text.trim());
  if (indentOf(text) >= 4) {
    code(state, "", "", 4);
    return write(state, text.slice(4), Boolean(state.undo));
  }
  return begin(state, "p", text.trim());
}

function begin(state, tag, text) {
  end(state);
  if (state.stack.at(-1)?.kind === "item") text = text.replace(/^\[ \] /, "\u2610 ").replace(/^\[[xX]\] /, "\u2611 ");
  state.leaf = { kind: "text", element: put(state, h(tag, { dir: "auto" })), text, dirty: true };
}

/** Go on with the open paragraph. */
function go(state, text) {
  const { leaf } = state;
  if (leaf.text.length + text.length > LONG) return begin(state, "p", text);
  leaf.text += `\n${text}`;
  leaf.dirty = true;
}

function title(state, level, text) {
  end(state);
  const words = text.replace(/ #{1,99}$/, "");
  fillText(state, put(state, h(`h${Math.min(level + 2, 6)}`, { dir: "auto", dataset: { level } })), words);
}

/** The open block is whole: draw it for the last time. */
function end(state) {
  settle(state);
  state.leaf = null;
}

// ---------------------------------------------------------------- code

function code(state, language, fence, indent) {
  end(state);
  const view = codeView(language, { show: state.show });
  put(state, view.element);
  state.leaf = { kind: "code", view, fence, indent, lines: [], joins: false };
}

/** All that is left, as it was written. */
function rest(state) {
  leave(state, 0);
  const view = codeView("", { label: "The rest, as it was written", show: state.show });
  put(state, view.element);
  state.leaf = { kind: "code", view, fence: "", indent: 0, lines: [], joins: false, last: true };
}

function write(state, line, guessed, joins = false) {
  const { leaf } = state;
  if (guessed) {
    settle(state);
    leaf.view.rest(line, joins);
    state.undo?.push(() => leaf.view.rest(""));
    return;
  }
  if (joins) settle(state);
  if (!leaf.lines.length) leaf.joins = joins;
  leaf.lines.push(line);
  if (leaf.lines.length >= LINES) settle(state);
}

// ---------------------------------------------------------------- tables

/** Make a table of the open paragraph, if `text` is the line below a table's head. */
function table(state, text) {
  const { element: old, text: above } = state.leaf;
  const found = headOf(above, text);
  if (!found) return false;
  const parts = grid(found.head, found.sides, (cell, words) => fillText(state, cell, words));
  old.replaceWith(parts.element);
  state.undo?.push(() => parts.element.replaceWith(old));
  state.leaf = { kind: "row", ...found, ...parts, count: 0 };
  return true;
}

function row(state, text) {
  const { leaf } = state;
  if (starts(state.stack, text)) {
    end(state);
    return open(state, text);
  }
  const fills = (cell, words) => fillText(state, cell, words.slice(0, LONG));
  if (leaf.count >= PIECE) {
    const parts = grid(leaf.head, leaf.sides, fills);
    part(state);
    put(state, parts.element);
    Object.assign(leaf, parts, { count: 0 });
  }
  leaf.count += 1;
  state.made += leaf.sides.length;
  put(state, line(cells(text), leaf.sides, "td", fills), leaf.body);
}
