// The tokens there are: what they may, until when, what they have spent and used.

import { ask, get } from "/assets/shared/api.js";
import { fill, h, say } from "/assets/shared/dom.js";
import { age, money, number } from "/assets/shared/format.js";
import { dropToken, token } from "/assets/shared/token.js";
import { trouble } from "/assets/shared/trouble.js";
import { notice, orphaned } from "/assets/tokens/door.js";

const STATES = { live: "good", expired: "warn", revoked: "" };
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });

/** Fill `main` with them. */
export function list(main) {
  const box = h("div", { class: "stack" }, h("p", { class: "faint" }, "Looking …"));
  fill(main,
    h("div", { class: "row apart" }, h("h1", {}, "Tokens"),
      h("a", { class: "button primary", href: "/settings/tokens/new" }, "New token")),
    h("p", { class: "soft" },
      "A token lets one caller in: a person, a program. It says what they may, and counts what they spend."),
    box);
  load();

  async function load() {
    try {
      show(await get("/api/tokens"));
    } catch (error) {
      fill(box, trouble(error, load));
    }
  }

  function show(told) {
    const live = told.tokens.filter(({ state }) => state !== "revoked");
    const gone = told.tokens.filter(({ state }) => state === "revoked");
    fill(box, notice(told), token() && mine(told.you, load),
      live.length ? grid("Tokens", live.map((one) => row(one, told, load)))
        : h("p", { class: "faint" }, told.tokens.length ? "No token is live." : "There is no token yet."),
      told.configured.length > 0 && configured(told),
      told.nobody && h("p", { class: "soft" }, `Without a token: ${used(told.nobody, told.days)}.`),
      gone.length > 0 && h("details", {}, h("summary", {}, `${number(gone.length)} revoked`),
        grid("Revoked tokens", gone.map((one) => row(one, told, load)))));
  }
}

function mine(you, load) {
  const forget = () => {
    dropToken();
    say("This tab has no token any more");
    load();
  };
  const name = you.id || you.name !== "local" ? you.name : "a token that is not known here";
  return h("p", { class: "row" }, "This tab uses ", h("strong", {}, name),
    h("button", { type: "button", on: { click: forget } }, "Forget it"));
}

function grid(label, rows) {
  const heads = ["Name", "May", "State", "Until", "Spent", "Used", ""];
  return h("table", { role: "table", class: "cards", "aria-label": label },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((name) =>
      h("th", { role: "columnheader" }, name || h("span", { class: "unseen" }, "Actions"))))),
    h("tbody", { role: "rowgroup" }, rows.map((cells) => h("tr", { role: "row" }, cells.map((cell, place) =>
      h("td", { role: "cell", "data-name": heads[place] }, cell))))));
}

function row(one, told, load) {
  const made = h("div", { class: "faint small" }, `made ${day.format(new Date(one.made * 1000))}`);
  return [
    [h("strong", {}, one.name), made],
    one.permissions.map((word) => [h("span", { class: word === "admin" ? "chip accent" : "chip" }, word), " "]),
    h("span", { class: `chip ${STATES[one.state]}` }, one.state),
    ends(one),
    spent(one),
    used(one.used, told.days),
    one.state === "revoked" ? "" : revoke(one, told, load),
  ];
}

function ends({ expires, revoked }) {
  if (revoked) return `revoked ${day.format(new Date(revoked * 1000))}`;
  return expires ? day.format(new Date(expires * 1000 - 1)) : "no end"; // midnight is the end of the day before
}

function spent({ spent: sum, cap }) {
  if (cap === null) return [money(sum), h("div", { class: "faint small" }, "no cap")];
  const share = h("span", {});
  share.style.width = `${Math.min(sum / cap, 1) * 100}%`;
  return [`${money(sum)} of ${money(cap)}`,
    h("div", { class: sum >= cap ? "gauge full" : "gauge", "aria-hidden": "true" }, share),
    sum >= cap && h("div", { class: "small" }, "spent: its chats are refused")];
}

function used(figures, days) {
  if (!figures) return `not in the last ${days} days`;
  const words = `${number(figures.requests)} ${figures.requests === 1 ? "request" : "requests"}, ` +
    (figures.estimated ? "about " : "") +
    `${number(figures.prompt_tokens)} + ${number(figures.completion_tokens)} tokens`;
  const when = figures.last ? `, last ${age(Math.max(Date.now() / 1000 - figures.last, 0))}` : "";
  return `${words} in ${days} days${when}`;
}

function revoke(one, told, load) {
  const last = one.state === "live" && told.admins === 1 && one.permissions.includes("admin");
  const self = told.you.id === one.id;
  const label = `Revoke ${one.name}`;
  return h("button", { type: "button", class: "danger", "aria-label": label, on: { click: open } }, "Revoke");

  function open() {
    const wrong = h("div", {});
    const act = async (event) => {
      event.preventDefault();
      try {
        await ask(`/api/tokens/${one.id}`, { method: "DELETE" });
      } catch (error) {
        fill(wrong, h("p", { class: "error", role: "alert" }, error.message));
        return;
      }
      dialog.close();
      if (self) dropToken();
      say(`${one.name} is revoked`);
      load();
    };
    const dialog = h("dialog", { class: "small", "aria-labelledby": "revoke", on: { close: () => dialog.remove() } },
      h("form", { method: "dialog", on: { submit: act } }, h("h2", { id: "revoke" }, `Revoke ${one.name}?`),
        h("p", {}, "Whoever uses it is refused from now on, for good."),
        self && h("p", { class: "notice warn" }, "It is the one that this tab uses."), orphaned(last), wrong,
        h("div", { class: "row end" }, h("button", { type: "button", on: { click: () => dialog.close() } }, "Keep it"),
          h("button", { type: "submit", class: "danger" }, "Revoke"))));
    document.body.append(dialog);
    dialog.showModal();
  }
}

function configured({ configured: all, days }) {
  return h("section", { class: "stack", "aria-labelledby": "configured" },
    h("h2", { id: "configured" }, "From the configuration"),
    h("p", { class: "soft" }, "TERTULIA_TOKENS and tokens_file say these. They may do everything; to revoke one, take " +
      "it out there and start the server again."),
    h("ul", {}, all.map(({ name, used: figures }) => h("li", {}, h("strong", {}, name), `: ${used(figures, days)}`))));
}
