// Style: take shape or colours from another picture, a taught style, a translator.

import { get, send } from "../api.js";
import { doStep, mixPhoto, previewStep, translate } from "../bench.js";
import { openDialog } from "../dialog.js";
import { el, field, fill, freshId, icon, iconButton, nameField, segments, select } from "../dom.js";
import { t } from "../i18n/index.js";
import { choosePicture } from "../intake.js";
import { cancel, follow, timeLeft } from "../jobs.js";
import { announce } from "../say.js";
import { canFinish, state, update, watch } from "../state.js";
import { telling, toast } from "../toast.js";
import { hereFor } from "./models.js";
import { moreSteps } from "./more-steps.js";
import { slider } from "./tool-options.js";
import { tries } from "./tries.js";

export function styleTab() {
  return [mixSection(), taughtSection(), translatorSection(), moreSteps()];
}

function section(name, ...children) {
  const heading = el("h2", { class: "minor", id: freshId("style") }, t(`style.${name}`));
  return el("section", { class: "group", "aria-labelledby": heading.id, "data-section": name }, heading, children);
}

/** Buttons that need a face in the model, and nobody else at work. */
function whenReady(...buttons) {
  const follow = () => {
    for (const button of buttons) button.disabled = state.session?.state !== "ready" || Boolean(state.job);
  };
  follow();
  return watch(["session", "job"], follow);
}

/** A slider of percents: `ontry` while it moves, `onset` when it is let go; both get 0 … 1. */
function percent(value, ontry, onset) {
  const made = slider(t("style.strength"), { min: 0, max: 100, step: 1 }, (now) => {
    made.output.value = `${now} %`;
    ontry(now / 100);
  });
  made.input.addEventListener("change", () => onset(Number(made.input.value) / 100));
  made.show = (share) => {
    made.input.value = share * 100;
    made.output.value = `${Math.round(share * 100)} %`;
  };
  made.show(value);
  return made;
}

/** The last of the photo's steps of that kind, ready to be done again with another strength. */
function present(kind, fits = (_step) => true) {
  const found = state.session?.steps?.findLast((one) => one.step === kind && fits(one));
  if (!found) return null;
  const { index, words, region, ...step } = found;
  return step;
}

/** A strength that changes a step which is there, while it is moved; else it is only wanted. */
function strengthOf(find, wanted) {
  const again = (share, act) => {
    wanted.strength = share;
    const step = find();
    if (step) act({ ...step, strength: share });
  };
  const made = percent(
    wanted.strength,
    (share) => again(share, previewStep),
    (share) =>
      again(
        share,
        telling(({ step, ...fields }) => doStep(step, fields)),
      ),
  );
  const follow = () => {
    const step = find();
    if (step && document.activeElement !== made.input) made.show((wanted.strength = step.strength));
  };
  watch(["session"], follow);
  return { node: made.node, follow };
}

// Mix.

const SEEDS_OFFERED = 4;
const PARTS = ["shape", "colour", "all"];

function mixSection() {
  const wanted = { part: "colour", strength: 0.7 };
  const strength = strengthOf(() => present("mix", (one) => one.part === wanted.part), wanted);
  const seed = el("input", {
    type: "number",
    min: 0,
    step: 1,
    value: 7,
    "aria-label": t("start.seed"),
    class: "short",
  });
  const roll = iconButton("seed", t("start.roll"), () => (seed.value = Math.floor(Math.random() * 100_000)), {
    class: "small",
  });
  const mixSeed = telling(() => doStep("mix", { seed: Math.max(0, Math.floor(Number(seed.value) || 0)), ...wanted }));
  const fromSeed = el("button", { type: "button", "data-mix": "seed", onclick: mixSeed }, t("style.mix.seed"));
  const fromPhoto = el(
    "button",
    {
      type: "button",
      "data-mix": "photo",
      onclick: () => choosePicture(telling((file) => mixPhoto(file, wanted.part, wanted.strength))),
    },
    icon("photo"),
    t("style.mix.photo"),
  );
  whenReady(fromSeed, fromPhoto);
  let first = 1; // seed of the pictures that are offered
  const offered = () =>
    Array.from({ length: SEEDS_OFFERED }, (_, at) => ({
      step: { step: "mix", seed: first + at, ...wanted },
      label: t("style.mix.of", { seed: first + at }),
      act: telling(() => doStep("mix", { seed: first + at, ...wanted })),
    }));
  const looks = tries(offered, () => state.session?.state === "ready");
  const taken = tries(ofPhoto, () => ofPhoto().length > 0);
  const others = () => {
    first = Math.floor(Math.random() * 100_000);
    looks.refresh();
  };
  const more = iconButton("seed", t("style.mix.others"), others, { class: "small" });
  const parts = segments(
    t("style.what"),
    PARTS.map((part) => [part, t(`style.${part}`)]),
    wanted.part,
    (value) => {
      wanted.part = value;
      strength.follow();
      looks.refresh();
    },
  );
  return section(
    "mix",
    el("p", { class: "hint" }, t("style.mix.hint")),
    parts,
    strength.node,
    el("div", { class: "row" }, looks.node, more),
    el("div", { class: "row" }, seed, roll, fromSeed),
    el("small", { class: "hint" }, t("seed.hint")),
    el("div", { class: "row" }, fromPhoto),
    taken.node,
  );
}

/** What else could be taken of the photo that was mixed in last: it was searched for already. */
function ofPhoto() {
  const mixed = present("mix", (one) => one.latent);
  if (!mixed) return [];
  return PARTS.filter((part) => part !== mixed.part).map((part) => ({
    step: { ...mixed, part },
    label: t("style.mix.photo.of", { part: t(`style.${part}`) }),
    act: telling(() => {
      const { step, ...fields } = mixed;
      return doStep(step, { ...fields, part });
    }),
  }));
}

