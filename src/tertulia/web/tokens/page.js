// /settings/tokens: who may ask; /settings/tokens/new: one more of them.

import "/assets/shared/theme.js";
import { list } from "/assets/tokens/list.js";
import { make } from "/assets/tokens/make.js";

const main = document.querySelector("#main");
main.classList.add("page", "stack");
if (location.pathname.replace(/\/$/, "").endsWith("/new")) make(main, new URLSearchParams(location.search));
else list(main);
