// Small pictures of what steps would do, to choose from; made only while they can be seen, one after the other.

import { tryStep } from "../bench.js";
import { el, fill } from "../dom.js";
import { canFinish, state, watch } from "../state.js";

const SMALL_PX = 128;
const SETTLE_MS = 400; // after the last change of the photo

/**
 * A row of buttons with pictures. `steps()` gives [{step, label, act}], and `refresh` has them made anew.
 *
 * @param {() => {step: any, label: any, act: () => void}[]} steps
 * @param {() => boolean} possible
 */
export function tries(steps, possible = canFinish) {
  const row = el("div", { class: "tries" });
  let timer = null;
  let shown = "";
  let round = 0;
  const refresh = () => {
    const open = state.tab === "style" && possible() && !state.job;
    row.hidden = !possible();
    const wanted = open ? steps() : [];
    const now = JSON.stringify([state.session?.id, state.session?.version, wanted.map(({ step }) => step)]);
    for (const button of row.children) button.disabled = !open;
    if (!open || now === shown) return;
    shown = now;
    clearTimeout(timer);
    timer = setTimeout(() => draw(wanted, ++round), SETTLE_MS);
  };
  const draw = async (wanted, mine) => {
    const pictures = wanted.map(() => el("img", { alt: "" }));
    const buttons = wanted.map(({ label, act }, at) =>
      el(
        "button",
        { type: "button", class: "try", title: label, onclick: act },
        el("span", { class: "try-picture" }, pictures[at]),
        el("span", {}, label),
      ),
    );
    fill(row, buttons);
    for (const [at, { step }] of wanted.entries()) {
      const address = await tryStep(step, SMALL_PX).catch(() => null); // only a look: what cannot be shown is not
      if (!address) continue;
      if (mine === round) {
        pictures[at].onload = () => URL.revokeObjectURL(address);
        pictures[at].src = address;
      } else return URL.revokeObjectURL(address);
    }
  };
  watch(["session", "tab", "job"], refresh);
  return { node: row, refresh };
}
