// The brush: strokes on the stage become the region. Keyboard: arrows move it, Enter paints where it stands.

import { el } from "../dom.js";
import { state, watch } from "../state.js";
import { toPhoto, toStage, view } from "../canvas/view.js";
import { beginStroke, brush, endStroke, stroke } from "./region.js";

const overlay = document.getElementById("overlay");
const ring = el("div", { class: "brush-ring", hidden: true });
overlay.append(ring);

let last = null; // where the stroke is, in photo pixels
let at = null; // where the brush hovers, in stage pixels

const size = () => brush.size_px / view.scale;
const erasing = (event) => brush.erase !== (event.altKey || event.button === 2);

export const brushTool = {
  down(event, place) {
    beginStroke();
    last = toPhoto(...place);
    stroke(last, last, size(), (brushTool.erase = erasing(event)));
  },

  move(event, place) {
    hover(place);
    if (!last) return;
    const next = toPhoto(...place);
    stroke(last, next, size(), brushTool.erase);
    last = next;
  },

  up() {
    if (last) endStroke();
    last = null;
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
  ring.hidden = !at || state.tool !== "brush" || !state.session;
  if (ring.hidden) return;
  for (const side of ["width", "height"]) ring.style.setProperty(side, `${brush.size_px}px`);
  ring.style.setProperty("transform", `translate(${at[0] - brush.size_px / 2}px, ${at[1] - brush.size_px / 2}px)`);
}

document.addEventListener("region", showRing);
watch(["tool", "session"], showRing);
