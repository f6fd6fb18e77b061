// The first thing one sees: where to put a photo, or a number for a picture out of nothing.

import { download } from "../api.js";
import { openSeed } from "../bench.js";
import { el, fill, icon, iconButton, select } from "../dom.js";
import { t } from "../i18n/index.js";
import { licenceOf } from "../i18n/models.js";
import { choice, choosePhotos, EFFORTS, open } from "../intake.js";
import { loadProjects } from "../projects.js";
import { state, update, watch } from "../state.js";
import { complain, telling } from "../toast.js";
import { fetchModel, hereFor, megabytes } from "./models.js";
import { projectList } from "./projects.js";

const TRUNCATION = 0.7;

export function mountStart() {
  const start = document.getElementById("start");
  const stage = document.getElementById("stage");
  const list = projectList();
  let opened = false;
  const follow = () => {
    if (opened && !state.session) loadProjects().catch(complain); // what was changed meanwhile
    opened = Boolean(state.session);
    start.hidden = Boolean(state.session);
    document.body.classList.toggle("empty", !state.session);
    say(stage);
    if (start.hidden || !state.info) return;
    const focused = start.contains(document.activeElement) && document.activeElement?.id; // models come late
    fill(
      start,
      dropCard(),
      hereFor("generate").length ? seedCard() : null,
      offer(),
      state.projects.length ? list : null,
    );
    if (focused) document.getElementById(focused)?.focus();
  };
  watch(["info", "models", "session", "projects"], follow);
  follow();
}

function say(stage) {
  stage.setAttribute("role", "application");
  stage.setAttribute("aria-roledescription", String(t("stage.kind")));
  stage.setAttribute(
    "aria-label",
    String(state.session ? t("stage.label", { name: state.name || "" }) : t("stage.empty")),
  );
}

function dropCard() {
  const choose = el(
    "button",
    { type: "button", class: "primary large", id: "choose", onclick: choosePhotos },
    icon("photo"),
    t("start.choose"),
  );
  const sample = el(
    "button",
    { type: "button", class: "quiet", id: "sample", onclick: telling(openSample) },
    t("start.sample"),
  );
  return el(
    "section",
    { class: "drop" },
    el("div", { class: "drop-mark" }, icon("photo")),
    el("h1", {}, t("start.title")),
    el("p", {}, t("start.how")),
    el("div", { class: "row centre" }, choose, sample),
    options(),
  );
}

/** Which model and how long the search may take. */
function options() {
  const models = hereFor("generate");
  if (!models.length) return null;
  choice.model ??= state.info.default_model ?? models[0].name;
  const model =
    models.length > 1 &&
    el(
      "label",
      {},
      el("span", {}, t("model")),
      select(
        models.map((one) => [one.name, one.name]),
        choice.model,
        (value) => (choice.model = value),
      ),
    );
  const effort = el(
    "label",
    {},
    el("span", {}, t("effort")),
    select(
      EFFORTS.map((one) => [one, t(`effort.${one}`)]),
      choice.effort,
      (value) => (choice.effort = value),
    ),
  );
  return [el("div", { class: "start-options" }, model, effort), el("small", { class: "hint" }, t("effort.hint"))];
}

async function openSample() {
  const { blob } = await download("/api/sample.jpg");
  await open(new File([blob], "astronaut.jpg", { type: blob.type }));
}

function seedCard() {
  const seed = el("input", { type: "number", id: "seed", min: 0, step: 1, value: 3, "aria-label": t("start.seed") });
  const roll = iconButton("seed", t("start.roll"), () => (seed.value = Math.floor(Math.random() * 100_000)));
  const go = el("button", { type: "submit", id: "seed-go" }, t("start.seed.go"));
  const begin = telling(() => openSeed(Math.max(0, Math.floor(Number(seed.value) || 0)), choice.model, TRUNCATION));
  const submit = (event) => {
    event.preventDefault();
    begin();
  };
  const hint = el("small", { class: "hint" }, t("seed.hint"));
  return el("form", { class: "seed-card", onsubmit: submit }, el("span", {}, t("start.or")), seed, roll, go, hint);
}

/** Without the face model: what it is, under which licence, and the button that fetches it. */
export function offer() {
  const wanted = state.models.find((model) => model.name === "faces" && !model.here);
  if (!wanted || hereFor("generate").some((model) => model.faces)) return null;
  const go = el(
    "button",
    { type: "button", class: "primary", onclick: () => fetchModel(wanted) },
    icon("save"),
    t("models.get"),
    wanted.size_bytes && el("span", { class: "number" }, megabytes(wanted.size_bytes)),
  );
  const more = el(
    "button",
    { type: "button", class: "quiet", onclick: () => update({ area: "models" }) },
    t("start.models"),
  );
  return el(
    "section",
    { class: "card offer" },
    el("div", { class: "card-head" }, icon("face"), el("strong", {}, t("start.offer"))),
    el("p", {}, t("start.offer.text")),
    el("p", { class: "licence" }, t("models.licence"), " ", el("strong", {}, licenceOf(wanted.licence ?? ""))),
    el("div", { class: "row" }, go, more),
  );
}
document.addEventListener("language", () => say(document.getElementById("stage")));
