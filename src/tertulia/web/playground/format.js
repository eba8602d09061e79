// What an answer shall look like: text, any JSON, or JSON that fits a schema.

import { h } from "/assets/shared/dom.js";
import { isObject, parseObject } from "/assets/shared/json.js";
import { field, select, textarea, written } from "/assets/playground/control.js";

const TYPES = [
  ["", "not set"],
  ["text", "text"],
  ["json_object", "json_object: any JSON"],
  ["json_schema", "json_schema: JSON that fits"],
];
const EXAMPLE = {
  type: "object",
  properties: {
    name: { type: "string" },
    year: { type: "integer" },
    tags: { type: "array", items: { $ref: "#/$defs/tag" } },
  },
  required: ["name", "year", "tags"],
  additionalProperties: false,
  $defs: { tag: { type: "string", enum: ["fact", "guess"] } },
};
const NAME = "response_format";

/** The fields about the form of an answer. All are parts of `response_format`. */
export function formatFields(scope) {
  const { settings, set, lack } = scope;
  const inner = () => (isObject(settings[NAME]?.json_schema) ? settings[NAME].json_schema : {});
  const parts = schemaParts(inner, (changes) => {
    const made = { ...inner(), ...changes };
    for (const [key, value] of Object.entries(made)) if (value === undefined) delete made[key];
    set(NAME, { ...settings[NAME], json_schema: made });
  });
  let kept = settings[NAME]?.json_schema; // what was written, while another type is looked at
  const draw = () => {
    for (const { element } of parts) element.hidden = settings[NAME]?.type !== "json_schema";
  };
  const put = (type) => {
    kept = settings[NAME]?.json_schema ?? kept;
    if (!type) set(NAME, undefined);
    else if (type !== "json_schema") set(NAME, { type });
    else set(NAME, { type, json_schema: kept ?? { name: "answer", strict: true, schema: EXAMPLE } });
    for (const part of parts) part.show();
    draw();
  };
  const control = select(TYPES, settings[NAME]?.type ?? "", put);
  if (control.value !== (settings[NAME]?.type ?? "")) {
    // another server's own
    control.append(h("option", { value: settings[NAME].type }, settings[NAME].type));
    control.value = settings[NAME].type;
  }
  const unset = () => {
    control.value = "";
    put("");
  };
  draw();
  const help =
    "json_object needs a word about JSON in the messages for many models; json_schema holds the model to a schema.";
  const kind = { ...field(NAME, control, { help, lack: lack(NAME), unset }), name: NAME };
  const whole = (faulty) => (settings[NAME]?.type === "json_schema" ? "" : (faulty.get(NAME) ?? ""));
  return [{ ...kind, wrong: whole }, ...parts.map((part) => ({ ...part, name: NAME, mark: () => {} }))];
}

function schemaParts(inner, put) {
  const name = h("input", { autocomplete: "off", spellcheck: false, on: { input: () => put({ name: name.value }) } });
  const description = h("input", {
    autocomplete: "off",
    on: { input: () => put({ description: description.value || undefined }) },
  });
  const strict = select(
    [
      ["", "not set (on)"],
      ["true", "on"],
      ["false", "off"],
    ],
    "",
    (value) => put({ strict: value === "" ? undefined : value === "true" }),
  );
  const schema = textarea("", (text) => put({ schema: parseObject(text).value ?? text }), { rows: 12, class: "code" });
  const write = (value) => {
    schema.value = written(value);
    put({ schema: value });
  };
  const tidy = () => {
    const { value } = parseObject(schema.value);
    if (value) write(value);
  };
  const part = (label, control, help, show, mine) => ({
    ...field(NAME, control, { label, help }),
    show,
    wrong: (faulty) => (mine(faulty.get(NAME) ?? "") ? (faulty.get(NAME) ?? "") : ""),
  });
  const ofName = (message) => message.startsWith("json_schema.name");
  const views = [
    part(
      "Schema's name",
      name,
      "Letters, digits, _ and -; some models read it.",
      () => (name.value = inner().name ?? ""),
      ofName,
    ),
    part(
      "Description",
      description,
      "What the answer is for; some models read it.",
      () => (description.value = inner().description ?? ""),
      () => false,
    ),
    part(
      "strict",
      strict,
      "On: the answer fits, or the request is refused. Off: what can't be enforced is told in a warning.",
      () => (strict.value = String(inner().strict ?? "")),
      () => false,
    ),
    part(
      "Schema",
      schema,
      "A JSON Schema.",
      () => (schema.value = written(inner().schema)),
      (message) => !ofName(message),
    ),
  ];
  const buttons = [
    ["Insert an example", () => write(EXAMPLE)],
    ["Tidy", tidy],
  ];
  views[3].element.append(
    h(
      "div",
      { class: "row" },
      buttons.map(([words, click]) => h("button", { type: "button", class: "small quiet", on: { click } }, words)),
    ),
  );
  for (const view of views) view.show();
  return views;
}
