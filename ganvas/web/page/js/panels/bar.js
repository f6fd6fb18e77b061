// The bar on top: the areas, undo and redo, compare, save, and what concerns the page itself.

import { closePhoto, redo, undo } from "../bench.js";
import { peek } from "../canvas/paint.js";
import { el, fill, icon, iconButton, retranslate } from "../dom.js";
import { choosePhotos } from "../intake.js";
import { LANGUAGES, language, setLanguage, t } from "../i18n/index.js";
import { KEYS } from "../keys.js";
import { canFinish, isEdited, state, update, watch } from "../state.js";
import { themeButton } from "../theme.js";
import { complain, telling } from "../toast.js";
import { openHelp } from "./help.js";
import { queueButton } from "./queue.js";
import { openSave } from "./save.js";

/** @type {[string, string][]} */
export const AREAS = [
  ["edit", "photo"],
  ["directions", "compass"],
  ["training", "training"],
  ["models", "models"],
];

export function mountBar() {
  const back = iconButton("undo", t("undo"), telling(undo));
  const forth = iconButton("redo", t("redo"), telling(redo));
  const split = iconButton("split", t("compare.split"), () =>
    update({ compare: state.compare === "split" ? "after" : "split" }),
  );
  const save = el(
    "button",
    { type: "button", class: "primary", id: "save", "aria-label": t("save"), onclick: openSave },
    icon("save"),
    el("span", {}, t("save")),
  );
  const work = el(
    "div",
    { class: "bar-work", role: "toolbar", "aria-label": t("bar.work") },
    back,
    forth,
    el("span", { class: "gap" }),
    peekButton(),
    split,
    el("span", { class: "gap" }),
    iconButton("open", t("open"), choosePhotos),
    iconButton("close", t("photo.close"), telling(closePhoto), { id: "close-photo" }),
    save,
  );
  const areas = el("nav", { class: "areas", "aria-label": t("areas") }, AREAS.map(areaButton));
  const page = el(
    "div",
    { class: "bar-page" },
    queueButton(),
    languageButton(),
    themeButton(),
    iconButton("help", t("help"), () => openHelp(KEYS)),
  );
  fill(
    document.getElementById("bar"),
    el("a", { class: "brand", href: "./", "aria-label": t("brand"), onclick: stay }, mark(), el("span", {}, "ganvas")),
    areas,
    el("span", { class: "spring" }),
    work,
    page,
  );
  const heading = document.getElementById("heading");
  const follow = () => {
    const { session } = state;
    const ready = canFinish() && state.area === "edit";
    work.hidden = state.area !== "edit" || !session;
    back.disabled = !ready || !session.can_undo || Boolean(state.job);
    forth.disabled = !ready || !session.can_redo || Boolean(state.job);
    save.disabled = !ready || Boolean(state.job);
    split.setAttribute("aria-pressed", String(state.compare === "split"));
    split.disabled = !isEdited();
    for (const button of areas.children) button.toggleAttribute("data-here", button.dataset.area === state.area);
    for (const button of areas.children)
      button.setAttribute("aria-current", button.dataset.area === state.area ? "page" : "false");
    document.title = session ? `${state.name || "photo"} – ganvas studio` : "ganvas studio";
    heading.hidden = !session; // the start has its own
    heading.textContent = state.name || String(t("area.edit"));
  };
  watch(["session", "area", "compare", "job", "name"], follow);
  follow();
}

function stay(event) {
  event.preventDefault();
  if (state.area === "edit") closePhoto().catch(complain);
  else update({ area: "edit" });
}

function mark() {
  return el("img", { src: "static/icon.svg", alt: "", width: 24, height: 24 });
}

function areaButton([area, drawing]) {
  return el(
    "button",
    {
      type: "button",
      "data-area": area,
      "aria-label": t(`area.${area}`),
      title: t(`area.${area}`),
      onclick: () => update({ area }),
    },
    icon(drawing),
    el("span", {}, t(`area.${area}`)),
  );
}

/** Held = the original; the same as holding Tab. */
function peekButton() {
  const button = iconButton("eye", t("compare.hold"), null);
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    peek(true);
  });
  for (const end of ["pointerup", "pointercancel", "blur"]) button.addEventListener(end, () => peek(false));
  button.addEventListener(
    "keydown",
    (event) => [" ", "Enter"].includes(event.key) && (event.preventDefault(), peek(true)),
  );
  button.addEventListener("keyup", () => peek(false));
  return button;
}

function languageButton() {
  const other = () => LANGUAGES.find(([code]) => code !== language);
  const button = el("button", { type: "button", class: "quiet language", title: t("language") });
  const show = () => {
    const [code, name] = other();
    fill(button, name);
    button.lang = code;
  };
  button.addEventListener("click", () => setLanguage(other()[0]));
  document.addEventListener("language", () => (retranslate(button), show()));
  show();
  return button;
}
