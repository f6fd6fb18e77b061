// The brush: strokes on the stage become the region, or a click takes the part it falls on. Keyboard: arrows move it,
// Enter paints where it stands.

import { el } from "../dom.js";
import { state, watch } from "../state.js";
import { toPhoto, toStage, view } from "../canvas/view.js";
import { beginStroke, brush, endStroke, stroke, takePart, undoStroke } from "./region.js";

const overlay = document.getElementById("overlay");
const ring = el("div", { class: "brush-ring", hidden: true });
overlay.append(ring);

const SLIP_PX = 12; // of the stage: so short a stroke was the first finger of two

let last = null; // where the stroke is, in photo pixels
let begun = null; // where it began, in stage pixels
let long = false; // whether it went farther than a slip
let at = null; // where the brush hovers, in stage pixels

const size = () => brush.size_px / view.scale;
const erasing = (event) => brush.erase !== (event.altKey || event.button === 2);

export const brushTool = {
  down(event, place) {
    if (brush.part) return takePart({ at: toPhoto(...place) });
    beginStroke();
    last = toPhoto(...place);
    begun = place;
    long = false;
    stroke(last, last, size(), (brushTool.erase = erasing(event)));
  },

  move(event, place) {
    hover(place);
    if (!last) return;
    const next = toPhoto(...place);
    stroke(last, next, size(), brushTool.erase);
    last = next;
    long ||= Math.hypot(place[0] - begun[0], place[1] - begun[1]) > SLIP_PX;
  },

  up(event) {
    if (event?.pointerType === "touch") at = null; // a finger that is gone hovers nowhere
    if (last) endStroke();
    last = null;
  },

  /** A second finger came down: to zoom, not to paint, unless the first has painted already. */
  cancel() {
    if (long) return brushTool.up();
    last = null;
    undoStroke();
  },

  leave() {
    ring.hidden = true;
  },

  /** Arrows move the brush; true when the key was for it. */
  key(event) {
    const step = event.shiftKey ? 40 : 8;
    const ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    at ??= toStage(state.session.width / 2, state.session.height / 2);
    if (event.key in ways) {
      hover([at[0] + ways[event.key][0], at[1] + ways[event.key][1]]);
      return true;
    }
    if (event.key !== "Enter") return false;
    const place = toPhoto(...at);
    if (brush.part) return takePart({ at: place }) || true;
    beginStroke();
    stroke(place, place, size(), erasing(event));
    endStroke();
    return true;
  },
};

function hover(place) {
  at = place;
  showRing();
}

function showRing() {
  ring.hidden = !at || brush.part || state.tool !== "brush" || !state.session;
  if (ring.hidden) return;
  for (const side of ["width", "height"]) ring.style.setProperty(side, `${brush.size_px}px`);
  ring.style.setProperty("transform", `translate(${at[0] - brush.size_px / 2}px, ${at[1] - brush.size_px / 2}px)`);
}

document.addEventListener("region", showRing);
watch(["tool", "session"], showRing);
