// How well the generator knows this photo, and the way to a better likeness.

import { el, fill, icon, iconButton, select } from "../dom.js";
import { t } from "../i18n/index.js";
import { bring, choice } from "../intake.js";
import { state, watch } from "../state.js";
import { choosing } from "../tools/faces.js";

const EFFORTS = ["fast", "standard", "best"];
const GRADES = [[24, "good"], [20, "fair"], [0, "poor"]]; // dB: what may be expected of an edit

export function fidelityCard() {
  const card = el("div", { class: "card fidelity" });
  const follow = () => {
    const { session } = state;
    card.hidden = !session;
    if (!session || state.job?.kind === "invert") card.hidden = true;
    else if (session.state === "ready" && session.fidelity?.psnr_db !== undefined) fill(card, figures(session), again(session));
    else if (session.state === "ready") card.hidden = true;
    else fill(card, waiting(session));
  };
  watch(["session", "job"], follow);
  follow();
  return card;
}

function figures({ fidelity, latent }) {
  const [, grade] = GRADES.find(([least]) => fidelity.psnr_db >= least) ?? GRADES.at(-1);
  return [
    el("div", { class: "card-head" }, el("span", { class: `dot ${grade}`, "aria-hidden": "true" }), el("strong", {}, t(`fidelity.${grade}`)), el("span", { class: "spring" }), el("span", { class: "number", title: t("fidelity.psnr") }, `${fidelity.psnr_db.toFixed(1)} dB`)),
    el("p", { class: "hint" }, t(`fidelity.${grade}.hint`)),
    latent && el("p", { class: "hint latent" }, t(`latent.${latent}`)),
  ];
}

/** Search again, longer; or bring another face of the photo in. */
function again(session) {
  const now = session.recipe?.effort ?? choice.effort;
  const effort = select(EFFORTS.map((one) => [one, t(`effort.${one}`)]), now, (value) => (choice.effort = value), { "aria-label": t("effort") });
  const more = iconButton("wand", t("fidelity.again"), () => bring(session.face, effort.value));
  const faces = session.faces?.length > 1 && el("div", { class: "row" }, el("span", { class: "hint" }, t("faces.other")), session.faces.map((_, index) => faceButton(index, session.face)));
  return [el("div", { class: "row" }, effort, more), faces];
}

function faceButton(index, chosen) {
  return el("button", { type: "button", class: "small pill", "aria-pressed": String(index === chosen), "aria-label": t("faces.choose", { n: index + 1 }), onclick: () => bring(index) }, String(index + 1));
}

function waiting(session) {
  if (choosing() && session.faces.length) return [el("div", { class: "card-head" }, icon("face"), el("strong", {}, t("faces.several", { n: session.faces.length }))), el("p", { class: "hint" }, t("faces.several.hint"))];
  if (session.needs_face) return [el("div", { class: "card-head" }, icon("face"), el("strong", {}, t("faces.none"))), el("p", { class: "hint" }, t("faces.none.hint"))];
  const start = el("button", { type: "button", class: "primary", onclick: () => bring(null) }, t("fidelity.start"));
  return [el("p", { class: "hint" }, t("fidelity.waiting")), start];
}
