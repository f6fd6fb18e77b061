// The keyboard: one table, which the help dialog prints.

import { redo, undo } from "./bench.js";
import { peek } from "./canvas/paint.js";
import { holdSpace, stageKey } from "./canvas/stage.js";
import { fit, zoomBy, zoomTo } from "./canvas/view.js";
import { copyResult, openSave } from "./panels/save.js";
import { zoomToFace } from "./panels/rail.js";
import { openHelp } from "./panels/help.js";
import { choosePhotos } from "./intake.js";
import { state, update } from "./state.js";
import { telling } from "./toast.js";
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
  [
    "S",
    "compare.split",
    "s",
    false,
    false,
    () => state.session && update({ compare: state.compare === "split" ? "after" : "split" }),
  ],
  ["0", "zoom.fit", "0", false, false, fit],
  ["1", "key.full", "1", false, false, () => zoomTo(1 / devicePixelRatio)],
  ["F", "zoom.face", "f", false, false, zoomToFace],
  ["+", "zoom.in", "+", false, false, () => zoomBy(1.25)],
  ["−", "zoom.out", "-", false, false, () => zoomBy(0.8)],
  ["Esc", "key.escape", "escape", false, false, escape],
  ["H  ?", "help", "h", false, false, () => openHelp(KEYS)],
];

const typing = (target) =>
  target.closest?.(
    "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]",
  );
const inDialog = () => document.querySelector("dialog[open]");

const TAP_MS = 200;
let tab = null; // since when Tab is held, and where the focus was

/**
 * Tab held = the original; tapped = on to the next control, as always. Where the keyboard already has the focus on a
 * control, Tab is only for moving on.
 */
function tabPeeks(event) {
  const at = document.activeElement;
  const byKeyboard = at !== document.body && at.id !== "stage" && at.matches(":focus-visible");
  return event.key === "Tab" && !event.shiftKey && state.session && state.area === "edit" && !byKeyboard;
}

/** Held, Tab was for the original: the focus, which the browser has moved on, goes back. */
function comeBack(from) {
  if (from === document.body) /** @type {HTMLElement} */ (document.activeElement).blur();
  else from.focus();
}

function down(event) {
  if (event.defaultPrevented || event.isComposing || inDialog()) return;
  if (event.key === "Tab" && tab) return event.preventDefault(); // it repeats while it is held
  if (tabPeeks(event)) {
    tab = { since: performance.now(), at: document.activeElement };
    return peek(true);
  }
  if (typing(event.target) && !(event.ctrlKey || event.metaKey)) return;
  if (typing(event.target) && "zyc".includes(event.key.toLowerCase())) return;
  if (event.key === " " && onStage(event)) {
    event.preventDefault();
    return holdSpace(true);
  }
  if (state.area !== "edit") return;
  if (event.target.id === "stage" && !event.ctrlKey && !event.metaKey && state.session && stageKey(event))
    return event.preventDefault();
  if (event.key === "[" || event.key === "]") return resizeBrush(event.key === "[" ? 1 / 1.2 : 1.2);
  const key = event.key === "=" ? "+" : event.key === "?" ? "h" : event.key.toLowerCase();
  const shiftMatters = key === "z";
  const found = KEYS.find(
    ([, , one, control, shift]) =>
      one === key && control === (event.ctrlKey || event.metaKey) && (!shiftMatters || shift === event.shiftKey),
  );
  if (!found || event.altKey || (event.shiftKey && key === "s")) return;
  if (found[3]) event.preventDefault();
  found[5]();
}

const onStage = (event) => event.target === document.body || event.target.id === "stage";

function up(event) {
  if (event.key === "Tab" && tab) {
    peek(false);
    if (performance.now() - tab.since >= TAP_MS) comeBack(tab.at);
    tab = null;
  }
  if (event.key === " ") holdSpace(false);
}

export function startKeys() {
  addEventListener("keydown", down);
  addEventListener("keyup", up);
  addEventListener("blur", () => {
    tab = null;
    peek(false);
    holdSpace(false);
  });
}
