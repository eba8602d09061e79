// A session as a link: all of it stands behind the #, which no server is ever sent.

import { copy, h } from "/assets/shared/dom.js";
import { readSessions } from "/assets/playground/check.js";
import { press } from "/assets/playground/press.js";
import { awaited, failed, title } from "/assets/playground/state.js";

const MARK = "#share=";
const LONGEST = 100_000; // characters of a link; more is cut off on many of its ways
const FIELDS = ["role", "content", "name", "tool_calls", "tool_call_id", "reasoning"];
const HOLDS =
  "It holds the prompts, the models and the settings, all in the link itself. It holds no token, and who opens it " +
  "sends nothing by that.";
const LARGEST = 8 << 20; // bytes that a link may unfold to

/** What a link holds of `session`: prompts, models and settings, no answer's figures and no key. */
function plain(session) {
  const says = (message) => !failed(message) && !awaited(message);
  const said = (message) => Object.fromEntries(FIELDS.map((field) => [field, message[field]]));
  return {
    name: title(session),
    chats: session.chats.map(({ model, provider, system, messages, settings }) => ({
      model, provider, system, settings, messages: messages.filter(says).map(said),
    })),
  };
}

/** The link that opens `session` as it is now. Raises Error if it would be too long. */
export async function link(session) {
  const text = JSON.stringify(plain(session));
  const packed = await through(new TextEncoder().encode(text), new CompressionStream("deflate-raw"));
  const found = `${location.origin}/playground${MARK}${encode(packed)}`;
  if (found.length <= LONGEST) return found;
  throw new Error("This session is too long for a link, as pictures make it: export it as a file instead.");
}

/** The session in the address of this page, or null if there is none. Raises Error if it can't be read. */
export async function linked() {
  if (!location.hash.startsWith(MARK)) return null;
  try {
    const packed = decode(location.hash.slice(MARK.length));
    const unpacked = await through(packed, new DecompressionStream("deflate-raw"), LARGEST);
    return readSessions(JSON.parse(new TextDecoder().decode(unpacked)))[0];
  } catch (error) {
    throw new Error(`This link can't be opened: ${reason(error)}.`);
  }
}

function reason(error) {
  if (error instanceof SyntaxError) return "it is not JSON";
  return error.constructor === Error ? error.message : "a part of it is missing"; // what browsers say of it is no help
}

async function through(data, stream, most = Infinity) {
  const reader = new Blob([data]).stream().pipeThrough(stream).getReader();
  const pieces = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(pieces).arrayBuffer());
    pieces.push(value);
    size += value.length;
    if (size > most) {
      await reader.cancel();
      throw new Error("it unfolds to more than a session has");
    }
  }
}

function encode(data) {
  let text = "";
  for (const byte of data) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function decode(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}

/** Show the link to `session`, to be copied. */
export async function share(session) {
  let address = "";
  let wrong = "";
  try {
    address = await link(session);
  } catch (error) {
    wrong = error.message;
  }
  const input = h("input", { id: "link", value: address, readOnly: true, on: { focus: () => input.select() } });
  const dialog = h("dialog", { class: "small", "aria-labelledby": "share-title" },
    h("form", { method: "dialog" },
      h("h2", { id: "share-title" }, "A link to this session"),
      wrong ? h("p", { class: "error", role: "alert" }, wrong) : [
        h("p", {}, HOLDS),
        h("label", { for: "link" }, "Link"), input],
      h("div", { class: "row end" },
        h("button", { type: "submit" }, "Close"),
        wrong ? null : press("Copy the link", () => copy(address), { class: "primary" }))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
