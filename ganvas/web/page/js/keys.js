// The keyboard: one table, which the help dialog prints.

import { redo, undo } from "./bench.js";
import { peek } from "./canvas/paint.js";
import { holdSpace, stageKey } from "./canvas/stage.js";
import { fit, zoomBy, zoomTo } from "./canvas/view.js";
import { copyResult } from "./panels/save.js";
import { openSave } from "./panels/save.js";
import { zoomToFace } from "./panels/rail.js";
import { openHelp } from "./panels/help.js";
import { choosePhotos } from "./intake.js";
import { announce } from "./say.js";
import { state, update } from "./state.js";
import { telling } from "./toast.js";
import { t } from "./i18n/index.js";
import { region, resizeBrush, showRegion, undoStroke } from "./tools/region.js";
import { clearPairs, pairs } from "./tools/drag.js";

const tool = (name) => () => state.session && update({ tool: name });
const takeBack = () => (state.tool === "brush" && undoStroke() ? null : undo());
const escape = () => (state.tool === "drag" && pairs.length ? clearPairs() : fit());

// [keys as they are printed, name of the text, key, with Ctrl or Cmd, with Shift, what it does]
export const KEYS = [
  ["Tab", "key.peek", null],
  ["Space", "key.pan", null],
  ["Ctrl+Z", "undo", "z", true, false, telling(takeBack)],
  ["Shift+Ctrl+Z", "redo", "z", true, true, telling(redo)],
  ["Ctrl+Y", "redo", "y", true, false, telling(redo)],
  ["Ctrl+O", "open", "o", true, false, choosePhotos],
  ["Ctrl+S", "save", "s", true, false, () => state.session && openSave()],
  ["Ctrl+C", "key.copy", "c", true, false, telling(() => state.session && !String(getSelection()) && copyResult())],
  ["Ctrl+V", "key.paste", null],
  ["[  ]", "key.brush", null],
  ["V", "tool.hand", "v", false, false, tool("hand")],
  ["D", "tool.drag", "d", false, false, tool("drag")],
  ["B", "tool.brush", "b", false, false, tool("brush")],
  ["M", "key.region", "m", false, false, () => showRegion(!region.shown)],
  ["S", "compare.split", "s", false, false, () => state.session && update({ compare: state.compare === "split" ? "after" : "split" })],
  ["0", "zoom.fit", "0", false, false, fit],
  ["1", "zoom.full", "1", false, false, () => zoomTo(1 / devicePixelRatio)],
  ["F", "zoom.face", "f", false, false, zoomToFace],
  ["+", "zoom.in", "+", false, false, () => zoomBy(1.25)],
  ["−", "zoom.out", "-", false, false, () => zoomBy(0.8)],
  ["Esc", "key.escape", "escape", false, false, escape],
  ["H  ?", "help", "h", false, false, openHelp],
];

const typing = (target) => target.closest?.("input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
const inDialog = () => document.querySelector("dialog[open]");

/** Tab shows the original while it is held on the stage or the page; elsewhere it moves the focus as always. */
const tabPeeks = (event) => event.key === "Tab" && !event.shiftKey && state.session && [document.body, document.getElementById("stage")].includes(document.activeElement);

function down(event) {
  if (event.defaultPrevented || event.isComposing || inDialog()) return;
  if (tabPeeks(event)) {
    event.preventDefault();
    if (!event.repeat) announce(t("compare.before"));
    return peek(true);
  }
  if (typing(event.target) && !(event.ctrlKey || event.metaKey)) return;
  if (typing(event.target) && "zyc".includes(event.key.toLowerCase())) return;
  if (event.key === " " && onStage(event)) {
    event.preventDefault();
    return holdSpace(true);
  }
  if (state.area !== "edit") return;
  if (event.target.id === "stage" && !event.ctrlKey && !event.metaKey && state.session && stageKey(event)) return event.preventDefault();
  if (event.key === "[" || event.key === "]") return resizeBrush(event.key === "[" ? 1 / 1.2 : 1.2);
  const key = event.key === "=" ? "+" : event.key === "?" ? "h" : event.key.toLowerCase();
  const shiftMatters = key === "z";
  const found = KEYS.find(([, , one, control, shift]) => one === key && control === (event.ctrlKey || event.metaKey) && (!shiftMatters || shift === event.shiftKey));
  if (!found || event.altKey || (event.shiftKey && key === "s")) return;
  if (found[3]) event.preventDefault();
  found[5]();
}

const onStage = (event) => event.target === document.body || event.target.id === "stage";

function up(event) {
  if (event.key === "Tab") peek(false);
  if (event.key === " ") holdSpace(false);
}

export function startKeys() {
  addEventListener("keydown", down);
  addEventListener("keyup", up);
  addEventListener("blur", () => (peek(false), holdSpace(false)));
}