// Taught styles.

function taughtSection() {
  const wanted = { strength: 1 };
  const strength = strengthOf(() => present("stylise"), wanted);
  const list = el("div", { class: "cards" });
  const underway = el("div", { class: "cards" });
  const begin = (wanted) => teachStyle(underway, wanted);
  const teach = el(
    "button",
    { type: "button", onclick: () => choosePicture((example) => openTeach(example, begin)) },
    icon("plus"),
    t("style.teach"),
  );
  whenReady(teach);
  let cards = [];
  const load = telling(async () => {
    if (!state.session) return;
    const styles = await get("/api/styles", { id: state.session.id });
    for (const old of cards) old.stop();
    cards = styles.map((style) => card(style, wanted));
    fill(list, styles.length ? cards.map((one) => one.button) : el("p", { class: "hint" }, t("style.none")));
    strength.node.hidden = !styles.length;
  });
  let shown = null;
  watch(["session", "tab"], () => {
    const now = `${state.session?.id} ${state.session?.state}`;
    if (state.tab !== "style" || state.session?.state !== "ready" || shown === now) return;
    shown = now;
    load();
  });
  document.addEventListener("styles", load);
  return section("taught", list, strength.node, underway, teach);
}

function card(style, wanted) {
  const about = style.facts?.about ?? style.facts?.example;
  const apply = telling(() => doStep("stylise", { style: style.name, strength: wanted.strength }));
  const button = el(
    "button",
    { type: "button", class: "choice", onclick: apply },
    icon("style"),
    el("span", {}, style.name),
    about && el("small", {}, about),
  );
  const follow = () =>
    button.setAttribute("aria-pressed", String(Boolean(present("stylise", (one) => one.style === style.name))));
  const stops = [whenReady(button), watch(["session"], follow)];
  follow();
  return { button, stop: () => stops.forEach((stop) => void stop()) };
}

/** Ask for a style's name, with the example in view. */
function openTeach(example, begin) {
  const name = nameField({
    required: true,
    value: example.name
      .replace(/\.\w+$/, "")
      .replace(/[^\p{L}\p{N}_-]+/gu, "-")
      .slice(0, 40),
  });
  const picture = el("img", { class: "example", alt: example.name, src: URL.createObjectURL(example) });
  const colours = el("input", { type: "checkbox" });
  const check = el(
    "label",
    { class: "check" },
    colours,
    el("span", {}, t("style.teach.colours"), el("small", {}, t("style.teach.colours.hint"))),
  );
  const go = el("button", { type: "button", class: "primary" }, t("style.teach.go"));
  const { close } = openDialog(
    t("style.teach.title"),
    [picture, field(t("style.name"), name, t("style.teach.hint")), check],
    [go],
    { onclose: () => URL.revokeObjectURL(picture.src) },
  );
  go.addEventListener("click", () => {
    if (!name.reportValidity()) return;
    close();
    begin({ photo: example, name: name.value, keep_colour: colours.checked ? 1 : 0 });
  });
}

/** Teach, with a row in the panel that shows how far it is; the photo can be worked at meanwhile. */
const teachStyle = telling(async (underway, wanted) => {
  const progress = el("progress", { max: 1, "aria-label": t("job.style") });
  const left = el("span", { class: "hint number" });
  const stop = el("button", { type: "button", disabled: true }, icon("stop"), t("job.cancel"));
  const row = el(
    "div",
    { class: "card", role: "group", "aria-label": t("job.style") },
    el("div", { class: "card-head" }, el("strong", {}, wanted.name), el("span", { class: "spring" }), left, stop),
    progress,
  );
  underway.append(row);
  announce(t("job.style"));
  try {
    const job = await send("/api/styles", { ...wanted, model: state.session.model });
    stop.disabled = false;
    stop.addEventListener(
      "click",
      telling(() => cancel(job)),
    );
    await follow(job, (now) => {
      if (now.progress > 0) progress.value = now.progress;
      fill(left, timeLeft(now));
    });
    toast(t("style.taught.done", { name: wanted.name }));
    document.dispatchEvent(new Event("styles"));
  } finally {
    row.remove();
  }
});

// Translators.

function translatorSection() {
  const models = () => hereFor("translate");
  const wanted = { strength: 1 };
  const strength = percent(
    wanted.strength,
    (share) => (wanted.strength = share),
    () => {},
  );
  const box = el("div", { class: "group" });
  let show = () => {};
  watch(["session", "job"], () => show());
  const looks = tries(() =>
    models().map(({ name }) => ({
      step: { step: "translate", model: name },
      label: name,
      act: telling(() => translate(name, wanted.strength)),
    })),
  );
  const follow = () => {
    const here = models();
    if (!here.length)
      return fill(
        box,
        el("p", { class: "hint" }, t("style.translate.none")),
        el("button", { type: "button", class: "quiet", onclick: () => update({ area: "models" }) }, t("start.models")),
      );
    const model = select(
      here.map((one) => [one.name, one.name]),
      here[0].name,
      null,
      { "aria-label": t("style.translate") },
    );
    const go = el(
      "button",
      { type: "button", onclick: telling(() => translate(model.value, wanted.strength)) },
      t("style.translate.go"),
    );
    const out = iconButton(
      "close",
      t("style.translate.out"),
      telling(() => translate(present("translate").model, 0)),
    );
    show = () => {
      out.hidden = !present("translate");
      go.disabled = out.disabled = !canFinish() || Boolean(state.job);
    };
    show();
    looks.refresh();
    fill(box, looks.node, el("div", { class: "row" }, model, go, out), strength.node);
  };
  watch(["models"], follow);
  follow();
  return section("translate", el("p", { class: "hint" }, t("style.translate.hint")), box);
}
