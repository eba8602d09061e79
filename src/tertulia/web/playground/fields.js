// The fields of a request that a person can set: what they are called, what they take, what they do.

import { isObject, parse, parseObject, schemaProblem, show } from "/assets/shared/json.js";

const EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
const WHOLE = 2 ** 53 - 1;

/**
 * Groups of fields. `kind` is number, whole, flag, pick, lines (of text), names, bias or line; `more` says that
 * `min` itself is not allowed; `slide` gives a slider, which stands at `rest` while nothing is set; `needs` is the name
 * that tables of what providers honour have for it.
 */
export const GROUPS = [
  [
    "Sampling",
    [
      {
        name: "temperature",
        kind: "number",
        min: 0,
        max: 2,
        step: 0.05,
        slide: true,
        rest: 1,
        help: "How random the answer is: 0 takes the likeliest token, 2 is wild. Change this or top_p, not both.",
      },
      {
        name: "top_p",
        kind: "number",
        min: 0,
        more: true,
        max: 1,
        step: 0.05,
        slide: true,
        rest: 1,
        help: "Only the likeliest tokens that together have this probability are drawn from.",
      },
      {
        name: "top_k",
        kind: "whole",
        min: -1,
        max: WHOLE,
        help: "Only so many of the likeliest tokens; -1 or 0 is all.",
      },
      {
        name: "min_p",
        kind: "number",
        min: 0,
        max: 1,
        step: 0.01,
        help: "Only tokens at least this likely, compared with the likeliest.",
      },
      {
        name: "seed",
        kind: "whole",
        min: -WHOLE,
        max: WHOLE,
        help: "The same seed gives the same answer, as far as the provider can.",
      },
      { name: "n", kind: "whole", min: 1, max: 16, help: "How many answers to the same messages." },
    ],
  ],
  [
    "Length",
    [
      {
        name: "max_tokens",
        kind: "whole",
        min: 1,
        max: WHOLE,
        help: "The most tokens that the answer may have. Unset, the server decides.",
      },
      { name: "min_tokens", kind: "whole", min: 0, max: WHOLE, help: "No end before so many tokens." },
      {
        name: "stop",
        kind: "lines",
        most: 4,
        help: "Up to 4 strings, one a line, at which the answer ends; \\n is a line end, \\t a tab, \\\\ a backslash.",
      },
    ],
  ],
  [
    "Repetition",
    [
      {
        name: "presence_penalty",
        kind: "number",
        min: -2,
        max: 2,
        step: 0.1,
        slide: true,
        rest: 0,
        help: "Above 0, tokens that are in the text already become less likely: more new topics.",
      },
      {
        name: "frequency_penalty",
        kind: "number",
        min: -2,
        max: 2,
        step: 0.1,
        slide: true,
        rest: 0,
        help: "Above 0, tokens become less likely each time they are used: fewer repeated lines.",
      },
      {
        name: "repetition_penalty",
        kind: "number",
        min: 0.01,
        max: 10,
        step: 0.05,
        help: "Above 1, what was said becomes less likely; 1 does nothing. Engines have it, OpenAI has not.",
      },
      {
        name: "logit_bias",
        kind: "bias",
        min: -100,
        max: 100,
        help: 'JSON of token ids and what is added to each, -100 (never) to 100 (always): {"50256": -100}',
      },
    ],
  ],
  [
    "Thinking and log-probabilities",
    [
      { name: "reasoning_effort", kind: "pick", options: EFFORTS, help: "How long a model that reasons may think." },
      { name: "logprobs", kind: "flag", help: "How likely each token of the answer was: shown as a heat map." },
      {
        name: "top_logprobs",
        kind: "whole",
        min: 0,
        max: 20,
        help: "So many of the likeliest tokens at each place; the API promises 0 to 5. Needs logprobs.",
      },
    ],
  ],
  [
    "Delivery",
    [
      {
        name: "stream",
        kind: "flag",
        rest: true,
        help: "Show the answer as it is written. On unless you turn it off.",
      },
      {
        name: "include_usage",
        kind: "flag",
        rest: true,
        inside: "stream_options",
        help: "Ask for token counts at a stream's end. Without it there are no figures. On unless you turn it off.",
      },
      {
        name: "models",
        kind: "names",
        most: 16,
        help: "Other models, one a line, that may answer where the chosen one can't.",
      },
      {
        name: "continue",
        kind: "flag",
        help: "If a provider breaks off in the middle of an answer, another may go on from there.",
      },
      {
        name: "continue_final_message",
        kind: "flag",
        help: "Go on with the last message instead of answering it. Unset, that is done where it is the assistant's.",
      },
      { name: "user", kind: "line", help: "A name for who is asking, for providers that watch for abuse." },
    ],
  ],
];

export const FIELDS = GROUPS.flatMap(([, fields]) => fields);

const KNOWN = new Map(FIELDS.map((field) => [field.inside ?? field.name, field]));

/** What is wrong with the value of `field`, or "". */
export function fault(field, value) {
  return CHECKS[field.kind]?.(value, field) ?? "";
}

/** The bounds of a field in words. */
export function range({ kind, min, max, more }) {
  if (min === undefined || kind === "bias") return "";
  const [least, most] = [min <= -WHOLE ? null : min, max >= WHOLE ? null : max];
  if (least === null && most === null) return "a whole number";
  const low = more ? `above ${least}` : `${least}`;
  const text = most === null ? `${low} or more` : more ? `${low}, to ${most}` : `${low} to ${most}`;
  return kind === "whole" ? `whole, ${text}` : text;
}

