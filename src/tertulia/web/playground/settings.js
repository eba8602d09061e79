// The settings of a chat: every field of a request, and whatever else somebody wants to send.

import { h } from "/assets/shared/dom.js";
import { parseObject } from "/assets/shared/json.js";
import { field, fold, select, textarea, written } from "/assets/playground/control.js";
import { faults, FIELDS, GROUPS, range } from "/assets/playground/fields.js";
import { formatFields } from "/assets/playground/format.js";
import { lack } from "/assets/playground/lack.js";
import { toolFields } from "/assets/playground/tools.js";

const OPEN = ["Sampling", "Length"];

/**
 * A panel for what `chat.settings` may hold. `card` is the model's of /v1/models, or nothing; `onChange(chat)` is
 * called after each change. What is wrong stays in the settings, is marked here, and is a problem of the request's.
 */
export function settingsPanel(chat, card, onChange) {
  chat.settings ??= {};
  const { settings } = chat;
  const shown = [];
  const changed = () => {
    check(shown, settings);
    onChange(chat);
  };
  const set = (name, value) => {
    if (value === undefined) delete settings[name];
    else settings[name] = value;
    changed();
  };
  const scope = { chat, settings, set, lack: (name) => lack(name, chat, card) };
  const groups = [
    ...GROUPS.map(([title, fields]) => [title, fields.map((one) => plain(one, scope))]),
    ["Tools", toolFields(scope)],
    ["Response format", formatFields(scope)],
    ["Anything else", [extra(scope)]],
  ];
  for (const [title, fields] of groups) {
    const open = OPEN.includes(title) || fields.some(({ name }) => isSet(settings, name));
    shown.push({
      fields,
      fold: fold(
        title,
        open,
        fields.map(({ element }) => element),
      ),
    });
  }
  const reset = h(
    "button",
    { type: "button", class: "quiet", on: { click: () => clear(chat, card, onChange, element) } },
    "Unset all",
  );
  const note = h("p", { class: "faint small" }, "What is not set is not sent: the server, or the provider, decides.");
  const element = h(
    "div",
    { class: "settings stack" },
    h("div", { class: "row apart" }, note, reset),
    shown.map(({ fold: one }) => one.element),
  );
  check(shown, settings);
  return element;
}

function clear(chat, card, onChange, element) {
  for (const name of Object.keys(chat.settings)) delete chat.settings[name];
  const fresh = settingsPanel(chat, card, onChange);
  element.replaceWith(fresh);
  onChange(chat);
  fresh.querySelector("button").focus();
}

/** Mark what is wrong and what is set. */
function check(shown, settings) {
  const wrong = new Map();
  for (const { field: name, message } of faults(settings)) if (!wrong.has(name)) wrong.set(name, message);
  for (const { fields, fold: one } of shown) {
    for (const view of fields) {
      view.say(view.wrong ? view.wrong(wrong) : (wrong.get(view.name) ?? ""));
      view.mark(isSet(settings, view.name));
    }
    const names = [...new Set(fields.map(({ name }) => name))];
    one.tell(
      names.filter((name) => isSet(settings, name)).length,
      names.some((name) => wrong.has(name)),
    );
  }
}

/** Whether a field says something; a switch that is as it would be anyway says nothing. */
function isSet(settings, name) {
  const known = FIELDS.find((one) => one.name === name);
  const value = known?.inside ? settings[known.inside]?.[name] : settings[name];
  return value !== undefined && !(known?.kind === "flag" && value === known.rest);
}

// ---------------------------------------------------------------- one field

const KINDS = { number: numeric, whole: numeric, flag, pick, line, lines, names, bias };

function plain(row, { settings, set, lack: lacks }) {
  const get = () => (row.inside ? settings[row.inside]?.[row.name] : settings[row.name]);
  const put = (value) => {
    if (!row.inside) return set(row.name, value);
    const { [row.name]: _, ...rest } = settings[row.inside] ?? {};
    const made = value === undefined ? rest : { ...rest, [row.name]: value };
    return set(row.inside, Object.keys(made).length ? made : undefined);
  };
  const { control, beside = [], show } = KINDS[row.kind](row, get, put);
  const unset = () => {
    put(undefined);
    show();
  };
  const wide = Boolean(row.slide) || !["number", "whole", "flag", "pick"].includes(row.kind);
  const view = field(row.name, control, {
    range: range(row),
    help: row.help,
    lack: lacks(row.name),
    beside,
    unset,
    wide,
  });
  return { ...view, name: row.name, wrong: (faulty) => faulty.get(row.inside ?? row.name) ?? "" };
}

