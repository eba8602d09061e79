// The tools on offer: functions as JSON, with examples to begin with, and which of them may be called.

import { h } from "/assets/shared/dom.js";
import { parse, show } from "/assets/shared/json.js";
import { field, select, textarea, written } from "/assets/playground/control.js";

const object = (properties, required = Object.keys(properties)) => ({ type: "object", properties, required });
const EXAMPLES = {
  Weather: {
    name: "get_weather",
    description: "The weather in a city, now.",
    parameters: object(
      {
        city: { type: "string", description: "A city's name, such as Paris" },
        unit: { type: "string", enum: ["celsius", "fahrenheit"] },
      },
      ["city"],
    ),
  },
  Search: {
    name: "search",
    description: "Look something up on the web.",
    parameters: object({ query: { type: "string" }, count: { type: "integer", minimum: 1, maximum: 10 } }, ["query"]),
  },
  Sum: {
    name: "add",
    description: "Add two numbers.",
    parameters: object({ a: { type: "number" }, b: { type: "number" } }),
  },
};
const MODES = [
  ["", "not set"],
  ["auto", "auto: the model decides"],
  ["none", "none: it may not"],
  ["required", "required: it must"],
];

/** The fields about tools. */
export function toolFields(scope) {
  const choice = choiceField(scope);
  return [toolsField(scope, choice.draw), choice, promptField(scope), parallelField(scope)];
}

function toolsField({ settings, set, lack }, drawChoice) {
  const put = (text) => {
    const { value, problem } = text.trim() ? parse(text) : {};
    set("tools", problem ? text : value);
    drawChoice();
  };
  const control = textarea(written(settings.tools), put, { rows: 8, class: "code", placeholder: "not set" });
  const insert = (example) => {
    const { value = [] } = control.value.trim() ? parse(control.value) : {};
    const kept = Array.isArray(value) ? value.filter((one) => one?.function?.name !== example.name) : [];
    write(written([...kept, { type: "function", function: example }]));
  };
  const write = (text) => {
    control.value = text;
    put(text);
  };
  const buttons = Object.entries(EXAMPLES).map(([name, example]) =>
    h("button", { type: "button", class: "small", on: { click: () => insert(example) } }, `Insert: ${name}`),
  );
  const tidy = h(
    "button",
    {
      type: "button",
      class: "small quiet",
      on: {
        click: () => {
          const { value } = parse(control.value);
          if (value !== undefined) write(written(value));
        },
      },
    },
    "Tidy",
  );
  const help = "A JSON list of functions that the model may call; parameters are a JSON Schema.";
  const view = field("tools", control, { help, lack: lack("tools"), unset: () => write("") });
  view.element.append(h("div", { class: "row" }, buttons, tidy));
  return { ...view, name: "tools" };
}

function choiceField({ settings, set, lack }) {
  const read = (value) =>
    value.startsWith("=") ? { type: "function", function: { name: value.slice(1) } } : value || undefined;
  const now = () => {
    const { tool_choice: choice } = settings;
    if (typeof choice?.function?.name === "string") return `=${choice.function.name}`;
    return typeof choice === "string" ? choice : choice === undefined ? "" : show(choice);
  };
  const control = select([], "", (value) => set("tool_choice", read(value)));
  const draw = () => {
    const tools = Array.isArray(settings.tools) ? settings.tools : [];
    const names = tools.map((tool) => tool?.function?.name).filter((name) => typeof name === "string");
    const options = [...MODES, ...names.map((name) => [`=${name}`, `only ${name}`])];
    if (!options.some(([value]) => value === now()))
      options.push([now(), `${now().replace(/^=/, "only ")} (not there)`]);
    control.replaceChildren(...options.map(([value, words]) => h("option", { value }, words)));
    control.value = now();
  };
  const unset = () => {
    set("tool_choice", undefined);
    draw();
  };
  draw();
  const help = "Whether the model may, must or must not call tools, or which one it has to call.";
  return { ...field("tool_choice", control, { help, lack: lack("tool_choice"), unset }), name: "tool_choice", draw };
}

function promptField({ settings, set, lack }) {
  const control = textarea(settings.tool_prompt ?? "", (text) => set("tool_prompt", text || undefined), {
    placeholder: "not set",
    spellcheck: true,
  });
  const unset = () => {
    control.value = "";
    set("tool_prompt", undefined);
  };
  const help = "What is said to the model before the tools, where its template doesn't know tools.";
  return { ...field("tool_prompt", control, { help, lack: lack("tool_prompt"), unset }), name: "tool_prompt" };
}

function parallelField({ settings, set, lack }) {
  const name = "parallel_tool_calls";
  const control = select(
    [
      ["", "not set"],
      ["true", "on"],
      ["false", "off"],
    ],
    String(settings[name] ?? ""),
    (value) => set(name, value === "" ? undefined : value === "true"),
  );
  const unset = () => {
    control.value = "";
    set(name, undefined);
  };
  return {
    ...field(name, control, { help: "Whether one answer may call several tools.", lack: lack(name), unset }),
    name,
  };
}
