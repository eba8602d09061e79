// JSON and JSON Schema as people write them: what is wrong, and where.

const TYPES = ["object", "string", "number", "integer", "boolean", "array", "null"];
const NAMED = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const LISTED = ["anyOf", "oneOf", "allOf", "prefixItems"];
const SINGLE = [
  "additionalProperties",
  "not",
  "items",
  "contains",
  "propertyNames",
  "if",
  "then",
  "else",
  "additionalItems",
  "unevaluatedItems",
  "unevaluatedProperties",
];
const DEEPEST = 100;

/** What `text` says: `{value}`, or `{problem}` with the line and column at fault. */
export function parse(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { problem: text.trim() === "" ? "this is empty: JSON is needed" : complaint(text, error) };
  }
}

/** The object that `text` says, as `parse` tells it. */
export function parseObject(text) {
  const { value, problem } = parse(text);
  if (problem) return { problem };
  return isObject(value) ? { value } : { problem: `a JSON object is needed: {...}, not ${show(value)}` };
}

export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `value`, cut to what a line can hold. */
export function show(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function complaint(text, error) {
  const [line, column] = spot(text, error.message);
  const what = error.message
    .replace(/^JSON\.parse: /, "")
    .replace(/^JSON Parse error: /, "")
    .replace(/,? (in JSON )?at (position \d+|line \d+ column \d+).*$/s, "")
    .replace(/, \.{0,3}"[^]*" is not valid JSON$/, "")
    .replace(/^\w/, (letter) => letter.toLowerCase());
  return line ? `line ${line}, column ${column}: ${what}` : what;
}

/** Where a parser says that it stopped; browsers say it in three ways, and sometimes not at all. */
function spot(text, message) {
  const told = /line (\d+) column (\d+)/.exec(message);
  if (told) return [Number(told[1]), Number(told[2])];
  const position = Number(/position (\d+)/.exec(message)?.[1] ?? stop(text));
  const before = text.slice(0, position).split("\n");
  return [before.length, before.at(-1).length + 1];
}

/** The first place at which `text` can't be JSON any more. */
function stop(text) {
  const parts = [
    String.raw`\s+|[[\]{}:,]|true|false|null`,
    String.raw`"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"`,
    String.raw`-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?`,
  ];
  const token = new RegExp(parts.join("|"), "y");
  let state = "value"; // value, first (of a list), key, name (the first key), colon, after
  const open = [];
  while (token.lastIndex < text.length) {
    const at = token.lastIndex;
    const found = token.exec(text)?.[0];
    if (!found) return at;
    if (/^\s/.test(found)) continue;
    state = next(state, found, open);
    if (!state) return at;
  }
  return text.length;
}

function next(state, found, open) {
  const value = state === "value" || state === "first";
  if (found === "{" && value) return open.push("}") && "name";
  if (found === "[" && value) return open.push("]") && "first";
  if (found === "}" || found === "]") {
    const may = state === "after" || state === (found === "}" ? "name" : "first");
    return may && open.pop() === found ? "after" : "";
  }
  if (found === ",") return state === "after" && open.length ? (open.at(-1) === "}" ? "key" : "value") : "";
  if (found === ":") return state === "colon" ? "value" : "";
  if (state === "key" || state === "name") return found.startsWith('"') ? "colon" : "";
  return value ? "after" : "";
}

// ---------------------------------------------------------------- JSON Schema

/** What keeps `schema`, which stands at `path`, from being a JSON Schema: a sentence that names the place, or "". */
export function schemaProblem(schema, path = "schema") {
  if (!isObject(schema)) return `${path} must be a JSON Schema: an object, not ${show(schema)}`;
  return walk(schema, path, schema, 0);
}

function walk(schema, path, root, depth) {
  if (typeof schema === "boolean") return "";
  if (!isObject(schema)) return `${path} must be a schema: an object, not ${show(schema)}`;
  if (depth > DEEPEST) return `${path} is nested too deeply: ${DEEPEST} levels are the most`;
  for (const [name, value] of Object.entries(schema)) {
    const wrong = keyword(name, value, `${path}.${name}`, root, depth + 1);
    if (wrong) return wrong;
  }
  return missing(schema, path);
}

function keyword(name, value, path, root, depth) {
  if (NAMED.includes(name)) {
    if (!isObject(value)) return `${path} must be an object of schemas by name, not ${show(value)}`;
    return first(Object.entries(value), ([label, part]) => walk(part, `${path}.${label.slice(0, 64)}`, root, depth));
  }
  if (LISTED.includes(name) || (name === "items" && Array.isArray(value))) {
    if (!Array.isArray(value) || !value.length) return `${path} must be a list of schemas, with one at least`;
    return first([...value.entries()], ([index, part]) => walk(part, `${path}[${index}]`, root, depth));
  }
  if (SINGLE.includes(name)) return walk(value, path, root, depth);
  if (name === "$ref") return reference(value, path, root);
  const [fits, wanted] = Object.hasOwn(RULES, name) ? RULES[name] : [];
  return fits && !fits(value) ? `${path} must be ${wanted}, not ${show(value)}` : "";
}

function first(items, check) {
  for (const item of items) {
    const wrong = check(item);
    if (wrong) return wrong;
  }
  return "";
}

/** A required property that nobody describes is most often a slip of the pen. */
function missing(schema, path) {
  if (!Array.isArray(schema.required) || !isObject(schema.properties) || schema.additionalProperties !== false)
    return "";
  const name = schema.required.find((one) => !Object.hasOwn(schema.properties, one));
  return name === undefined ? "" : `${path}.required names ${show(name)}, which is not among ${path}.properties`;
}

function reference(value, path, root) {
  if (typeof value !== "string") return `${path} must be a string: #/$defs/NAME`;
  if (value !== "#" && !value.startsWith("#/")) return "";
  const found = target(value, root);
  return isObject(found) || typeof found === "boolean"
    ? ""
    : `${path} leads nowhere: there is no schema at ${show(value)}`;
}

function target(pointer, root) {
  try {
    const steps = decodeURIComponent(pointer.slice(1)).split("/").slice(1);
    return steps.reduce((at, step) => {
      const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
      return typeof at === "object" && at !== null && Object.hasOwn(at, name) ? at[name] : undefined;
    }, root);
  } catch {
    return undefined; // no percent-encoding
  }
}

const isNumber = (value) => typeof value === "number";
const isText = (value) => typeof value === "string";
const isCount = (value) => Number.isInteger(value) && value >= 0;
const COUNTS = ["Length", "Items", "Properties", "Contains"].flatMap((what) => [`min${what}`, `max${what}`]);
const BOUNDS = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];

const RULES = {
  type: [
    (value) => [value].flat().length > 0 && [value].flat().every((kind) => TYPES.includes(kind)),
    `one of ${TYPES.join(", ")}, or a list of them`,
  ],
  required: [(value) => Array.isArray(value) && value.every(isText), "a list of property names"],
  enum: [(value) => Array.isArray(value) && value.length > 0, "a list of values, one at least"],
  pattern: [isText, "a string"],
  format: [isText, "a string"],
  uniqueItems: [(value) => typeof value === "boolean", "true or false"],
  multipleOf: [(value) => isNumber(value) && value > 0, "a number above 0"],
  ...Object.fromEntries(BOUNDS.map((name) => [name, [isNumber, "a number"]])),
  ...Object.fromEntries(COUNTS.map((name) => [name, [isCount, "a whole number from 0 on"]])),
};
