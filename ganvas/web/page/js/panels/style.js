// Style: take shape or colours from another picture, a taught style, a translator.

import { get, send } from "../api.js";
import { doStep, mixPhoto, translate } from "../bench.js";
import { openDialog } from "../dialog.js";
import { el, field, fill, freshId, icon, iconButton, segments, select } from "../dom.js";
import { t } from "../i18n/index.js";
import { choosePicture } from "../intake.js";
import { follow } from "../jobs.js";
import { state, update, watch } from "../state.js";
import { complain, telling, toast } from "../toast.js";
import { hereFor } from "./models.js";
import { slider } from "./tool-options.js";

export function styleTab() {
  return [mixSection(), taughtSection(), translatorSection()];
}

function section(name, ...children) {
  const heading = el("h3", { id: freshId("style") }, t(`style.${name}`));
  return el("section", { class: "group", "aria-labelledby": heading.id, "data-section": name }, heading, children);
}

/** Buttons that need a photo that is ready, and nobody else at work. */
function whenReady(...buttons) {
  const follow = () => {
    for (const button of buttons) button.disabled = state.session?.state !== "ready" || Boolean(state.job);
  };
  watch(["session", "job"], follow);
  follow();
}

function percent(label, value, onvalue) {
  const made = slider(label, { min: 0, max: 100, step: 1 }, (now) => {
    made.output.value = `${now} %`;
    onvalue(now / 100);
  });
  made.input.value = value * 100;
  made.output.value = `${Math.round(value * 100)} %`;
  return made.node;
}

// Mix.

function mixSection() {
  const wanted = { layers: "colour", strength: 0.7 };
  const seed = el("input", { type: "number", min: 0, step: 1, value: 7, "aria-label": t("start.seed"), class: "short" });
  const roll = iconButton("seed", t("start.roll"), () => (seed.value = Math.floor(Math.random() * 100_000)), { class: "small" });
  const fromSeed = el("button", { type: "button", "data-mix": "seed", onclick: telling(() => doStep("mix", { seed: Math.floor(Number(seed.value) || 0), layers: wanted.layers, strength: wanted.strength })) }, t("style.mix.seed"));
  const fromPhoto = el("button", { type: "button", "data-mix": "photo", onclick: () => choosePicture(telling((file) => mixPhoto(file, wanted.layers, wanted.strength))) }, icon("photo"), t("style.mix.photo"));
  whenReady(fromSeed, fromPhoto);
  return section(
    "mix",
    el("p", { class: "hint" }, t("style.mix.hint")),
    segments(t("style.what"), [["shape", t("style.shape")], ["colour", t("style.colour")], ["all", t("style.all")]], wanted.layers, (value) => (wanted.layers = value)),
    percent(t("style.strength"), wanted.strength, (value) => (wanted.strength = value)),
    el("div", { class: "row" }, fromPhoto),
    el("div", { class: "row" }, seed, roll, fromSeed),
  );
}

// Taught styles.

function taughtSection() {
  const wanted = { strength: 1 };
  const list = el("div", { class: "cards" });
  const teach = el("button", { type: "button", onclick: () => choosePicture(openTeach) }, icon("plus"), t("style.teach"));
  whenReady(teach);
  const load = async () => {
    try {
      const answer = await get("/api/styles", state.session?.model ? { model: state.session.model } : {});
      const styles = answer.styles ?? answer;
      fill(list, styles.length ? styles.map((style) => card(style, wanted)) : el("p", { class: "hint" }, t("style.none")));
    } catch (error) {
      if (error.status !== 404) complain(error);
    }
  };
  let model = null;
  watch(["session", "tab"], () => {
    if (state.tab !== "style" || !state.session || model === state.session.model) return;
    model = state.session.model;
    load();
  });
  document.addEventListener("styles", load);
  return section("taught", list, percent(t("style.strength"), 1, (value) => (wanted.strength = value)), teach);
}

function card(style, wanted) {
  const button = el("button", { type: "button", class: "choice", onclick: telling(() => doStep("stylise", { style: style.name, strength: wanted.strength })) }, icon("style"), el("span", {}, style.name), style.about && el("small", {}, style.about));
  whenReady(button);
  return button;
}

/** Teach the generator a style from one picture. */
function openTeach(example) {
  const name = el("input", { type: "text", maxlength: 64, pattern: "[\\w-]+", required: true, value: example.name.replace(/\.\w+$/, "").replace(/[^\w-]/g, "-").slice(0, 40) });
  const picture = el("img", { class: "example", alt: example.name, src: URL.createObjectURL(example) });
  const progress = el("progress", { max: 1, hidden: true, "aria-label": t("job.style") });
  const go = el("button", { type: "button", class: "primary" }, t("style.teach.go"));
  const { close } = openDialog(t("style.teach"), [picture, field(t("style.name"), name, t("style.teach.hint")), progress], [go]);
  go.addEventListener("click", async () => {
    if (!name.reportValidity()) return;
    go.disabled = true;
    progress.hidden = false;
    try {
      const job = await send("/api/styles", { photo: example, name: name.value, model: state.session.model });
      await follow(job, (now) => now.progress > 0 && (progress.value = now.progress));
      close();
      toast(t("style.taught.done", { name: name.value }));
      document.dispatchEvent(new Event("styles"));
    } catch (error) {
      complain(error);
      go.disabled = false;
    }
  });
}

// Translators.

function translatorSection() {
  const models = () => hereFor("translate");
  const box = el("div", {});
  const follow = () => {
    const here = models();
    if (!here.length) return fill(box, el("p", { class: "hint" }, t("style.translate.none")), el("button", { type: "button", class: "quiet", onclick: () => update({ area: "models" }) }, t("start.models")));
    const model = select(here.map((one) => [one.name, one.name]), here[0].name, null, { "aria-label": t("style.translate") });
    const go = el("button", { type: "button", onclick: telling(() => translate(model.value)) }, t("style.translate.go"));
    whenReady(go);
    fill(box, el("div", { class: "row" }, model, go));
  };
  watch(["models"], follow);
  follow();
  return section("translate", el("p", { class: "hint" }, t("style.translate.hint")), box);
}
