// Faces that were found: a frame each, which is a button. Click (or Enter) brings that face in.

import { toStage } from "../canvas/view.js";
import { el } from "../dom.js";
import { t } from "../i18n/index.js";
import { state, watch } from "../state.js";

const layer = el("div", { class: "faces", role: "group", "aria-label": t("faces.label") });
document.getElementById("overlay").append(layer);
/** @type {(face: number) => void} */
let choose = () => {};

/** Who is told which face was chosen (its number, from 0). */
export function onFace(listener) {
  choose = listener;
}

/** Whether the reader still has to say which face is meant; one alone is searched for without a question. */
export const choosing = () => state.session?.state === "faces" && state.session.faces?.length > 1 && !state.job;

/** Whether another face can be turned to: with the hand, while one of several is edited. */
const turning = () => state.session?.state === "ready" && state.tool === "hand" && state.session.faces?.length > 1;
const shown = () => choosing() || turning();

function rebuild() {
  layer.hidden = !shown();
  const kind = turning() ? "face-chip" : "face-frame";
  layer.replaceChildren(
    ...(shown() ? state.session.faces : []).map((_, index) =>
      el(
        "button",
        {
          type: "button",
          class: kind,
          "aria-pressed": String(index === state.session.face),
          disabled: Boolean(state.job),
          "aria-label": t("faces.choose", { n: index + 1 }),
          onclick: () => choose(index),
        },
        el("span", {}, String(index + 1)),
      ),
    ),
  );
  place();
}

function place() {
  if (!shown()) return;
  [...layer.children].forEach((frame, index) => {
    const face = state.session.faces[index];
    if (!face) return;
    const [x, y, width, height] = face.box;
    const [left, top] = toStage(x, y);
    const [right, bottom] = toStage(x + width, y + height);
    if (turning())
      return frame.style.setProperty(
        "transform",
        `translate(${(left + right) / 2}px, ${top}px) translate(-50%, -100%)`,
      );
    frame.style.setProperty("transform", `translate(${left}px, ${top}px)`);
    frame.style.setProperty("width", `${right - left}px`);
    frame.style.setProperty("height", `${bottom - top}px`);
  });
}

document.addEventListener("painted", place);
watch(["session", "job", "tool"], rebuild);
