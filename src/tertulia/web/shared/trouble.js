// What a page says where it can't show what it is for.

import { h } from "/assets/shared/dom.js";
import { askToken, token } from "/assets/shared/token.js";

/** What went wrong, with what may help; `again` is called where that is to be tried. */
export function trouble(error, again) {
  const refused = error.status === 401 || error.status === 403;
  const other = async () => {
    if (await askToken(error.message)) again();
  };
  const use = () => h("button", { type: "button", on: { click: other } }, token() ? "Use another token" : "Use a token");
  const retry = h("button", { type: "button", on: { click: () => again() } }, "Try again");
  return h("div", { class: "error stack", role: "alert" }, h("span", {}, error.message),
    h("div", { class: "row" }, refused && use(), retry));
}
