// JSON Schema, as people read it. Pure.

/** Of the document's schemas: the one that `schema` points at, or itself. */
export function follow(schema, schemas) {
  return schema?.$ref ? { ...schemas[schema.$ref.split("/").pop()], name: schema.$ref.split("/").pop() } : schema;
}

/** The schemas of which a value may be one, null left out; arrays are told by `many`: how deep they are. */
export function branches(schema, schemas, many = "") {
  const here = follow(schema, schemas);
  if (here.anyOf) return here.anyOf.flatMap((one) => branches(one, schemas, many));
  if (here.type === "array" && here.items) return branches(here.items, schemas, `${many}[]`);
  return here.type === "null" ? [] : [{ schema: here, many }];
}

/** The objects inside `schema` that have fields of their own: `[{label, many, schema}]`. */
export function objects(schema, schemas) {
  return branches(schema, schemas)
    .filter(({ schema: one }) => one.properties)
    .map(({ schema: one, many }) => ({ label: label(one), many, schema: one }));
}

/** What to call an object: the word that its `type` has to be, or its type's name. */
function label(schema) {
  const kind = schema.properties.type?.enum;
  if (kind?.length === 1 && schema.required?.includes("type")) return `type: ${kind[0]}`;
  return schema.name ?? "object";
}

/** The type in words: `string | string[] | null`; what values an enum has is among the limits. */
export function typeText(schema, schemas) {
  return [...new Set(words(schema, schemas))].join(" | ");
}

function words(schema, schemas) {
  const here = follow(schema, schemas);
  if (here.anyOf) return here.anyOf.flatMap((one) => words(one, schemas));
  if (Array.isArray(here.type)) return here.type;
  if (here.type === "array") {
    const inner = here.items ? typeText(here.items, schemas) : "any";
    return [inner.includes(" | ") ? `(${inner})[]` : `${inner}[]`];
  }
  if (here.enum) return here.enum.length > 1 ? ["enum"] : [JSON.stringify(here.enum[0])];
  if (here.type === "object" && here.additionalProperties?.type) return [`object of ${here.additionalProperties.type}s`];
  return [here.type ?? "any JSON"];
}

/** The bounds of a field, in words, one string each. */
export function limits(schema, schemas) {
  const here = follow(schema, schemas);
  if (here.anyOf) return [...new Set(here.anyOf.flatMap((one) => limits(one, schemas)))];
  const told = [];
  const [low, high] = [here.minimum ?? here.exclusiveMinimum, here.maximum ?? here.exclusiveMaximum];
  if (Math.abs(low) > Number.MAX_SAFE_INTEGER) told.push("a 64-bit whole number");
  else if (low !== undefined && high !== undefined) {
    told.push(`${here.exclusiveMinimum === undefined ? "from" : "above"} ${low} to ${high}`);
  } else if (low !== undefined) told.push(`at least ${low}`);
  else if (high !== undefined) told.push(`at most ${high}`);
  if (here.minItems) told.push(`at least ${here.minItems} item${here.minItems > 1 ? "s" : ""}`);
  if (here.maxItems) told.push(`at most ${here.maxItems} items`);
  if (here.enum?.length > 1) told.push(`one of ${here.enum.join(", ")}`);
  const values = here.additionalProperties;
  if (values?.minimum !== undefined) told.push(`numbers from ${values.minimum} to ${values.maximum}`);
  if (here.type === "array" && here.items) told.push(...limits(here.items, schemas).map((one) => `each ${one}`));
  return told;
}

/** What a field is when it is left out, in words; "" where there is nothing to say. */
export function defaultText(field) {
  if (field["x-default"]) return field["x-default"];
  return field.default === null || field.default === undefined ? "" : JSON.stringify(field.default);
}