const CHECKS = {
  number: (value, field) => (inRange(value, field) ? "" : `must be a number, ${range(field)}`),
  whole: (value, field) =>
    Number.isSafeInteger(value) && inRange(value, field)
      ? ""
      : `must be a whole number${range(field).replace(/^whole/, "")}`,
  flag: (value) => (typeof value === "boolean" ? "" : "must be on or off"),
  pick: (value, { options }) => (options.includes(value) ? "" : `must be one of ${options.join(", ")}`),
  line: (value) => (typeof value === "string" ? "" : "must be text"),
  lines: (value, { most }) => texts(value) ?? (value.length > most ? `takes ${most} strings at most` : ""),
  names: (value, { most }) => texts(value) ?? (value.length > most ? `takes ${most} names at most` : ""),
  bias(value, { min, max }) {
    if (typeof value === "string") return parseObject(value).problem ?? "";
    if (!isObject(value)) return "must be a JSON object of token ids and numbers";
    const wrong = Object.entries(value).find(([id, bias]) => !/^\d{1,11}$/.test(id) || !inRange(bias, { min, max }));
    return wrong ? `${show(wrong[0])}: ${show(wrong[1])} is not a token id with a number from -100 to 100` : "";
  },
};

function inRange(value, { min, max, more }) {
  return typeof value === "number" && value >= min && value <= max && !(more && value === min);
}

function texts(value) {
  return Array.isArray(value) && value.every((one) => typeof one === "string") ? null : "must be a list of strings";
}

/** What is wrong with `tools`: a list, or the text of one that is being written. "" if nothing is. */
function toolsFault(tools) {
  if (!Array.isArray(tools)) return 'must be a JSON list of tools: [{"type": "function", "function": {...}}]';
  const names = new Set();
  for (const [place, tool] of tools.entries()) {
    const wrong = toolFault(tool, `tools[${place}]`, names);
    if (wrong) return wrong;
  }
  return "";
}

function toolFault(tool, path, names) {
  if (!isObject(tool)) return `${path} must be an object, not ${show(tool)}`;
  if (tool.type !== "function") return `${path}.type must be "function", not ${show(tool.type)}`;
  if (!isObject(tool.function)) return `${path}.function must be an object with a name and parameters`;
  const { name, description, parameters, strict } = tool.function;
  if (typeof name !== "string" || !/^[\w.-]{1,64}$/.test(name)) {
    return `${path}.function.name must be 1 to 64 letters, digits, _, - or ., not ${show(name)}`;
  }
  if (names.has(name)) return `${path}.function.name: ${show(name)} is another tool's name, too`;
  names.add(name);
  if (description !== undefined && typeof description !== "string") return `${path}.function.description must be text`;
  if (strict !== undefined && typeof strict !== "boolean") return `${path}.function.strict must be true or false`;
  if (parameters === undefined || parameters === null) return "";
  const wrong = schemaProblem(parameters, `${path}.function.parameters`);
  if (wrong || (parameters.type ?? "object") === "object" || [parameters.type].flat().includes("object")) return wrong;
  return `${path}.function.parameters.type must be "object": arguments have names`;
}

/** What is wrong with `choice` among `tools`, or "". */
function choiceFault(choice, tools) {
  const names = Array.isArray(tools) ? tools.map((tool) => tool?.function?.name) : [];
  if (choice === "auto" || choice === "none") return "";
  const name = choice?.function?.name;
  if (choice !== "required" && typeof name !== "string") return "must be auto, none, required, or name a tool";
  if (!names.length) return "needs tools: add one, or unset this";
  return choice === "required" || names.includes(name)
    ? ""
    : `there is no tool ${show(name)}: choose another, or unset this`;
}

/** What is wrong with a response_format, or "". */
function formatFault(format) {
  if (!isObject(format)) return "must be an object with a type";
  if (format.type === "text" || format.type === "json_object") return "";
  if (format.type !== "json_schema") return ""; // another server's own: it will say
  const { name, description = "", strict = null, schema } = format.json_schema ?? {};
  if (typeof name !== "string" || !/^[\w-]{1,64}$/.test(name)) {
    return "json_schema.name must be 1 to 64 letters, digits, _ or -";
  }
  if (typeof description !== "string") return "json_schema.description must be text";
  if (strict !== null && typeof strict !== "boolean") return "json_schema.strict must be true or false";
  if (typeof schema === "string") return parseObject(schema).problem ?? "";
  return schemaProblem(schema);
}

function optionsFault(options) {
  if (!isObject(options)) return "must be an object";
  const { include_usage: usage = true } = options;
  return typeof usage === "boolean" ? "" : "include_usage must be on or off";
}

/** Everything that is wrong with `settings`: `[{field, message}]`. */
export function faults(settings) {
  const found = [];
  const add = (field, message) => message && found.push({ field, message });
  for (const [name, value] of Object.entries(settings)) {
    if (name === "tools") add(name, typeof value === "string" ? listFault(value) : toolsFault(value));
    else if (name === "tool_choice") add(name, choiceFault(value, settings.tools));
    else if (name === "response_format") add(name, formatFault(value));
    else if (name === "extra") add(name, String(value).trim() ? parseObject(String(value)).problem : "");
    else if (name === "stream_options") add(name, optionsFault(value));
    else if (name === "tool_prompt") add(name, typeof value === "string" ? "" : "must be text");
    else if (name === "parallel_tool_calls") add(name, typeof value === "boolean" ? "" : "must be on or off");
    else if (KNOWN.has(name)) add(name, fault(KNOWN.get(name), value));
  }
  if (settings.top_logprobs > 0 && settings.logprobs !== true) add("top_logprobs", "needs logprobs: turn it on");
  return found;
}

/** What is wrong with text that shall be a list of tools. */
function listFault(text) {
  const { value, problem } = parse(text);
  return problem ?? toolsFault(value);
}
