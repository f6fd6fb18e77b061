// Light or dark: as the system has it until the button chooses.

import { iconButton } from "./dom.js";
import { t } from "./i18n/index.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

const chosen = () => localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light");

function apply() {
  document.documentElement.dataset.theme = chosen();
}

/** The button that switches between the two. */
export function themeButton() {
  const toggle = () => {
    localStorage.setItem("theme", chosen() === "dark" ? "light" : "dark");
    apply();
  };
  return iconButton("sun", t("theme"), toggle, { class: "theme-button" });
}

dark.addEventListener("change", apply);
apply();
