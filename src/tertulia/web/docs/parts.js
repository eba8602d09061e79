// The parts that the interface's description fills: how streams, headers, errors and addresses are.

import { codeBlock } from "/assets/shared/code.js";
import { h } from "/assets/shared/dom.js";
import { bytes } from "/assets/shared/format.js";
import { para, prose, table } from "/assets/docs/prose.js";

const code = (text) => h("code", {}, text);

/** How a stream goes, and one as it looks. */
export function streaming({ limits, stream }) {
  const seconds = (value) => (value ? `${value} s` : "none");
  const bounds = `Its bounds here: to its beginning ${seconds(limits.first_token_timeout)}, between two chunks
    ${seconds(limits.idle_timeout)}, for the whole of it ${seconds(limits.total_timeout)}.`;
  return [
    para("With `stream: true` the answer comes as server-sent events (`text/event-stream`) while it is written."),
    h("ul", { class: "prose" }, [...stream.says, bounds].map((text) => h("li", {}, prose(text)))),
    h("h3", {}, "A stream as it looks"),
    codeBlock(stream.example.trimEnd(), "", { label: "text/event-stream" }),
    h("h3", {}, "The fields of a chunk"),
  ];
}

/** The headers of requests and answers. */
export function headers({ headers: all }) {
  const rows = (on) => all.filter((one) => one.on === on)
    .map((one) => [code(one.name), prose(one.is), h("code", { class: "wide" }, one.example)]);
  return [
    h("h3", {}, "A request may have"), table("Headers of requests", ["Header", "What it does", "Such as"], rows("request")),
    h("h3", {}, "An answer has"), table("Headers of answers", ["Header", "What it tells", "Such as"], rows("answer")),
  ];
}

/** The errors by status. */
export function faults({ errors, limits }) {
  const rows = errors.map((one) => [
    String(one.status),
    h("div", {}, code(one.code ?? one.type), one.code && h("div", { class: "faint small" }, one.type)),
    prose(one.is),
    h("div", {}, prose(one.do), one.retryable && h("div", { class: "faint small" }, "Another try may help.")),
  ]);
  return [
    para("What goes wrong is told as `{\"error\": {message, type, param, code}}`, and its message in the header `x-error-message` as well. A message says what would work."),
    table("All errors", ["Status", "Code", "What happened", "What to do"], rows),
    para(`A body may have ${bytes(limits.body_limit)} here (\`body_limit\` in [server]). There is no 503 but from \`/health\`.`, "faint"),
  ];
}

/** Where what is, and how a model is named. */
export function addresses(paths, { policies }) {
  const methods = Object.entries(paths).flatMap(([path, place]) => Object.entries(place)
    .filter(([method]) => method !== "parameters")
    .map(([method, { summary }]) => [code(method.toUpperCase()), code(path), prose(summary)]));
  const pages = [...document.querySelectorAll(".bar nav a")].map((link) => [
    code("GET"), h("a", { href: link.pathname }, code(link.pathname)), `The page “${link.textContent}”, for browsers`,
  ]);
  const names = [["org/name", "whoever serves it, by this server's policy"],
    ...Object.entries(policies).map(([name, what]) => [`org/name:${name}`, what]),
    ["org/name:NAME", "the provider of this name, and nobody else"]];
  return [
    h("p", {}, "The base URL for clients is ", code(`${location.origin}/v1`), "."),
    table("All addresses", ["Method", "Address", "What it does"], [...methods, ...pages]),
    h("h3", { id: "policies" }, "How a model is named"),
    para("What stands behind the last colon of `model` says who answers, if it is a policy or a provider's name."),
    table("Names of models", ["model", "Who answers"], names.map(([name, what]) => [code(name), prose(what)])),
  ];
}
