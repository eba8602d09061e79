// Markdown inside a block: emphasis, code, links. Text of a bounded length in, nodes out; no HTML, nothing loaded.

import { h } from "/assets/shared/dom.js";

const NEXT = /[\\`*_~[\]!<\n]|https?:\/\//gi;
const SAFE = /^(?:https?:\/\/|mailto:)[^\s\u0000-\u0020\u007f-\u00a0\u200b-\u200f\u202a-\u202e\u2066-\u2069]+$/i;
const BARE = /https?:\/\/[^\s<>"`\u0000-\u0020\u202a-\u202e\u2066-\u2069]{1,2000}/iy;
const TARGET = new RegExp(
  String.raw`\(\s{0,9}(<[^<>\n]{0,2000}>|[^\s()]{0,2000}(?:\([^\s()]{0,500}\)[^\s()]{0,500})?)` +
    String.raw`(?:\s{1,9}("[^"\n]{0,300}"|'[^'\n]{0,300}'))?\s{0,9}\)`,
  "y",
);
const PUNCTUATION = /[\p{P}\p{S}]/u;
const DEEPEST = 32; // marks that are open at once
const LONGEST = 6; // characters of such a mark
const TAGS = { "*": ["em", "strong"], _: ["em", "strong"], "~": ["", "del"] };

/**
 * The nodes of `text`. `show` makes text visible (a string to nodes), `spend()` is asked for each element and says
 * whether one more may be made.
 */
export function inline(text, show, spend) {
  const state = { text, at: 0, plain: "", nodes: [], marks: [], brackets: [], show, spend, ticks: null };
  while (state.at < text.length) {
    NEXT.lastIndex = state.at;
    const found = NEXT.exec(text);
    const place = found?.index ?? text.length;
    state.plain += text.slice(state.at, place);
    state.at = place;
    if (found) (READ[found[0]] ?? bare)(state);
  }
  flush(state);
  return shown(state.nodes, show);
}

/** What a link may lead to: an address of the web or of a mailbox, or "". */
export function safe(address) {
  return SAFE.test(address) && URL.canParse(address) ? address : "";
}

