// Code as it is read: coloured lightly, cut into pieces that are laid out only where they are seen, with a copy button.

import { copy, h, tool } from "/assets/shared/dom.js";

const LONGEST = 4000; // characters of a line that are coloured; longer ones are plain, and cut into pieces
const PIECE = 100; // lines that are laid out together
const MOST = 20_000; // coloured pieces, after which the rest is plain

const words = (text) => text.split(" ");
const PYTHON = words(
  "and as assert async await break class continue def del elif else except False finally for from " +
  "global if import in is lambda None nonlocal not or pass raise return True try while with yield match " +
  "case",
);
const SCRIPT = words(
  "async await break case catch class const continue default delete do else export extends false " +
  "finally for from function if import in instanceof let new null of return static super switch this " +
  "throw true try typeof undefined var void while yield interface type enum implements readonly",
);
const SHELL = words("if then else elif fi for in do done while case esac function export local return set unset");
const NUMBER = String.raw`\b(?:0[xX][\da-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)\b`;
const WORD = String.raw`[A-Za-z_$][\w$]*`;

const QUOTED = String.raw`"(?:[^"\\]|\\.)*"?`;
const SINGLE = String.raw`'(?:[^'\\]|\\.)*'?`;

/** For each language: its keywords; the marks between which text runs over lines; strings and comments in a line. */
const LANGUAGES = {
  python: [
    PYTHON,
    [
      ['"""', '"""', "string"],
      ["'''", "'''", "string"],
    ],
    `${QUOTED}|${SINGLE}`,
    "#.*",
  ],
  javascript: [
    SCRIPT,
    [
      ["/*", "*/", "comment"],
      ["`", "`", "string"],
    ],
    `${QUOTED}|${SINGLE}`,
    "//.*",
  ],
  shell: [SHELL, [["'", "'", "string"]], QUOTED, String.raw`(?<=^|\s)#.*`],
  json: [words("true false null"), [], QUOTED, "//.*"],
};
const ALIASES = {
  py: "python",
  python3: "python",
  js: "javascript",
  jsx: "javascript",
  mjs: "javascript",
  ts: "javascript",
  tsx: "javascript",
  typescript: "javascript",
  bash: "shell",
  sh: "shell",
  zsh: "shell",
  console: "shell",
  jsonc: "json",
  json5: "json",
};
const KINDS = ["long", "string", "comment", "number", "word"]; // the groups of a language's tokens

const grammars = new Map(
  Object.entries(LANGUAGES).map(([name, [keys, long, string, comment]]) => {
    const starts = long.map(([start]) => start.replace(/[*]/g, "\\$&")).join("|") || "(?!)";
    const token = new RegExp(`(${starts})|(${string})|(${comment})|(${NUMBER})|(${WORD})`, "g");
    return [name, { keys: new Set(keys), long, token }];
  }),
);

/**
 * A block of `text` with its language's name, and a copy button unless `copy` is false. `label` stands for the
 * language's name where that says too little.
 */
export function codeBlock(text, language = "", options = {}) {
  const view = codeView(language, options);
  view.add(text.split("\n"));
  return view.element;
}

/**
 * A block that grows: `add(lines)` appends lines that are whole (with `joins` the first goes on with the last line),
 * `rest(line)` shows the one that is being written, `text()` is all of it. `show` makes text visible: a function of a
 * string to nodes.
 */
export function codeView(language = "", { copy: copies = true, label = "", show = (text) => [text] } = {}) {
  const name = language.toLowerCase();
  let grammar = grammars.get(Object.hasOwn(ALIASES, name) ? ALIASES[name] : name);
  const code = h("code");
  const spoken = `Code${name ? `: ${name.slice(0, 40)}` : ""}`;
  const pre = h("pre", { tabIndex: 0, role: "region", "aria-label": spoken }, code);
  const kept = [];
  let [piece, count, state, made, unfinished] = [null, 0, "", 0, null];

  const put = (line, joins = false) => {
    if (!piece || (count >= PIECE && !joins)) {
      piece = h("span", { class: "piece" });
      count = 0;
      code.append(piece);
    }
    let nodes;
    if (grammar && line.length <= LONGEST) [nodes, state] = coloured(line, grammar, state, show);
    else nodes = cut(line, show);
    if (count && !joins) nodes.unshift("\n");
    piece.append(...nodes);
    count += 1;
    made += nodes.length;
    if (made > MOST) grammar = null;
  };
  const undo = () => {
    if (!unfinished) return;
    if (unfinished.piece !== piece) piece.remove();
    else while (piece && piece.childNodes.length > unfinished.length) piece.lastChild.remove();
    ({ piece, count, state } = unfinished);
    unfinished = null;
  };
  const text = () => [...kept, ...(unfinished ? [unfinished.line] : [])].join("\n");
  const bar = h("div", { class: "code-bar" }, h("span", {}, (label || name).slice(0, 40)));
  if (copies) bar.append(tool("copy", "Copy code", () => copy(text())));
  return {
    element: h("div", { class: "code-block" }, bar, pre),
    text,
    add(lines, joins = false) {
      undo();
      for (const [place, line] of lines.entries()) {
        const same = joins && !place && kept.length;
        if (same) kept[kept.length - 1] += line;
        else kept.push(line);
        put(line, same);
      }
    },
    rest(line, joins = false) {
      undo();
      if (!line) return;
      unfinished = { line, piece, count, state, length: piece?.childNodes.length ?? 0 };
      put(line, joins);
    },
  };
}

/** A line without colours; one that is very long in pieces that are laid out each for itself. */
function cut(line, show) {
  if (line.length <= LONGEST) return [...show(line)];
  const pieces = [];
  for (let at = 0; at < line.length; at += LONGEST) {
    pieces.push(h("span", { class: "piece" }, show(line.slice(at, at + LONGEST))));
  }
  return pieces;
}

/** The nodes of a line, and the mark by which began what goes on behind its end; "" where nothing does. */
function coloured(line, { keys, long, token }, state, show) {
  const nodes = [];
  let done = 0;
  const put = (kind, from, to) => {
    if (from > done) nodes.push(...show(line.slice(done, from)));
    if (to > from) nodes.push(h("span", { class: `k-${kind}` }, show(line.slice(from, to))));
    done = to;
  };
  /** Colour from `from` on, inside what `mark` began, to its end; false if that is not in this line. */
  const inside = (mark, from, begun) => {
    const [, end, kind] = long.find(([start]) => start === mark);
    const found = line.indexOf(end, begun);
    put(kind, from, found < 0 ? line.length : found + end.length);
    return found >= 0;
  };
  if (state && !inside(state, 0, 0)) return [nodes, state];
  for (token.lastIndex = done; ; token.lastIndex = Math.max(token.lastIndex, done)) {
    const found = token.exec(line);
    if (!found) break;
    const kind = KINDS[found.findIndex((part, place) => place && part !== undefined) - 1];
    const end = found.index + found[0].length;
    if (kind === "long") {
      if (!inside(found[0], found.index, end)) return [nodes, found[0]];
    } else if (kind !== "word") put(kind, found.index, end);
    else if (keys.has(found[0])) put("key", found.index, end);
  }
  if (done < line.length) nodes.push(...show(line.slice(done)));
  return [nodes, ""];
}
