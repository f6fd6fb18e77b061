// The drag tool: pairs of a red handle and a blue target on the photo, pulled together by the server.

import { drag as pull, stopJob } from "../bench.js";
import { inPhoto, toPhoto, toStage } from "../canvas/view.js";
import { el, say } from "../dom.js";
import { t } from "../i18n/index.js";
import { state, watch } from "../state.js";
import { complain } from "../toast.js";
import { regionSent } from "./region.js";

const SVG = "http://www.w3.org/2000/svg";
const overlay = document.getElementById("overlay");
const lines = document.createElementNS(SVG, "svg");
lines.setAttribute("class", "drag-lines");
lines.setAttribute("aria-hidden", "true");
const layer = el("div", { class: "drag-layer" });
overlay.append(lines, layer);

/** Pairs {handle: [x, y], target: [x, y] or null}, in photo pixels. */
export const pairs = [];

const changed = () => {
  rebuild();
  document.dispatchEvent(new Event("pairs"));
};

let pressed = null; // where the point will be, in stage pixels: a second finger zooms instead

export const dragTool = {
  down(event, place) {
    pressed = place;
  },

  up() {
    const point = pressed && toPhoto(...pressed);
    pressed = null;
    if (running() || !point || !inPhoto(point)) return;
    const open = pairs.find((pair) => !pair.target);
    if (open) open.target = point;
    else pairs.push({ handle: point, target: null });
    changed();
  },

  move() {},

  cancel() {
    pressed = null;
  },

  key: () => false,
};

export const running = () => state.job?.kind === "drag";

/** For the keyboard: a pair in the middle of the face, to be moved with the arrows. */
export function addPair() {
  const { crop, width, height } = state.session;
  const [x, y, side] = crop ? [crop.x, crop.y, crop.side] : [width / 2, height / 2, Math.min(width, height)];
  pairs.push({ handle: [x, y], target: [x + side / 12, y] });
  changed();
  layer.querySelectorAll("button")[layer.childElementCount - 2]?.focus();
}

export function removePair(index) {
  pairs.splice(index, 1);
  changed();
}

export function clearPairs() {
  pairs.length = 0;
  changed();
}

/** Pull until the points are there, or until `stopJob`. What was reached stays, as one step. */
export async function startDrag() {
  const whole = pairs.filter((pair) => pair.target);
  if (!whole.length) return;
  await regionSent();
  try {
    await pull(
      whole.map((pair) => pair.handle),
      whole.map((pair) => pair.target),
    );
    clearPairs();
  } catch (error) {
    complain(error);
  }
}

export const stopDrag = stopJob;

// The points are buttons: the pointer drags them, arrows move them, Delete takes the pair away.

function rebuild() {
  const focused = /** @type {HTMLElement} */ (document.activeElement)?.dataset.point;
  layer.replaceChildren();
  pairs.forEach((pair, index) => {
    layer.append(point(pair, "handle", index));
    if (pair.target) layer.append(point(pair, "target", index));
  });
  layer.querySelector(`[data-point="${focused}"]`)?.focus();
  place();
}

function point(pair, end, index) {
  const button = el(
    "button",
    {
      type: "button",
      class: `point ${end}`,
      "data-point": `${index}-${end}`,
      "aria-label": t(`drag.${end}`, { n: index + 1 }),
    },
    el("span", {}, String(index + 1)),
  );
  button.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    if (running() || event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    button.onpointermove = (moved) => moveTo(pair, end, stagePlace(moved));
  });
  button.addEventListener("pointerup", () => (button.onpointermove = null));
  button.addEventListener("keydown", (event) => pointKey(event, pair, end, index));
  return button;
}

function pointKey(event, pair, end, index) {
  const step = event.shiftKey ? 10 : 1;
  const ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (event.key === "Delete" || event.key === "Backspace") removePair(index);
  else if (event.key in ways) {
    const [x, y] = pair[end];
    setPoint(pair, end, [x + ways[event.key][0], y + ways[event.key][1]]);
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

function stagePlace(event) {
  const box = overlay.getBoundingClientRect();
  return [event.clientX - box.x, event.clientY - box.y];
}

const moveTo = (pair, end, stagePoint) => setPoint(pair, end, toPhoto(...stagePoint));

function setPoint(pair, end, [x, y]) {
  pair[end] = [Math.min(state.session.width - 1, Math.max(0, x)), Math.min(state.session.height - 1, Math.max(0, y))];
  place();
  document.dispatchEvent(new Event("pairs"));
}

function place() {
  const visible = state.tool === "drag" && state.session;
  layer.hidden = !visible;
  lines.toggleAttribute("hidden", !visible);
  if (!visible) return;
  for (const button of layer.children) {
    const [index, end] = button.dataset.point.split("-");
    const [x, y] = toStage(...pairs[index][end]);
    button.style.setProperty("transform", `translate(${x}px, ${y}px)`);
    button.disabled = running();
    say(button, "title", t("drag.point.hint"));
  }
  lines.replaceChildren(...pairs.filter((pair) => pair.target).map(line));
}

function line(pair) {
  const node = document.createElementNS(SVG, "line");
  const [[x1, y1], [x2, y2]] = [toStage(...pair.handle), toStage(...pair.target)];
  for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) node.setAttribute(name, String(value));
  return node;
}

/** While the server pulls: the handles are where it has them now. */
document.addEventListener("pulled", (event) => {
  const { detail } = /** @type {CustomEvent} */ (event);
  pairs.filter((pair) => pair.target).forEach((pair, index) => (pair.handle = detail[index] ?? pair.handle));
  document.dispatchEvent(new Event("pairs"));
});
document.addEventListener("painted", place);
document.addEventListener("opened", clearPairs);
watch(["tool", "job", "session"], place);
