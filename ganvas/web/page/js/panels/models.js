// Models: what is here, what can be fetched, and under which licences.

import { get, post } from "../api.js";
import { ask } from "../dialog.js";
import { el, fill, icon } from "../dom.js";
import { t } from "../i18n/index.js";
import { aboutOf, licenceOf } from "../i18n/models.js";
import { follow, timeLeft } from "../jobs.js";
import { state, update, watch } from "../state.js";
import { telling, toast } from "../toast.js";

const TASKS = ["generate", "upscale", "translate", "detect", "features"];
const fetching = new Map(); // name → job

export const megabytes = (bytes) => (bytes ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : "");

/** Ask with the licence in view, fetch, and let everybody know what is here now. */
export const fetchModel = telling(async (model) => {
  const pedigree = Object.entries(model.pedigree ?? {}).filter(([, licence]) => licence && licence !== "none");
  const body = [
    el("p", {}, aboutOf(model)),
    el(
      "div",
      { class: "card licence-card" },
      el("strong", {}, licenceOf(model.licence)),
      el(
        "dl",
        { class: "facts-list" },
        pedigree
          .map(([part, licence]) => [el("dt", {}, t(`licence.${part}`)), el("dd", {}, licenceOf(licence))])
          .flat(),
      ),
    ),
    el("p", { class: "hint" }, model.restricted ? t("models.restricted") : t("models.ask")),
  ];
  if (!(await ask(t("models.fetch", { name: model.name }), body, t("models.accept")))) return;
  fetching.set(model.name, { progress: 0, state: "queued" });
  changed();
  try {
    await follow(await post(`/api/models/${encodeURIComponent(model.name)}/get`, { accept_licence: true }), (job) => {
      fetching.set(model.name, job);
      changed();
    });
    toast(t("models.fetched", { name: model.name }));
  } finally {
    fetching.delete(model.name);
    await loadModels();
    changed();
  }
});

/** What this studio is and has, for everybody who shows it. */
export async function loadModels() {
  const [info, models] = await Promise.all([get("/api/info"), get("/api/models")]);
  update({ info, models });
}

const changed = () => document.dispatchEvent(new Event("models"));

export function modelsArea() {
  const node = el("div", { class: "model-groups" });
  const show = () =>
    fill(
      node,
      TASKS.map((task) =>
        group(
          task,
          state.models.filter((model) => model.task === task),
        ),
      ),
    );
  for (const event of ["models", "language"]) document.addEventListener(event, show);
  watch(["models"], show);
  show();
  return { node, enter: telling(loadModels) };
}

function group(task, models) {
  if (!models.length) return null;
  return el(
    "section",
    { class: "model-group" },
    el("h2", {}, t(`task.${task}`)),
    el("p", { class: "hint" }, t(`task.${task}.about`)),
    el("div", { class: "grid" }, [...models].sort((a, b) => b.here - a.here).map(card)),
  );
}

function card(model) {
  const job = fetching.get(model.name);
  const facts = [model.family, model.resolution && `${model.resolution} px`, megabytes(model.size_bytes)]
    .filter(Boolean)
    .join(" · ");
  return el(
    "article",
    { class: `card model ${model.here ? "here" : ""}`, "data-model": model.name },
    el(
      "div",
      { class: "card-head" },
      el("strong", {}, model.name),
      el("span", { class: "spring" }),
      model.here ? el("span", { class: "badge good" }, icon("check"), t("models.here")) : null,
    ),
    el("p", {}, aboutOf(model)),
    el("p", { class: "hint number" }, facts),
    el(
      "p",
      { class: `licence ${model.restricted ? "restricted" : ""}` },
      t("models.licence"),
      " ",
      el("span", {}, licenceOf(model.licence)),
    ),
    job ? progress(job) : actions(model),
  );
}

function progress(job) {
  const bar = el("progress", { max: 1, "aria-label": t("job.fetch") });
  if (job.progress > 0) bar.value = job.progress;
  return el("div", { class: "row" }, bar, el("span", { class: "number" }, timeLeft(job)));
}

function actions(model) {
  if (model.here) return null;
  if (model.fetchable === false) return el("p", { class: "hint" }, t("models.byhand"));
  return el(
    "div",
    { class: "row" },
    el("button", { type: "button", onclick: () => fetchModel(model) }, icon("save"), t("models.get")),
  );
}

/** Models of a task that are here. */
export const hereFor = (task) => state.models.filter((model) => model.task === task && model.here);

/** Generators that are here, for lists: [name, name]. */
export const generatorsHere = () => hereFor("generate").map((model) => [model.name, model.name]);
