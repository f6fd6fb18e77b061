// How well the generator knows this photo, and the way to a better likeness.

import { copyToAll, resumeEditing } from "../bench.js";
import { el, fill, icon, iconButton, select } from "../dom.js";
import { t } from "../i18n/index.js";
import { bring, choice, EFFORTS, turnTo } from "../intake.js";
import { state, watch } from "../state.js";
import { telling } from "../toast.js";
import { choosing } from "../tools/faces.js";
import { offer } from "./start.js";

const GRADES = [
  [24, "good"],
  [20, "fair"],
  [0, "poor"],
]; // dB: what may be expected of an edit

export function fidelityCard() {
  const card = el("div", { class: "card fidelity" });
  const follow = () => {
    const { session } = state;
    card.hidden = !session;
    if (!session || session.state === "inverting" || state.job?.kind === "invert") card.hidden = true;
    else if (session.state === "ready" && session.fidelity?.psnr_db !== undefined)
      fill(card, figures(session), again(session));
    else if (session.state === "ready")
      card.hidden = true; // from a seed
    else fill(card, waiting(session));
  };
  watch(["session", "job", "models"], follow);
  follow();
  return card;
}

function figures({ fidelity, latent }) {
  const [, grade] = GRADES.find(([least]) => fidelity.psnr_db >= least) ?? GRADES.at(-1);
  return [
    el(
      "div",
      { class: "card-head" },
      el("span", { class: `dot ${grade}`, "aria-hidden": "true" }),
      el("strong", {}, t(`fidelity.${grade}`)),
      el("span", { class: "spring" }),
      el("span", { class: "number", title: t("fidelity.psnr") }, `${fidelity.psnr_db.toFixed(1)} dB`),
    ),
    el("p", { class: "hint" }, t(`fidelity.${grade}.hint`)),
    el("p", { class: "hint" }, t("fidelity.db")),
    latent && el("p", { class: "hint latent" }, t(`latent.${latent}`)),
  ];
}

/** Search again, longer; or bring another face of the photo in. */
function again(session) {
  const now = session.recipe?.effort ?? choice.effort;
  const effort = select(
    EFFORTS.map((one) => [one, t(`effort.${one}`)]),
    now,
    (value) => (choice.effort = value),
    { "aria-label": t("effort"), title: t("effort.hint") },
  );
  const more = iconButton("wand", t("fidelity.again"), () => bring(session.face, effort.value));
  return [el("div", { class: "row" }, effort, more), faceRow(session)].flat();
}

/** The faces by number; each keeps its own steps. */
function faceRow(session) {
  if (!(session.faces?.length > 1)) return null;
  const others = session.faces.filter((face, index) => face.found && index !== session.face).length;
  const steps = session.faces[session.face]?.steps;
  const copy =
    others > 0 &&
    steps > 0 &&
    el(
      "button",
      {
        type: "button",
        class: "wide-button",
        id: "copy-to-all",
        disabled: Boolean(state.job),
        onclick: telling(copyToAll),
      },
      icon("copy"),
      t("faces.copy"),
    );
  const buttons = session.faces.map((face, index) => faceButton(face, index, session.face));
  return [el("div", { class: "face-buttons" }, el("span", { class: "hint" }, t("faces.other")), buttons), copy];
}

function faceButton({ found, steps }, index, chosen) {
  const label = found ? t("faces.back", { n: index + 1, steps }) : t("faces.choose", { n: index + 1 });
  return el(
    "button",
    {
      type: "button",
      class: "small pill",
      "aria-pressed": String(index === chosen),
      "aria-label": label,
      title: label,
      disabled: Boolean(state.job),
      onclick: () => turnTo(index),
    },
    String(index + 1),
    found && steps > 0 && el("span", { class: "dot good", "aria-hidden": "true" }),
  );
}

const head = (text) => el("div", { class: "card-head" }, icon("face"), el("strong", {}, text));
const hint = (name) => el("p", { class: "hint" }, t(name));

/** What the face tools wait for; the rest of the page does not. */
function waiting(session) {
  if (session.resumable)
    return [
      hint("fidelity.kept"),
      el("button", { type: "button", class: "primary", onclick: telling(resumeEditing) }, t("fidelity.goon")),
    ];
  if (choosing()) return [head(t("faces.several", { n: session.faces.length })), hint("faces.several.hint")];
  if (!session.model) return [head(t("faces.model")), hint("faces.model.hint"), offer()];
  if (session.needs_face && !session.faces.length)
    return [head(t("faces.none")), hint("faces.none.hint"), hint("faces.finish")];
  const start = el(
    "button",
    { type: "button", class: "primary", onclick: () => bring(session.faces.length ? 0 : null) },
    t("fidelity.start"),
  );
  return [hint("fidelity.waiting"), start];
}
