// What was done, in order: click to go back (or forth again).

import { editing, goTo, recipe } from "../bench.js";
import { el, fill, icon } from "../dom.js";
import { known, t } from "../i18n/index.js";
import { chooseFile, take } from "../intake.js";
import { state, watch } from "../state.js";
import { telling } from "../toast.js";
import { directionName } from "./names.js";
import { saveAs } from "./save.js";

const DRAWINGS = {
  open: "photo",
  set: "sliders",
  move: "sliders",
  drag: "pull",
  blend: "brush",
  mix: "style",
  stylise: "style",
  translate: "style",
  upscale: "enlarge",
  colour: "style",
  teeth: "sliders",
  smooth_skin: "sliders",
  bright_eyes: "sliders",
  blush: "style",
  background: "photo",
  roll: "sliders",
  recipe: "copy",
};

/** An entry in words. */
function words(entry) {
  if (entry.step === "open") return t("history.open");
  if (entry.amounts) return Object.entries(entry.amounts).map(inWords).join(", ");
  return known(`step.${entry.step}`) ? t(`step.${entry.step}`) : entry.label;
}

const inWords = ([name, amount]) =>
  `${directionName(name)} ${amount > 0 ? "+" : ""}${Math.round(amount * 100) / 100}`;

/** Which colours, which style, how much larger: what tells an entry from others of its kind. */
function detail({ step, part, style, model, scale }) {
  if (step === "colour")
    return part
      .split("+")
      .map((name) => (known(`part.${name}`) ? t(`part.${name}`) : name))
      .join(", ");
  if (part) return t(`style.${part}`);
  return scale ? `${scale}×` : (style ?? model);
}

export function historyTab() {
  const list = el("ol", { class: "history", "aria-label": t("tab.history") });
  const follow = () => {
    const { session } = state;
    fill(
      list,
      (session?.history ?? []).map((entry, index) => el("li", {}, button(entry, index, session.at))),
    );
  };
  watch(["session", "job"], follow);
  follow();
  const out = el("button", { type: "button", onclick: telling(saveRecipe) }, icon("save"), t("recipe.save"));
  const whole = el("button", { type: "button", onclick: telling(saveEditing) }, icon("save"), t("editing.save"));
  const into = el(
    "button",
    { type: "button", onclick: () => chooseFile(".json", (file) => take([file])) },
    icon("open"),
    t("recipe.load"),
  );
  document.addEventListener("language", follow);
  return [
    list,
    el("div", { class: "row bottom" }, out, into),
    el("div", { class: "row bottom" }, whole),
    el("p", { class: "hint" }, t("editing.hint")),
  ];
}

function button(entry, index, at) {
  const place = index === at ? "step" : "false";
  const label = el("span", {}, words(entry));
  const about = detail(entry);
  return el(
    "button",
    {
      type: "button",
      "aria-current": place,
      class: index > at ? "undone" : "",
      disabled: Boolean(state.job),
      onclick: telling(() => goTo(index)),
    },
    icon(DRAWINGS[entry.step] ?? "check"),
    label,
    about && el("small", {}, about),
  );
}

async function saveEditing() {
  const { blob, name } = await editing();
  saveAs(blob, name || "photo.ganvas");
}

async function saveRecipe() {
  const text = JSON.stringify(await recipe(), null, 2);
  saveAs(new Blob([text], { type: "application/json" }), `${state.name.replace(/\.\w+$/, "") || "photo"}.recipe.json`);
}
