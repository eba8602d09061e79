// The code that sends a request: made by the server, in the language and for the client that one chooses.

import { get } from "/assets/shared/api.js";
import { codeBlock } from "/assets/shared/code.js";
import { fill, h } from "/assets/shared/dom.js";

const KEY = "tertulia-snippets";
const LANGUAGES = { python: "Python", javascript: "JavaScript", shell: "cURL" };
const SETTINGS = [
  ["base_url", "Base URL", "this server"],
  ["token", "Token variable", "HF_TOKEN"],
  ["bill_to", "Billing organisation", "none"],
];

let made = 0;

function kept() {
  try {
    return { language: "python", client: {}, settings: {}, ...JSON.parse(localStorage.getItem(KEY)) };
  } catch {
    return { language: "python", client: {}, settings: {} };
  }
}

function keep(choice) {
  try {
    localStorage.setItem(KEY, JSON.stringify(choice));
  } catch {
    // a full storage forgets the choice, no more
  }
}

/**
 * Code for the body that `getBody()` gives, with a choice of language, client and settings (`{element, refresh()}`).
 * `refresh` asks the server anew; the first time is the caller's to choose. `options.provider` is a provider's name or
 * a function that gives it; with `options.settings` false there are no settings to choose.
 */
export function snippetPanel(getBody, { provider, settings = true } = {}) {
  const id = `snippets-${(made += 1)}`;
  const choice = kept();
  const languages = h("div", { class: "row", role: "group", "aria-label": "Language" });
  const client = h("select", { id: `${id}-client` });
  const install = h("div", { class: "install" });
  const place = h("div", { class: "snippet", "aria-busy": "true" }, h("p", { class: "faint" }, "Loading the code ..."));
  const buttons = new Map(); // by language
  let snippets = [];
  let asked = 0;
  let taken = choice.settings; // by the server: a token in the place of its variable is not kept

  const draw = () => {
    const here = snippets.filter((one) => one.language === choice.language);
    const chosen = here.find((one) => one.client === choice.client[choice.language]) ?? here[0];
    const spoken = [...new Set(snippets.map((one) => one.language))];
    // Buttons stay: one that is made anew while it is pressed has no click.
    for (const name of spoken) if (!buttons.has(name)) buttons.set(name, languageButton(name, choice, draw));
    if (languages.children.length !== spoken.length) fill(languages, spoken.map((name) => buttons.get(name)));
    for (const [name, button] of buttons) button.setAttribute("aria-pressed", String(name === choice.language));
    fill(
      client,
      here.map((one) => h("option", { value: one.client, selected: one === chosen }, one.label)),
    );
    fill(install, chosen?.install && codeBlock(chosen.install, "shell", { label: "install" }));
    fill(place, chosen && codeBlock(chosen.code, chosen.highlight, { label: LANGUAGES[chosen.language] }));
    keep({ ...choice, settings: taken });
  };
  const refresh = async () => {
    const turn = (asked += 1);
    place.setAttribute("aria-busy", "true");
    try {
      const from = typeof provider === "function" ? provider() : provider;
      const here = { base_url: `${location.origin}/v1` }; // the server can't know it behind a proxy that ends TLS
      const chosen = filled(choice.settings);
      const body = { request: getBody(), settings: { ...here, ...chosen }, ...(from ? { provider: from } : {}) };
      const told = await get("/api/snippets", { method: "POST", body });
      if (turn !== asked) return;
      [snippets, taken] = [told.snippets, chosen];
      draw();
    } catch (error) {
      if (turn === asked) fill(place, h("p", { class: "error", role: "alert" }, error.message));
    } finally {
      if (turn === asked) place.removeAttribute("aria-busy");
    }
  };
  client.addEventListener("change", () => {
    choice.client[choice.language] = client.value;
    draw();
  });
  const bar = h(
    "div",
    { class: "toolbar" },
    languages,
    h("label", { for: client.id, class: "unseen" }, "Client"),
    client,
  );
  const element = h(
    "div",
    { class: "snippets stack" },
    bar,
    settings && settingsOf(id, choice, refresh),
    install,
    place,
  );
  return { element, refresh };
}

function languageButton(name, choice, draw) {
  const click = () => {
    choice.language = name;
    draw();
  };
  return h("button", { type: "button", on: { click } }, LANGUAGES[name] ?? name);
}

function settingsOf(id, choice, refresh) {
  const fields = SETTINGS.map(([name, label, hint]) => {
    const change = ({ target }) => {
      choice.settings[name] = target.value.trim();
      refresh();
    };
    return h(
      "div",
      { class: "field" },
      h("label", { for: `${id}-${name}` }, label),
      h("input", {
        id: `${id}-${name}`,
        value: choice.settings[name] ?? "",
        placeholder: hint,
        autocomplete: "off",
        spellcheck: false,
        on: { change },
      }),
    );
  });
  return h("details", {}, h("summary", {}, "Settings"), h("div", { class: "grid" }, fields));
}

function filled(settings) {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value));
}
