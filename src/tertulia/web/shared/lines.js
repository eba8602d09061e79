// What a line of Markdown is, before anything is made of it. Pure.

const COLUMNS = 40;

/** An item: its indent, its sign, the blanks behind. */
export const ITEM = /^( *)([-+*]|\d{1,9}[.)])(?:( +)|$)/;

/** Tabs at the start as spaces. */
export function expand(line) {
  return /^[ >]*\t/.test(line.slice(0, 100)) ? line.slice(0, 100).replaceAll("\t", "    ") + line.slice(100) : line;
}

export const indentOf = (text) => text.length - text.trimStart().length;
export const unindent = (text, most) => text.slice(Math.min(indentOf(text), most));

/** What is left of a line inside the open quotes and items, and how many of them it belongs to. */
export function within(stack, text) {
  let depth = 0;
  for (const { kind, indent } of stack) {
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

/** Whether a line begins a block that a paragraph doesn't swallow. A number does inside a list, or if it is small. */
export function starts(stack, text) {
  const item = ITEM.exec(text);
  const inside = stack.some(({ kind }) => kind === "item");
  const listed = item && item[1].length < 4 && (inside || (item[3] && (!/\d/.test(item[2]) || item[2].length === 2)));
  return listed || /^ {0,3}(?:>|#{1,6}(?: |$)|```|~~~)/.test(text) || isRule(text);
}

export function isRule(text) {
  if (text.length > 200 || indentOf(text) > 3) return false;
  return /^(?:-{3,}|\*{3,}|_{3,})$/.test(text.replaceAll(" ", ""));
}

/** Where to cut a line that is too long: at a blank if there is one, never inside a character. */
export function place(text, at) {
  const blank = text.slice(at - 200, at).lastIndexOf(" ");
  if (blank >= 0) return at - 199 + blank;
  return text.codePointAt(at - 1) > 0xffff ? at + 1 : at;
}

/** The cells of a table's line. */
export function cells(text) {
  const inner = text.trim().replace(/^\|/, "");
  const found = inner.split(/(?<!\\)\|/, COLUMNS + 1).map((cell) => cell.trim().replaceAll("\\|", "|"));
  if (found.length > 1 && found.at(-1) === "") found.pop();
  return found;
}

/** The head of a table, if `above` and `text` are its first lines: its cells, and its columns' classes. */
export function headOf(above, text) {
  if (!text.includes("-") || text.length > 2000 || !/^[\s|:-]+$/.test(text) || above.includes("\n")) return null;
  const [head, rules] = [cells(above), cells(text)];
  if (!above.includes("|") || head.length !== rules.length || head.length > COLUMNS) return null;
  if (!rules.every((rule) => /^:?-+:?$/.test(rule))) return null;
  return { head, sides: rules.map((rule) => (rule.endsWith(":") ? (rule.startsWith(":") ? "center" : "end") : "")) };
}

/** Whether a line ends the open code: by its fence, or by an indent that is less. */
export function closes({ fence, last }, text) {
  if (last) return false;
  if (!fence) return text.trim() !== "" && indentOf(text) < 4;
  const shown = text.trim();
  return shown.length >= fence.length && indentOf(text) < 4 && shown === fence[0].repeat(shown.length);
}
