// Pictures: chosen, dropped, pasted, or named by an address that this page never asks.

import { h, icon, say, tool } from "/assets/shared/dom.js";
import { bytes } from "/assets/shared/format.js";
import { press } from "/assets/playground/press.js";

const KINDS = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const LARGEST = 10 * 1024 * 1024;
const MOST = 10;

/** The part of a message for the picture at `url`. */
export function picture(url) {
  return { type: "image_url", image_url: { url } };
}

/**
 * Parts for `files`, as many as fit beside `there` others. What is not taken is said: no picture, too large, too many.
 */
export async function readFiles(files, there = 0) {
  const parts = [];
  for (const file of files) {
    const wrong = there + parts.length >= MOST ? `only ${MOST} pictures fit into a message` : refuse(file);
    if (wrong) say(`${file.name || "The picture"} is not taken: ${wrong}.`);
    else parts.push(picture(await read(file)));
  }
  return parts;
}

function refuse(file) {
  if (!KINDS.includes(file.type)) return `it is ${file.type || "of no known kind"}; PNG, JPEG, WebP and GIF are`;
  if (file.size > LARGEST) return `it has ${bytes(file.size)}, and ${bytes(LARGEST)} may be sent`;
  return "";
}

function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** Let `element` take pictures that are dropped on it or pasted into it: `take(files)`. */
export function receive(element, take) {
  const files = (transfer) => [...(transfer?.files ?? [])];
  const over = (event, on) => {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    element.classList.toggle("dropping", on);
  };
  element.addEventListener("dragover", (event) => over(event, true));
  element.addEventListener("dragleave", (event) => over(event, false));
  element.addEventListener("drop", (event) => {
    over(event, false);
    if (files(event.dataTransfer).length) take(files(event.dataTransfer));
  });
  element.addEventListener("paste", (event) => {
    // What is copied out of a table or a letter is text, with a picture of it.
    if (!files(event.clipboardData).length || event.clipboardData.types.includes("text/plain")) return;
    event.preventDefault();
    event.stopPropagation();
    take(files(event.clipboardData));
  });
}

/** Let the person choose pictures: `take(files)`. */
export function chooseFiles(take) {
  const change = ({ target }) => take([...target.files]);
  h("input", { type: "file", accept: KINDS.join(","), multiple: true, on: { change } }).click();
}

/** Ask for a picture's address; its part, or null. */
export function askAddress() {
  const input = h("input", {
    id: "address", type: "url", required: true, pattern: "https?://.+", placeholder: "https://…", autocomplete: "off",
  });
  const form = h("form", { method: "dialog" },
    h("h2", { id: "address-title" }, "A picture by its address"),
    h("label", { for: "address" }, "Address"), input,
    h("p", { class: "faint" }, "The server fetches it when the message is sent, if it may. This page never does."),
    h("div", { class: "row end" },
      press("Cancel", () => dialog.close("")),
      h("button", { type: "submit", class: "primary", value: "add" }, "Add it")));
  const dialog = h("dialog", { class: "small", "aria-labelledby": "address-title" }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "add" ? picture(input.value.trim()) : null);
    });
    dialog.showModal();
  });
}

/** The pictures among `parts`, each with a button that calls `remove(part)`. */
export function thumbs(parts, remove) {
  if (!parts.length) return null;
  return h("ul", { class: "thumbs", "aria-label": "Pictures" }, parts.map((part, place) => {
    const url = part.image_url?.url ?? "";
    const face = /^data:image\//.test(url)
      ? h("img", { src: url, alt: `Picture ${place + 1}` })
      : h("span", { class: "address" }, icon("link"), h("bdi", { title: url.slice(0, 2000) }, url.slice(0, 300)));
    return h("li", {}, face, tool("close", `Remove picture ${place + 1}`, () => remove(part)));
  }));
}