const READ = {
  "\\"(state) {
    const next = state.text[state.at + 1] ?? "";
    if (next === "\n") state.at += 1;
    else if (/[!-/:-@[-`{-~]/.test(next)) {
      state.plain += next;
      state.at += 2;
    } else literal(state, 1);
  },

  "\n"(state) {
    state.plain = state.plain.trimEnd();
    flush(state);
    state.nodes.push(state.spend() ? h("br") : "\n");
    state.at += 1;
    while (state.text[state.at] === " ") state.at += 1;
  },

  "`"(state) {
    const { text, at } = state;
    const size = run(text, at);
    const end = closing(state, at + size, size);
    if (end < 0 || !state.spend()) return literal(state, size);
    const inner = text.slice(at + size, end).replaceAll("\n", " ");
    const padded = inner.startsWith(" ") && inner.endsWith(" ") && inner.trim();
    element(state, "code", [padded ? inner.slice(1, -1) : inner]);
    state.at = end + size;
  },

  "!"(state) {
    if (state.text[state.at + 1] !== "[") return literal(state, 1);
    open(state, true);
  },

  "["(state) {
    open(state, false);
  },

  "]": close,
  "*": emphasise,
  _: emphasise,
  "~": emphasise,

  "<"(state) {
    const end = state.text.indexOf(">", state.at);
    const address = end > 0 && end - state.at < 2000 ? state.text.slice(state.at + 1, end) : "";
    if (!safe(address) || !state.spend()) return literal(state, 1);
    flush(state);
    state.nodes.push(link(address, state.show(address)));
    state.at = end + 1;
  },
};

function literal(state, size) {
  state.plain += state.text.slice(state.at, state.at + size);
  state.at += size;
}

function flush(state) {
  if (state.plain) state.nodes.push(state.plain);
  state.plain = "";
}

function shown(nodes, show) {
  return nodes.flatMap((node) => (typeof node === "string" ? show(node) : [node]));
}

function element(state, tag, children, properties = {}) {
  flush(state);
  state.nodes.push(h(tag, properties, shown(children, state.show)));
}

function link(address, children, title = "") {
  const name = title ? `${title} (${address})` : address;
  return h("a", { href: address, title: name, target: "_blank", rel: "noopener noreferrer" }, h("bdi", {}, children));
}

/** An address that stands in the text as it is. */
function bare(state) {
  BARE.lastIndex = state.at;
  let address = BARE.exec(state.text)?.[0] ?? "";
  while (/[.,:;!?*_~'\])}]$/.test(address) && !(address.endsWith(")") && address.includes("(")))
    address = address.slice(0, -1);
  if (!safe(address) || !state.spend()) return literal(state, 4);
  flush(state);
  state.nodes.push(link(address, [address]));
  state.at += address.length;
}

// ---------------------------------------------------------------- code

function run(text, at) {
  let end = at;
  while (text[end] === text[at]) end += 1;
  return end - at;
}

/** Where the next run of exactly `size` backticks stands, from `from` on; -1 if nowhere. All runs are found once. */
function closing(state, from, size) {
  if (!state.ticks) {
    state.ticks = new Map();
    for (const { 0: ticks, index } of state.text.matchAll(/`+/g)) {
      if (!state.ticks.has(ticks.length)) state.ticks.set(ticks.length, []);
      state.ticks.get(ticks.length).push(index);
    }
    for (const places of state.ticks.values()) places.reverse();
  }
  const places = state.ticks.get(size) ?? [];
  while (places.length && places.at(-1) < from) places.pop();
  return places.at(-1) ?? -1;
}

// ---------------------------------------------------------------- links

function open(state, image) {
  flush(state);
  const mark = image ? "![" : "[";
  if (state.brackets.length >= DEEPEST) state.brackets.shift();
  state.brackets.push({ at: state.nodes.length, image });
  state.nodes.push(mark);
  state.at += mark.length;
}

function close(state) {
  const opener = state.brackets.pop();
  TARGET.lastIndex = state.at + 1;
  const found = opener && TARGET.exec(state.text);
  const address = found ? safe(found[1].replace(/^<(.*)>$/, "$1")) : "";
  if (!address || !state.spend()) return literal(state, 1);
  flush(state);
  const children = shown(state.nodes.splice(opener.at).slice(1), state.show).map((node) =>
    node.tagName === "A" ? node.textContent : node,
  );
  state.marks = state.marks.filter((mark) => mark.at < opener.at);
  if (!opener.image) state.brackets = []; // no link stands inside another
  const label = opener.image ? ["Image: ", ...(children.length ? children : [address])] : children;
  state.nodes.push(link(address, label.length ? label : [address], found[2]?.slice(1, -1)));
  state.at = TARGET.lastIndex;
}

// ---------------------------------------------------------------- emphasis

function emphasise(state) {
  const { text, at } = state;
  const char = text[at];
  let size = run(text, at);
  if (size > LONGEST) return literal(state, size);
  const [before, after] = [text[at - 1] ?? " ", text[at + size] ?? " "];
  const [opens, closes] = flanks(char, before, after);
  state.at += size;
  flush(state);
  while (size && closes && wrap(state, char, size)) size -= state.used;
  if (!size) return;
  if (opens && (char !== "~" || size === 2)) {
    if (state.marks.length >= DEEPEST) state.marks.shift();
    state.marks.push({ char, size, at: state.nodes.length });
  }
  state.nodes.push(char.repeat(size));
}

/** Whether a run between these characters can open emphasis, and whether it can close it. */
function flanks(char, before, after) {
  const [left, right] = [before, after].map((one) => (/\s/.test(one) ? 2 : PUNCTUATION.test(one) ? 1 : 0));
  const opens = right === 0 || (right === 1 && left > 0);
  const closes = left === 0 || (left === 1 && right > 0);
  return char === "_" ? [opens && (!closes || left === 1), closes && (!opens || right === 1)] : [opens, closes];
}

/** Put what stands behind the last open mark of `char` into an element; false if there is no such mark. */
function wrap(state, char, size) {
  const index = state.marks.findLastIndex((mark) => mark.char === char);
  const mark = state.marks[index];
  if (!mark) return false;
  const used = Math.min(2, size, mark.size);
  const tag = TAGS[char][used - 1];
  if (!tag || !state.spend()) return false;
  const children = state.nodes.splice(mark.at + 1);
  state.marks.length = index;
  state.brackets = state.brackets.filter((one) => one.at < mark.at);
  mark.size -= used;
  state.nodes.length = mark.at;
  if (mark.size) {
    state.nodes.push(char.repeat(mark.size));
    state.marks.push(mark);
  }
  element(state, tag, children);
  state.used = used;
  return true;
}
