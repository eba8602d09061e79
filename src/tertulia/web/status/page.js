// /status: what is loaded, how everybody does, who asked of late. Looks again every two seconds while it is seen.

import "/assets/shared/theme.js";
import { get } from "/assets/shared/api.js";
import { h, fill } from "/assets/shared/dom.js";
import { trouble } from "/assets/shared/trouble.js";
import { span } from "/assets/status/figures.js";
import { models } from "/assets/status/models.js";
import { providers } from "/assets/status/providers.js";
import { requests } from "/assets/status/requests.js";
import { summary } from "/assets/status/summary.js";

const PAUSE = 2000;
const LATER = 5000; // after a failure that may pass

const main = document.querySelector("#main");
const parts = [summary(), models(), providers(), requests()];
const note = h("div", {});
const when = h("span", { class: "faint small" }, "Looking …");
const hold = h("button", { type: "button", "aria-pressed": "false", on: { click: toggle } }, "Pause");
let timer = 0;
let going = null;
let held = false;
let seen = 0;

main.classList.add("page", "stack");
fill(main, h("div", { class: "row apart" }, h("h1", {}, "Status"), h("div", { class: "row" }, when, hold)),
  note, parts.map((part) => part.element));

document.addEventListener("visibilitychange", () => (document.hidden ? stop() : look()));
setInterval(tick, 1000);
look();

/** Ask now, and again after a while, unless the page is hidden or held. */
async function look() {
  stop();
  if (held || document.hidden) return;
  const round = (going = new AbortController());
  let next = PAUSE;
  try {
    const told = await get("/status", { signal: round.signal });
    seen = Date.now();
    fill(note);
    for (const part of parts) part.update(told);
  } catch (error) {
    if (round.signal.aborted) return;
    next = fail(error);
  }
  tick();
  if (going === round && next) timer = setTimeout(look, next);
}

function stop() {
  clearTimeout(timer);
  going?.abort();
  going = null;
}

function toggle() {
  held = !held;
  hold.textContent = held ? "Go on" : "Pause";
  hold.setAttribute("aria-pressed", String(held));
  tick();
  look();
}

function tick() {
  const old = seen ? (Date.now() - seen) / 1000 : 0;
  if (seen) when.textContent = old < 5 && !held ? "Up to date" : `As of ${span(old)} ago`;
}

/** Show what went wrong; how long to wait before the next try, 0 where only the person can help. */
function fail(error) {
  const refused = error.status === 401 || error.status === 403;
  if (!seen) when.textContent = "";
  for (const part of parts) part.wait?.();
  fill(note, trouble(error, look));
  return refused ? 0 : LATER;
}