function numeric({ name, kind, min, max, step, slide, rest }, get, put) {
  const number = (text) => {
    // A comma may stand for the point of a fraction; in a whole number it would be one between thousands.
    const value = Number(kind === "whole" ? text.trim() : text.trim().replace(",", "."));
    return text.trim() === "" ? undefined : Number.isFinite(value) ? value : text;
  };
  const control = h("input", {
    inputMode: "decimal",
    autocomplete: "off",
    placeholder: "not set",
    value: get() ?? "",
    on: {
      input: () => {
        put(number(control.value));
        draw();
      },
    },
  });
  const slider =
    slide &&
    h("input", {
      type: "range",
      min,
      max,
      step,
      "aria-label": `${name}, slider`,
      on: {
        input: () => {
          control.value = slider.value;
          put(Number(slider.value));
          draw();
        },
      },
    });
  const draw = () => {
    if (!slider) return;
    slider.value = typeof get() === "number" ? get() : rest;
    slider.classList.toggle("unset", get() === undefined);
  };
  const show = () => {
    control.value = get() ?? "";
    draw();
  };
  draw();
  return { control, beside: slider ? [slider] : [], show };
}

function flag({ rest }, get, put) {
  const words = rest === undefined ? "not set" : `not set (${rest ? "on" : "off"})`;
  const control = select(
    [
      ["", words],
      ["true", "on"],
      ["false", "off"],
    ],
    String(get() ?? ""),
    (value) => put(value === "" ? undefined : value === "true"),
  );
  return { control, show: () => (control.value = String(get() ?? "")) };
}

function pick({ options }, get, put) {
  const control = select([["", "not set"], ...options.map((one) => [one, one])], get() ?? "", (value) =>
    put(value || undefined),
  );
  return { control, show: () => (control.value = get() ?? "") };
}

function line(_, get, put) {
  const control = h("input", {
    value: get() ?? "",
    placeholder: "not set",
    autocomplete: "off",
    on: { input: () => put(control.value || undefined) },
  });
  return { control, show: () => (control.value = get() ?? "") };
}

/** Strings, one a line, with what has no place on a line escaped. */
function lines(_, get, put) {
  const escape = (text) => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\t", "\\t");
  const read = (text) => text.replace(/\\(.)/g, (all, char) => ({ n: "\n", t: "\t", "\\": "\\" })[char] ?? all);
  const text = () => [get() ?? []].flat().map(escape).join("\n");
  const control = textarea(
    text(),
    (value) => {
      const found = value.split("\n").filter(Boolean).map(read);
      put(found.length ? found : undefined);
    },
    { placeholder: "not set", class: "code" },
  );
  return { control, show: () => (control.value = text()) };
}

function names(_, get, put) {
  const text = () => [get() ?? []].flat().join("\n");
  const control = textarea(
    text(),
    (value) => {
      const found = value
        .split("\n")
        .map((one) => one.trim())
        .filter(Boolean);
      put(found.length ? found : undefined);
    },
    { placeholder: "not set" },
  );
  return { control, show: () => (control.value = text()) };
}

function bias(_, get, put) {
  const control = textarea(written(get()), (text) => put(text.trim() ? (parseObject(text).value ?? text) : undefined), {
    placeholder: "not set",
    class: "code",
  });
  return { control, show: () => (control.value = written(get())) };
}

/** Fields that nobody thought of. */
function extra({ settings, set }) {
  const put = (text) => set("extra", text.trim() ? text : undefined);
  const control = textarea(settings.extra ?? "", put, { rows: 4, class: "code", placeholder: '{"provider_field": 1}' });
  const unset = () => {
    control.value = "";
    put("");
  };
  const help =
    "A JSON object that is put over the request as the last word: other fields, or other values.";
  return { ...field("extra", control, { label: "Extra JSON", help, unset }), name: "extra" };
}
