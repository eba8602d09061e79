// A form for one more token, and the token itself, which is shown this once.

import { ask, get } from "/assets/shared/api.js";
import { copy, fill, h } from "/assets/shared/dom.js";
import { keepToken } from "/assets/shared/token.js";
import { trouble } from "/assets/shared/trouble.js";
import { notice, orphaned } from "/assets/tokens/door.js";

const HELP = {
  inference: "ask models: chats, the list of models",
  admin: "see the status and the metrics, make and revoke tokens",
};
const OURS = { "inference.serverless.write": "inference", "inference.endpoints.infer.write": "inference" };
const ENDS = [["", "Never"], ["7d", "After 7 days"], ["30d", "After 30 days"], ["90d", "After 90 days"],
  ["365d", "After a year"], ["date", "With a day"]];

/** Fill `main` with it. `query` may choose permissions beforehand, in Hugging Face's words or in ours. */
export function make(main, query) {
  const asked = query.getAll("ownUserPermissions").flatMap((word) => word.split(","));
  const chosen = new Set(asked.map((word) => OURS[word] ?? word).filter((word) => word in HELP));
  const strange = asked.filter((word) => word && !chosen.has(OURS[word] ?? word));
  const state = h("div", { class: "stack" }, h("p", { class: "faint" }, "Looking …"));
  const warning = h("div", {});
  const wrong = h("div", {});
  const fields = inputs(chosen.size ? chosen : new Set(["inference"]), query.get("name") ?? "");
  let told = null;
  const form = h("form", { class: "card stack", noValidate: true, on: { submit, change: warn } },
    fields.elements, warning, wrong,
    h("div", { class: "row end" }, h("a", { class: "button", href: "/settings/tokens" }, "All tokens"),
      h("button", { type: "submit", class: "primary" }, "Make the token")));
  fill(main, h("h1", {}, "New token"), state,
    strange.length > 0 && h("p", { class: "notice" },
      `There is nothing here that these permissions are for: ${strange.join(", ")}.`),
    form);
  fields.name.focus();
  load();

  async function load() {
    try {
      told = await get("/api/tokens");
      fill(state, notice(told));
      warn();
    } catch (error) {
      fill(state, trouble(error, load));
    }
  }

  function warn() {
    fill(warning, orphaned(told && told.admins === 0 && !fields.permissions().includes("admin")));
  }

  async function submit(event) {
    event.preventDefault();
    fields.mark(null);
    fill(wrong);
    try {
      const made = await (await ask("/api/tokens", { method: "POST", body: fields.body() })).json();
      fill(main, h("h1", {}, "New token"), shown(made, told));
      main.querySelector("h2").focus();
    } catch (error) {
      fill(wrong, h("p", { class: "error", role: "alert" }, error.message));
      fields.mark(error.param);
    }
  }
}

function inputs(chosen, given) {
  const name = h("input", { id: "name", value: given, autocomplete: "off", maxLength: 64, required: true });
  const box = (word) => h("input", { type: "checkbox", value: word, checked: chosen.has(word) });
  const boxes = Object.keys(HELP).map(box);
  const ends = h("select", { id: "expires", on: { change: () => (date.hidden = ends.value !== "date") } },
    ENDS.map(([value, words]) => h("option", { value }, words)));
  const date = h("input", { type: "date", "aria-label": "The last day", hidden: true });
  const cap = h("input", { id: "cap", inputMode: "decimal", placeholder: "no cap", "aria-describedby": "cap-help" });
  const places = { name, expires: ends, cap, permissions: boxes[0] };
  return {
    name,
    permissions: () => boxes.filter(({ checked }) => checked).map(({ value }) => value),
    body() {
      const end = ends.value === "date" ? date.value : ends.value;
      const body = { name: name.value.trim(), permissions: this.permissions() };
      return { ...body, expires: end || (ends.value === "date" ? "no day" : null), cap: cap.value.trim() || null };
    },
    mark(param) {
      for (const [key, input] of Object.entries(places)) input.setAttribute("aria-invalid", String(key === param));
      places[param]?.focus();
    },
    elements: [
      h("div", { class: "field" }, h("label", { for: "name" }, "Name"), name,
        h("span", { class: "help" }, "Whose it is: shows in the list, the log and the usage log.")),
      h("fieldset", { class: "stack" }, h("legend", {}, "Permissions"), boxes.map((box) =>
        h("label", { class: "check" }, box, h("span", {}, h("strong", {}, box.value), `: ${HELP[box.value]}`)))),
      h("div", { class: "pair" },
        h("div", { class: "field" }, h("label", { for: "expires" }, "Ends"), ends, date),
        h("div", { class: "field" }, h("label", { for: "cap" }, "May spend, in US dollars"), cap,
          h("span", { class: "help", id: "cap-help" },
            "Once that is spent, its chats are refused. It counts where prices are known."))),
    ],
  };
}

/** The token that was made: to copy, and to use here. */
function shown(made, told) {
  const secret = h("output", { class: "secret" }, h("code", {}, made.token));
  const admin = made.permissions.includes("admin");
  const use = h("button", { type: "button", class: "primary", on: { click: take } }, "Use it in this tab");
  const after = h("p", { class: "soft", role: "status" });
  return h("section", { class: "card stack" },
    h("h2", { tabIndex: -1 }, `The token of ${made.name}`),
    h("p", {}, "Copy it now: it is not kept here, and won't be shown again."),
    h("div", { class: "row" }, secret, h("button", { type: "button", on: { click: () => copy(made.token) } }, "Copy")),
    told?.door === "open" && h("p", { class: "notice warn" },
      "From now on every request must bring a token, those of this tab, too."),
    !admin && told?.admins === 0 && h("p", { class: "notice warn" },
      "It has not the permission admin, and no token has. On the machine that serves, ",
      h("code", {}, "tertulia token new NAME --permission admin"), " makes one that may open this page again."),
    h("div", { class: "row" }, use, h("a", { class: "button", href: "/settings/tokens/new" }, "Another one"),
      h("a", { class: "button", href: "/settings/tokens" }, "All tokens")), after);

  function take() {
    keepToken(made.token);
    use.disabled = true;
    const lacks = admin ? "" : " It opens neither this page nor the status.";
    after.textContent = `This tab uses it until it is closed.${lacks}`;
  }
}
