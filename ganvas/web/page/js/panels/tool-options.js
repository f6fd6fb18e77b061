// What the chosen tool can be set to: pairs of points to pull, the brush and the region.

import { el, fill, freshId, icon, iconButton, segments } from "../dom.js";
import { t } from "../i18n/index.js";
import { state, watch } from "../state.js";
import { addPair, clearPairs, pairs, removePair, running, startDrag, stopDrag } from "../tools/drag.js";
import {
  brush,
  eraseRegion,
  featherDefault,
  invertRegion,
  region,
  resizeBrush,
  setFeather,
  showRegion,
  takePart,
} from "../tools/region.js";

// Of the parts that the server knows, those worth a button.
const PARTS = ["hair", "skin", "face", "eyes", "brows", "lips", "mouth", "clothes", "background"];

// Drag.

export function dragOptions() {
  const list = el("ol", { class: "pairs" });
  const start = el(
    "button",
    { type: "button", class: "primary", onclick: startDrag },
    icon("play"),
    el("span", {}, t("drag.start")),
  );
  const stop = el("button", { type: "button", onclick: stopDrag }, icon("stop"), el("span", {}, t("drag.stop")));
  const clear = iconButton("trash", t("drag.clear"), clearPairs);
  const add = iconButton("plus", t("drag.add"), addPair);
  const hint = el("p", { class: "hint" });
  const follow = () => {
    const whole = pairs.filter((pair) => pair.target).length;
    fill(list, pairs.map(pairRow));
    fill(hint, pairs.length === 0 ? t("drag.first") : pairs.at(-1).target ? t("drag.more") : t("drag.second"));
    start.hidden = running();
    stop.hidden = !running();
    start.disabled = whole === 0 || Boolean(state.job);
    clear.hidden = pairs.length === 0 || running();
    add.disabled = running();
  };
  document.addEventListener("pairs", follow);
  watch(["job", "session"], follow);
  follow();
  const limited = regionNote();
  return section(
    "drag",
    hint,
    list,
    limited,
    el("div", { class: "row" }, start, stop, el("span", { class: "spring" }), add, clear),
  );
}

function pairRow(pair, index) {
  const place = ([x, y]) => `${Math.round(x)}, ${Math.round(y)}`;
  const remove = iconButton("close", t("drag.remove", { n: index + 1 }), () => removePair(index), { class: "small" });
  return el(
    "li",
    {},
    el("span", { class: "end handle" }, el("i", {}), place(pair.handle)),
    el("span", { class: "arrow", "aria-hidden": "true" }, "→"),
    el("span", { class: "end target" }, el("i", {}), pair.target ? place(pair.target) : "…"),
    el("span", { class: "spring" }),
    remove,
  );
}

/** Says so when a region limits what may change. */
function regionNote() {
  const note = el("p", { class: "hint region-note" }, icon("brush"), el("span", {}, t("region.limits")));
  const follow = () => (note.hidden = !region.canvas);
  document.addEventListener("region", follow);
  follow();
  return note;
}

// Brush.

export function brushOptions() {
  const size = slider(t("brush.size"), { min: 4, max: 200, step: 1 }, (value) => resizeBrush(value / brush.size_px));
  const feather = slider(t("brush.feather"), { min: 0, max: 100, step: 1 }, setFeather, "change");
  const mode = segments(
    t("tool.brush"),
    [
      ["paint", t("brush.paint")],
      ["erase", t("brush.erase")],
      ["part", t("brush.part")],
    ],
    "paint",
    (value) => Object.assign(brush, { erase: value === "erase", part: value === "part" }),
  );
  const quick = el(
    "div",
    { class: "row chips", role: "group", "aria-label": t("region.quick") },
    PARTS.map((part) =>
      el(
        "button",
        { type: "button", class: "small pill", "data-part": part, onclick: () => takePart({ parts: [part] }) },
        t(`part.${part}`),
      ),
    ),
  );
  const eye = iconButton("eye", t("key.region"), () => showRegion(!region.shown));
  const row = el(
    "div",
    { class: "row" },
    eye,
    iconButton("invert", t("region.invert"), invertRegion),
    el("span", { class: "spring" }),
    el("button", { type: "button", class: "quiet", onclick: eraseRegion }, icon("trash"), t("region.clear")),
  );
  const follow = () => {
    if (!state.session) return;
    size.input.value = brush.size_px;
    size.output.value = `${brush.size_px}`;
    feather.input.max = Math.max(20, featherDefault() * 6);
    feather.input.value = region.feather_px ?? featherDefault();
    feather.output.value = `${region.feather_px ?? featherDefault()} px`;
    quick.hidden = mode.lastChild.hidden = !state.session.parts?.length;
    eye.setAttribute("aria-pressed", String(region.shown));
  };
  document.addEventListener("region", follow);
  watch(["session", "tool"], follow);
  return section("brush", el("p", { class: "hint" }, t("brush.hint")), mode, size.node, feather.node, quick, row);
}

function section(tool, ...children) {
  const heading = el("h2", { id: freshId("tool") }, t(`tool.${tool}`));
  return el("section", { class: "options", "aria-labelledby": heading.id, "data-options": tool }, heading, children);
}

/** A plain slider with its figure. */
export function slider(label, limits, onvalue, event = "input") {
  const input = el("input", { type: "range", id: freshId("range"), class: "plain", ...limits });
  const output = el("output", { for: input.id, class: "number", "aria-live": "off" });
  input.addEventListener(event, () => onvalue(Number(input.value)));
  const node = el("div", { class: "plain-slider" }, el("label", { for: input.id }, label), input, output);
  return { node, input, output };
}
