// The models: all of them at /models, one at /models/{id}.

import "/assets/shared/theme.js";
import { decoded } from "/assets/shared/format.js";

const main = document.querySelector("#main");
main.classList.add("page");
const id = decoded(location.pathname.replace(/^\/models\/?/, "").replace(/\/$/, ""));
// Each waits for its own modules only.
if (id) import("/assets/models/model.js").then(({ model }) => model(main, id));
else import("/assets/models/browse.js").then(({ browse }) => browse(main));
