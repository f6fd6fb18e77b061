// Before and after: the dividing line of the split view, a slider for pointer and keyboard.

import { el, icon, say } from "../dom.js";
import { t } from "../i18n/index.js";
import { state, watch } from "../state.js";
import { divider } from "./paint.js";
import { toPhoto, toStage } from "./view.js";

const STEP = 0.02;
const overlay = document.getElementById("overlay");
const line = el("div", {
  class: "divider",
  role: "slider",
  tabindex: "0",
  "aria-label": t("compare.divider"),
  "aria-valuemin": "0",
  "aria-valuemax": "100",
  hidden: true,
});
line.append(
  el("span", { class: "divider-word before" }, t("compare.before")),
  el("span", { class: "divider-grip" }, icon("split")),
  el("span", { class: "divider-word after" }, t("compare.after")),
);
overlay.append(line);

function moveTo(share) {
  divider.at = Math.min(1, Math.max(0, share));
  document.dispatchEvent(new Event("repaint"));
}

function place() {
  line.hidden = state.compare !== "split" || !state.session;
  if (line.hidden) return;
  const [x] = toStage(state.session.width * divider.at, 0);
  line.style.setProperty("transform", `translateX(${x}px)`);
  say(line, "aria-valuenow", String(Math.round(divider.at * 100)));
}

line.addEventListener("pointerdown", (event) => {
  event.stopPropagation();
  line.setPointerCapture(event.pointerId);
  line.onpointermove = ({ clientX }) =>
    moveTo(toPhoto(clientX - overlay.getBoundingClientRect().x, 0)[0] / state.session.width);
});
line.addEventListener("pointerup", () => (line.onpointermove = null));
line.addEventListener("keydown", (event) => {
  const ways = { ArrowLeft: divider.at - STEP, ArrowRight: divider.at + STEP, Home: 0, End: 1 };
  if (!(event.key in ways)) return;
  event.preventDefault();
  event.stopPropagation();
  moveTo(ways[event.key]);
});

let before = state.compare;

/** The line begins in the middle of what is seen of the photo. */
function begin() {
  const now = state.compare;
  if (now === "split" && before !== "split" && state.session)
    moveTo(toPhoto(overlay.clientWidth / 2, 0)[0] / state.session.width);
  before = now;
}

watch(["compare"], begin);
document.addEventListener("painted", place);
watch(["compare", "session"], place);
