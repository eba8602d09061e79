// Markdown as it is being written. Lines that have ended are drawn once; only the last block is drawn again.

import { codeView } from "/assets/shared/code.js";
import { h } from "/assets/shared/dom.js";
import { inline } from "/assets/shared/inline.js";
import { shower } from "/assets/shared/visible.js";

const LONG = 6000; // characters of a line or a paragraph, after which it goes on in another
const DEEP = 8; // quotes and lists inside each other; what is deeper is text
const MOST = 30_000; // elements, after which the rest is shown as it was written
const PIECE = 50; // items of a list, or rows of a table, that are laid out together
const PART = 40; // blocks that are laid out together
const COLUMNS = 40;
const LINES = 100; // lines of code that are coloured in one go
const ITEM = /^( *)([-+*]|\d{1,9}[.)])(?:( +)|$)/;

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
  const state = { element, root: element.appendChild(h("div", { class: "part" })), stack: [], leaf: null, made: 0, undo: null, show: shower() };
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

/** Where to cut a line that is too long: at a blank if there is one, never inside a character. */
function place(text, at) {
  const blank = text.lastIndexOf(" ", at);
  if (blank > at - 200) return blank + 1;
  return text.codePointAt(at - 1) > 0xffff ? at + 1 : at;
}

// ---------------------------------------------------------------- what may be taken back

/** Show a line that is still being written as what it would be if it ended here. */
function guess(state, line, middle) {
  const before = { stack: [...state.stack], leaf: state.leaf, copy: state.leaf && { ...state.leaf }, made: state.made };
  state.undo = [() => {
    Object.assign(state, { stack: before.stack, leaf: before.leaf, made: before.made });
    if (before.leaf) Object.assign(before.leaf, before.copy, { dirty: before.leaf.kind === "text" });
  }];
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
  if (leaf?.dirty) draw(state, leaf);
}

function draw(state, leaf) {
  leaf.dirty = false;
  fillText(state, leaf.element, leaf.text);
}

function fillText(state, element, text) {
  element.replaceChildren(...inline(text, state.show, () => (state.made += 1) <= MOST));
}

// ---------------------------------------------------------------- lines

/** Take in a line; `middle` says that it goes on with the one before, `guessed` that it may still go on itself. */
function take(state, line, middle, guessed = false) {
  if (!guessed && state.root.childElementCount >= PART && !state.stack.length && !state.leaf) part(state);
  if (state.made > MOST && !(state.leaf?.kind === "code" && state.leaf.last)) rest(state);
  if (line.endsWith("\r")) line = line.slice(0, -1);
  const { leaf } = state;
  if (middle) {
    if (leaf?.kind === "code") return write(state, line, guessed, true);
    end(state);
    return line && begin(state, "p", line);
  }
  const [text, depth] = within(state, leaf?.kind === "code" && !state.stack.length ? line : expand(line));
  const whole = depth === state.stack.length;
  if (leaf?.kind === "code") {
    if (whole && !closes(leaf, text)) return write(state, leaf.indent ? unindent(text, leaf.indent) : text, guessed);
    end(state);
    if (whole) return leaf.fence ? undefined : open(state, text);
  }
  if (!text.trim()) return blank(state, depth);
  // A paragraph goes on without the marks of what it stands in.
  if (!whole && state.leaf?.kind === "text" && !starts(state, text)) return go(state, text.trim());
  if (!whole) leave(state, depth);
  return open(state, text);
}

/** What comes now is laid out for itself, if it is seen. */
function part(state) {
  state.root = h("div", { class: "part" });
  state.element.append(state.root);
}

/** Tabs at the start as spaces. */
function expand(line) {
  return /^[ >]*\t/.test(line.slice(0, 100)) ? line.slice(0, 100).replaceAll("\t", "    ") + line.slice(100) : line;
}

const indentOf = (text) => text.length - text.trimStart().length;
const unindent = (text, most) => text.slice(Math.min(indentOf(text), most));

