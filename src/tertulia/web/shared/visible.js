// Characters that nobody sees, or that turn what stands around them about, made visible.

// Controls but for tab and line feed; zero width; embeddings, overrides and isolates of direction; tags.
const ODD = new RegExp(
  String.raw`[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u2028\u2029\u202a-\u202e\u2060-\u2064` +
    String.raw`\u2066-\u2069\ufeff\u{e0000}-\u{e007f}]+`,
  "gu",
);
const NAMES = {
  0x1b: "escape",
  0x7f: "delete",
  0x200b: "zero width space",
  0x202a: "left-to-right embedding",
  0x202b: "right-to-left embedding",
  0x202c: "end of direction",
  0x202d: "left-to-right override",
  0x202e: "right-to-left override",
  0x2066: "left-to-right isolate",
  0x2067: "right-to-left isolate",
  0x2068: "isolate",
  0x2069: "end of isolate",
  0xfeff: "byte order mark",
};
const LONGEST = 8; // marks of one run that are spelt out

/** A function of a string to nodes that show it. Only `most` of the marks are elements, further ones plain text. */
export function shower(most = 2000) {
  let left = most;
  return (text) => {
    ODD.lastIndex = 0;
    if (!ODD.test(text)) return [text];
    if (left <= 0) return [text.replace(ODD, spell)];
    ODD.lastIndex = 0;
    const nodes = [];
    let at = 0;
    for (const { 0: run, index } of text.matchAll(ODD)) {
      if (left <= 0) break;
      left -= 1;
      if (index > at) nodes.push(text.slice(at, index));
      nodes.push(mark(run));
      at = index + run.length;
    }
    if (at < text.length) nodes.push(text.slice(at).replace(ODD, spell));
    return nodes;
  };
}

function mark(run) {
  const span = document.createElement("span");
  span.className = "odd";
  span.textContent = spell(run);
  const point = run.codePointAt(0);
  span.title = `${code(point)}${NAMES[point] ? ` ${NAMES[point]}` : ""}`;
  return span;
}

function spell(run) {
  const points = [...run];
  const shown = points.slice(0, LONGEST).map((one) => {
    const point = one.codePointAt(0);
    if (point < 0x20) return String.fromCodePoint(0x2400 + point);
    return point === 0x7f ? "\u2421" : `\u2039${code(point)}\u203a`;
  });
  return shown.join("") + (points.length > LONGEST ? `\u00d7${points.length}` : "");
}

function code(point) {
  return `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
}
