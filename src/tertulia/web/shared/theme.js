// Dark or light: the machine's choice, until the person makes one. It runs twice: in the head, so that nothing is ever
// painted in the other one, and as a module, when the button is there.

const KEY = "tertulia-theme";
const root = document.documentElement;

function set(theme) {
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
}

try {
  set(localStorage.getItem(KEY));
} catch {
  // a browser that lets nothing be stored forgets the choice
}

document.querySelector("#theme")?.addEventListener("click", () => {
  const chosen = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  set(chosen === "dark" ? "light" : "dark");
  try {
    localStorage.setItem(KEY, root.dataset.theme);
  } catch {
    // as above
  }
});