/** What is left of a line inside the open quotes and items, and how many of them it belongs to. */
function within(state, text) {
  let depth = 0;
  for (const { kind, indent } of state.stack) {
    if (kind === "quote") {
      const found = /^ {0,3}> ?/.exec(text);
      if (!found) break;
      text = text.slice(found[0].length);
    } else if (indentOf(text) >= indent) text = text.slice(indent);
    else if (text.trim()) break;
    else text = "";
    depth += 1;
  }
  return [text, depth];
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

/** Whether a line begins a block that a paragraph doesn't swallow. A number does inside a list, or if it is small. */
function starts(state, text) {
  const item = ITEM.exec(text);
  const inside = state.stack.some(({ kind }) => kind === "item");
  const listed = item && item[1].length < 4 && (inside || (item[3] && (!/\d/.test(item[2]) || item[2].length === 2)));
  return listed || /^ {0,3}(?:>|#{1,6}(?: |$)|```|~~~)/.test(text) || isRule(text);
}

function isRule(text) {
  if (text.length > 200 || indentOf(text) > 3) return false;
  return /^(?:-{3,}|\*{3,}|_{3,})$/.test(text.replaceAll(" ", ""));
}

/** Open what a line begins: quotes and items, then a block. */
function open(state, text) {
  while (state.stack.length < DEEP && indentOf(text) < 4 && !isRule(text)) {
    const quote = /^ {0,3}> ?/.exec(text);
    const item = quote ? null : ITEM.exec(text);
    if (!quote && (!item || (state.leaf?.kind === "text" && !starts(state, text)))) break;
    end(state);
    if (quote) {
      state.stack.push({ kind: "quote", element: put(state, h("blockquote")) });
      text = text.slice(quote[0].length);
    } else text = openItem(state, text, item);
  }
  if (text.trim()) block(state, text);
}

function openItem(state, text, [all, before, sign, gap = ""]) {
  const parent = state.stack.at(-1)?.element ?? state.root;
  const ordered = /\d/.test(sign);
  let list = parent.lastElementChild;
  const mark = sign.at(-1);
  if (list?.dataset.mark !== mark || list.childElementCount >= PIECE) {
    const before = list?.dataset.mark === mark ? list : null;
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

function closes({ fence, last }, text) {
  if (last) return false;
  if (!fence) return text.trim() !== "" && indentOf(text) < 4;
  const shown = text.trim();
  return shown.length >= fence.length && indentOf(text) < 4 && shown === fence[0].repeat(shown.length);
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

function cells(text) {
  const inner = text.trim().replace(/^\|/, "");
  const found = inner.split(/(?<!\\)\|/, COLUMNS + 1).map((cell) => cell.trim().replaceAll("\\|", "|"));
  if (found.length > 1 && found.at(-1) === "") found.pop();
  return found;
}

/** Make a table of the open paragraph, if `text` is the line below a table's head. */
function table(state, text) {
  const { leaf } = state;
  if (!text.includes("-") || text.length > 2000 || !/^[\s|:-]+$/.test(text) || leaf.text.includes("\n")) return false;
  const [head, rules] = [cells(leaf.text), cells(text)];
  if (!leaf.text.includes("|") || head.length !== rules.length || head.length > COLUMNS) return false;
  if (!rules.every((rule) => /^:?-+:?$/.test(rule))) return false;
  const sides = rules.map((rule) => (rule.endsWith(":") ? (rule.startsWith(":") ? "center" : "end") : ""));
  const old = leaf.element;
  const parts = grid(state, head, sides);
  old.replaceWith(parts.element);
  state.undo?.push(() => parts.element.replaceWith(old));
  state.leaf = { kind: "row", ...parts, sides, head, count: 0 };
  return true;
}

function grid(state, head, sides) {
  const body = h("tbody");
  const top = h("thead", {}, line(state, head, sides, "th"));
  const element = h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Table" }, h("table", {}, top, body));
  return { element, body };
}

function line(state, texts, sides, tag) {
  state.made += sides.length;
  return h("tr", {}, sides.map((side, place) => {
    const cell = h(tag, { dir: "auto", class: side || null });
    fillText(state, cell, (texts[place] ?? "").slice(0, LONG));
    return cell;
  }));
}

function row(state, text) {
  const { leaf } = state;
  if (starts(state, text)) {
    end(state);
    return open(state, text);
  }
  if (leaf.count >= PIECE) {
    const parts = grid(state, leaf.head, leaf.sides);
    put(state, parts.element);
    Object.assign(leaf, parts, { count: 0 });
  }
  leaf.count += 1;
  put(state, line(state, cells(text), leaf.sides, "td"), leaf.body);
}
