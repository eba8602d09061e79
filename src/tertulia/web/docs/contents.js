// The list of what is on the page, and where in it one is.

import { h } from "/assets/shared/dom.js";

/** Links to `sections` (`{id, title}`); the one that is read is marked. Beside the page, or folded above it. */
export function contents(sections) {
  const links = sections.map(({ id, title }) => h("a", { href: `#${id}` }, title));
  const narrow = matchMedia("(max-width: 860px)");
  const fold = h("details", { open: !narrow.matches }, h("summary", {}, "On this page"),
    h("ul", {}, links.map((link) => h("li", {}, link))));
  narrow.addEventListener("change", () => (fold.open = !narrow.matches));
  fold.addEventListener("click", (event) => {
    if (event.target.closest("a") && narrow.matches) fold.open = false;
  });
  return { element: h("nav", { class: "contents", "aria-label": "On this page" }, fold), links };
}

/** Mark the link of the section at the top of what is seen. */
export function follow(links, sections) {
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target);
    const first = sections.find((section) => seen.has(section));
    if (!first) return;
    for (const link of links) {
      if (link.hash === `#${first.id}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-72px 0px -55% 0px" });
  for (const section of sections) watch.observe(section);
}
