// Edit steps that have no panel of their own: a form for each, made of what the server says about its fields.

import { doStep } from "../bench.js";
import { el, fill, freshId } from "../dom.js";
import { aboutStep } from "../i18n/forms.js";
import { known, t } from "../i18n/index.js";
import { state, watch } from "../state.js";
import { telling } from "../toast.js";
import { controlsOf, loadForms } from "./form.js";

const OWN_PANEL = new Set(["drag", "mix", "move", "stylise", "translate", "upscale"]);

/** A section with the steps that nothing else on the page offers; hidden while there are none. */
export function moreSteps() {
  const heading = el("h2", { class: "minor", id: freshId("more") }, t("more"));
  const list = el("div", { class: "cards" });
  const section = el(
    "section",
    { class: "group", "aria-labelledby": heading.id, "data-section": "more", hidden: true },
    heading,
    list,
  );
  const load = telling(async () => {
    const { steps } = await loadForms();
    const others = Object.entries(steps).filter(([name]) => !OWN_PANEL.has(name));
    fill(
      list,
      others.map(([name, form]) => stepForm(name, form)),
    );
    section.hidden = !others.length;
  });
  let loaded = false;
  const follow = () => {
    const ready = state.session?.state === "ready";
    if (ready && !loaded) load();
    loaded ||= ready;
    for (const button of list.querySelectorAll("button")) button.disabled = !ready || Boolean(state.job);
  };
  watch(["session", "job"], follow);
  return section;
}

function stepForm(name, { help, fields }) {
  const { nodes, read } = controlsOf(name, fields);
  const act = telling((event) => {
    event.preventDefault();
    return doStep(name, read());
  });
  const form = el(
    "form",
    { class: "step-form", onsubmit: act },
    el("p", { class: "hint" }, aboutStep(name, help)),
    nodes,
    el("button", { type: "submit" }, t("more.apply")),
  );
  return el(
    "details",
    { class: "card", "data-step": name },
    el("summary", {}, known(`step.${name}`) ? t(`step.${name}`) : name.replaceAll("_", " ")),
    form,
  );
}
