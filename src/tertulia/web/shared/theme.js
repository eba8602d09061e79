// Dark or light: the machine's choice, until the person makes one.

const KEY = "tertulia-theme";
const root = document.documentElement;

function set(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
}

set(localStorage.getItem(KEY));

document.querySelector("#theme")?.addEventListener("click", () => {
  const dark = getComputedStyle(root).colorScheme === "dark";
  localStorage.setItem(KEY, dark ? "light" : "dark");
  set(localStorage.getItem(KEY));
});
