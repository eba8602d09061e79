// Elements, made of data. No string ever becomes HTML here: what is not an element becomes text.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. Of the properties, `class` and `for` are attributes, `dataset` an object, `on` an object of listeners;
 * names with a hyphen and `role` are attributes, too; all others are set on the element. null and false are left out.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "class" || name === "for" || name === "role" || name === "list" || name.includes("-")) {
      element.setAttribute(name, value);
    } else element[name] = value;
  }
  element.append(...flat(children));
  return element;
}

/** Put `children` in the place of what `element` holds. */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

const PATHS = {
  send: "M3 20l18-8L3 4v6l12 2-12 2z",
  stop: "M6 6h12v12H6z",
  copy: "M8 8V4h12v12h-4M4 8h12v12H4z",
  remove: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  add: "M12 5v14M5 12h14",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  again: "M20 11a8 8 0 1 0-2 6M20 5v6h-6",
  branch: "M6 4v16M6 14c8 0 10-2 10-6M13 8l3-4 3 4",
  edit: "M4 20l1-5L16 4l4 4L9 19z",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
  code: "M8 7l-5 5 5 5M16 7l5 5-5 5",
  settings: "M4 7h10M18 7h2M4 17h4M12 17h8M16 5v4M10 15v4",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  close: "M6 6l12 12M18 6L6 18",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  play: "M7 4l13 8-13 8z",
};

/** A drawing of 16 px, for beside a word or in a button that has a label. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: 16, height: 16, "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  svg.classList.add("icon");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button with a drawing, and words for those who don't see it. */
export function tool(name, label, act, properties = {}) {
  const { class: more = "", ...rest } = properties;
  const on = { click: act };
  return h("button", { type: "button", class: `tool ${more}`, "aria-label": label, title: label, on, ...rest }, icon(name));
}

let region;

/** Say `text` to those who listen to the page, and show it for a moment. */
export function say(text) {
  if (!region) {
    region = h("div", { class: "toast", role: "status" });
    document.body.append(region);
  }
  region.textContent = text;
  region.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => region.classList.remove("shown"), 4000);
}

/** Copy `text`, and say so. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context there is no clipboard object: a selection can still be copied.
    const area = h("textarea", { value: text, class: "unseen" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("Copied");
}
