// The models: all of them at /models, one at /models/{id}.

import "/assets/shared/theme.js";
import { browse } from "/assets/models/browse.js";
import { model } from "/assets/models/model.js";

const main = document.querySelector("#main");
main.classList.add("page");
const id = decodeURIComponent(location.pathname.replace(/^\/models\/?/, "").replace(/\/$/, ""));
if (id) model(main, id);
else browse(main);
