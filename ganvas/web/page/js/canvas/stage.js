// Pointer, wheel and fingers on the stage: pan and zoom for everyone, the rest goes to the chosen tool.

import { brushTool } from "../tools/brush.js";
import { dragTool } from "../tools/drag.js";
import { nearest } from "../dom.js";
import { state, watch } from "../state.js";
import { fit, fitSquare, pan, resize, view, zoomAt, zoomTo } from "./view.js";

const stage = document.getElementById("stage");
const WHEEL = 0.0016;
const SMALL_FACE = 0.6; // of the photo's shorter side: smaller ones are zoomed to
const tools = { brush: brushTool, drag: dragTool, hand: null };
const fingers = new Map(); // pointerId → [x, y]
let panning = null; // [x, y] where the hand is
let spread = null; // distance of two fingers
let space = false;
let working = false; // a tool has the pointer

const tool = () => (state.session?.state === "ready" ? tools[state.tool] : null);

function place(event) {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.x, event.clientY - box.y];
}

stage.addEventListener("pointerdown", (event) => {
  if (nearest(event, "button, input, select, a, [role=slider], .floating") || !state.session) return;
  stage.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, place(event));
  if (fingers.size === 2) return beginPinch();
  if (fingers.size > 2) return;
  if (space || event.button === 1 || !tool()) panning = place(event);
  else if (event.button === 0 || event.button === 2) {
    working = true;
    tool().down(event, place(event));
  }
  mark();
});

stage.addEventListener("pointermove", (event) => {
  const now = place(event);
  if (fingers.has(event.pointerId)) fingers.set(event.pointerId, now);
  if (fingers.size === 2) return pinch();
  if (panning) {
    pan(now[0] - panning[0], now[1] - panning[1]);
    panning = now;
  } else if (working || fingers.size === 0) tool()?.move(event, now);
});

for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
  stage.addEventListener(end, (event) => {
    fingers.delete(event.pointerId);
    if (fingers.size < 2) spread = null;
    if (working) tool()?.up(event, place(event));
    panning = null;
    working = false;
    mark();
  });
}
stage.addEventListener("pointerleave", () => tool()?.leave?.());
stage.addEventListener("contextmenu", (event) => state.tool === "brush" && event.preventDefault());

function beginPinch() {
  if (working) tool()?.cancel();
  working = false;
  panning = null;
  spread = distance();
}

function distance() {
  const [[x0, y0], [x1, y1]] = fingers.values();
  return { px: Math.hypot(x1 - x0, y1 - y0), x: (x0 + x1) / 2, y: (y0 + y1) / 2 };
}

function pinch() {
  const now = distance();
  pan(now.x - spread.x, now.y - spread.y);
  zoomAt(now.x, now.y, now.px / Math.max(1, spread.px));
  spread = now;
}

stage.addEventListener(
  "wheel",
  (event) => {
    if (!state.session || nearest(event, ".floating")) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey) pan(-event.deltaY * lines, 0);
    else zoomAt(...place(event), Math.exp(-event.deltaY * lines * WHEEL * (event.ctrlKey ? 4 : 1)));
  },
  { passive: false },
);

stage.addEventListener("dblclick", (event) => {
  if (state.tool !== "hand" || !state.session || nearest(event, "button, [role=slider]")) return;
  if (view.fitted) zoomAt(...place(event), Math.max(2, 1 / view.scale));
  else fit();
});

/** Space is held: the hand, whatever the tool. */
export function holdSpace(on) {
  space = on;
  mark();
}

/** Keys while the stage has the focus; true when they were for it. */
export function stageKey(event) {
  if (tool()?.key(event)) return true;
  const step = event.shiftKey ? 120 : 40;
  const ways = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  if (event.key in ways) pan(...ways[event.key]);
  else if (event.key === "+" || event.key === "=") zoomTo(view.scale * 1.25);
  else if (event.key === "-") zoomTo(view.scale / 1.25);
  else return false;
  return true;
}

/** Zoom to the face that is edited, where it is small in the photo; whether it is. */
export function frameFace() {
  const { crop, width, height, state: now } = state.session ?? {};
  if (now !== "ready" || !crop || crop.side >= SMALL_FACE * Math.min(width, height)) return false;
  fitSquare(crop);
  return true;
}

function mark() {
  const hand = space || panning || !tool();
  stage.dataset.cursor = panning ? "grabbing" : hand ? "grab" : state.tool;
}

const measure = () => resize({ width: stage.clientWidth, height: stage.clientHeight }, state.session);
new ResizeObserver(measure).observe(stage);
let photo = null;
watch(["session"], () => {
  // The original of a photo that is taken up again may be smaller.
  const now = state.session && `${state.session.id} ${state.session.width} ${state.session.height}`;
  if (photo !== now) measure();
  photo = now;
  mark();
});
watch(["tool"], mark);
document.addEventListener("opened", () => (frameFace() ? null : fit()));
