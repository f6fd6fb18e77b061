// Training: a folder of the server's machine, a preset, start; then the run's pictures and curves while it learns.

import { get, post, url } from "../api.js";
import { openDialog } from "../dialog.js";
import { el, field, fill, icon } from "../dom.js";
import { t } from "../i18n/index.js";
import { choice } from "../intake.js";
import { state, update } from "../state.js";
import { complain, telling, toast } from "../toast.js";
import { controlsOf, loadForms } from "./form.js";
import { loadModels } from "./models.js";

const ASK_MS = 4000;
const ASKED = new Set(["minutes"]); // settings that have a field of their own here
const FILES = { fakes: "fakes.jpg", curves: "curves.png" };

export function trainingArea() {
  const runs = el("div", { class: "runs", "aria-live": "off" });
  const form = trainForm(() => load());
  let timer = null;
  const load = async () => {
    clearTimeout(timer);
    try {
      await showRuns(runs);
    } catch (error) {
      if (error.kind !== "Offline") complain(error);
    }
    if (state.area === "training") timer = setTimeout(load, ASK_MS);
  };
  const node = el(
    "div",
    { class: "two-columns" },
    form.node,
    el("section", { "aria-label": t("training.runs") }, el("h2", {}, t("training.runs")), runs),
  );
  return { node, enter: () => (form.enter(), load()) };
}

// What to train.

function trainForm(started) {
  const wanted = { data: null, preset: "", minutes: 30 };
  const folder = el(
    "button",
    { type: "button", class: "folder-button", id: "folder" },
    icon("folder"),
    el("span", {}, t("training.choose")),
  );
  const preset = el("select", { id: "preset", onchange: () => ((wanted.preset = preset.value), about()) });
  const told = el("p", { class: "hint" });
  const minutes = el("input", {
    type: "number",
    min: 1,
    max: 100_000,
    step: 1,
    value: wanted.minutes,
    id: "minutes",
    class: "short",
  });
  const go = el(
    "button",
    { type: "submit", class: "primary", disabled: true },
    icon("play"),
    el("span", {}, t("training.start")),
  );
  const more = el("div", { class: "settings" });
  let presets = [];
  let settings = null;
  const about = () => {
    const one = presets.find(({ name }) => name === preset.value);
    fill(told, one ? [one.about, one.result && ` ${one.result}`] : t("training.auto.hint"));
    settings?.showDefaults(one?.settings ?? {});
  };
  folder.addEventListener("click", () =>
    chooseFolder((chosen, pictures) => {
      wanted.data = chosen;
      fill(
        folder,
        icon("folder"),
        el("span", {}, chosen || t("training.root")),
        pictures === null ? null : el("small", { class: "number" }, t("training.pictures", { n: pictures })),
      );
      go.disabled = false;
    }),
  );
  const submit = telling(async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await post("/api/train", {
        data: wanted.data,
        preset: wanted.preset || null,
        minutes: Number(minutes.value) || null,
        settings: settings?.read() ?? {},
      });
      toast(t("training.started"));
      started();
    } finally {
      go.disabled = false;
    }
  });
  const enter = telling(async () => {
    if (presets.length) return;
    const [answer, forms] = await Promise.all([get("/api/presets"), loadForms()]);
    presets = answer.presets ?? answer;
    settings = controlsOf(
      "training",
      forms.training.filter(({ name }) => !ASKED.has(name)),
      { blank: true },
    );
    fill(more, el("p", { class: "hint" }, t("training.settings.hint")), settings.nodes);
    fill(
      preset,
      el("option", { value: "" }, t("training.auto")),
      presets.map(({ name }) => el("option", { value: name }, name)),
    );
    about();
  });
  const node = el(
    "form",
    { class: "card train-form", onsubmit: submit },
    el("h2", {}, t("training.new")),
    el(
      "div",
      { class: "field" },
      el("span", { class: "label" }, t("training.folder")),
      folder,
      el("small", { class: "hint" }, t("training.folder.hint")),
    ),
    field(t("training.preset"), preset),
    told,
    field(t("training.minutes"), minutes, t("training.minutes.hint")),
    el("details", {}, el("summary", {}, t("training.settings")), more),
    go,
  );
  return { node, enter };
}

/** Walk through the folders that the server allows. */
function chooseFolder(chosen) {
  const path = el("p", { class: "path" });
  const list = el("ul", { class: "folders" });
  const use = el("button", { type: "button", class: "primary" }, t("training.use"));
  const { close } = openDialog(t("training.folder"), [path, list], [use]);
  const walk = telling(async (under) => {
    const here = await get("/api/folders", { under });
    fill(
      path,
      icon("folder"),
      el("span", {}, here.under || t("training.root")),
      el("span", { class: "spring" }),
      el("span", { class: "number" }, t("training.pictures", { n: here.pictures })),
    );
    const up = here.parent !== null && here.parent !== undefined ? [{ name: "..", path: here.parent }] : [];
    const pack = (one) => {
      close();
      chosen(one.path, null);
    };
    const archives = (here.archives ?? []).map((one) =>
      el(
        "li",
        {},
        folderButton(one, () => pack(one)),
      ),
    );
    fill(
      list,
      [...up, ...here.folders].map((one) =>
        el(
          "li",
          {},
          folderButton(one, () => walk(one.path)),
        ),
      ),
      archives,
    );
    use.disabled = !here.pictures;
    use.onclick = () => {
      close();
      chosen(here.under, here.pictures);
    };
  });
  walk("");
}

function folderButton({ name, pictures }, onclick) {
  const label = name === ".." ? t("training.up") : name;
  return el(
    "button",
    { type: "button", onclick },
    icon(name === ".." ? "back" : "folder"),
    el("span", {}, label),
    el("span", { class: "spring" }),
    pictures ? el("small", { class: "number" }, t("training.pictures", { n: pictures })) : null,
  );
}

// Runs.

async function showRuns(node) {
  const answer = await get("/api/runs");
  const runs = answer.runs ?? answer;
  if (!runs.length) return fill(node, el("div", { class: "empty" }, icon("training"), el("p", {}, t("training.none"))));
  const kept = new Map([...node.children].map((child) => [child.dataset.run, child]));
  const cards = runs.map((run) => kept.get(run.name) ?? el("article", { class: "card run", "data-run": run.name }));
  if (cards.some((card, at) => card !== node.children[at]) || cards.length !== node.children.length) fill(node, cards);
  for (const run of runs) {
    const card = cards[runs.indexOf(run)];
    const wanted = JSON.stringify(run);
    if (card.shown === wanted && run.state !== "running") continue;
    card.shown = wanted;
    showRun(card, { ...run, ...(await get(`/api/runs/${encodeURIComponent(run.name)}`)) });
  }
}

function showRun(card, run) {
  const stamp = run.kimg ?? run.nimg ?? 0;
  const address = (file) => url(`/api/runs/${encodeURIComponent(run.name)}/${file}`, { v: stamp });
  const figures = [
    run.kimg !== undefined && run.kimg !== null && `${Number(run.kimg).toFixed(run.kimg < 10 ? 1 : 0)} kimg`,
    run.resolution && `${run.resolution} px`,
    run.minutes && String(t("training.min", { n: Math.round(run.minutes) })),
    run.eta_sec && String(t("left.min", { n: Math.max(1, Math.round(run.eta_sec / 60)) })),
  ].filter(Boolean);
  const { head, pictures, log, acts } = (card.parts ??= partsOf(card));
  fill(
    head,
    el("strong", {}, run.name),
    el("span", { class: `badge ${run.state}` }, t(`run.${run.state}`)),
    el("span", { class: "spring" }),
    el("span", { class: "hint number" }, figures.join(" · ")),
  );
  fill(
    pictures,
    (run.pictures ?? []).map((kind) =>
      runPicture(card, kind, address(FILES[kind]), t(`training.${kind}`, { name: run.name })),
    ),
  );
  log.hidden = !run.log?.length;
  fill(log.lastChild, [run.log ?? []].flat().slice(-12).join("\n"));
  const now = `${run.state} ${run.model}`;
  if (acts.dataset.of === now) return; // a button that is being pressed stays
  acts.dataset.of = now;
  fill(acts, run.state === "running" && stopButton(run), run.model && editButton(run));
}

/** What a run's card is made of; it stays while what it shows changes. */
function partsOf(card) {
  const head = el("div", { class: "card-head" });
  const pictures = el("div", { class: "run-pictures" });
  const log = el("details", {}, el("summary", {}, t("training.log")), el("pre", {}));
  const acts = el("div", { class: "row" });
  fill(card, head, pictures, log, acts);
  return { head, pictures, log, acts };
}

/** The same <img> again with a new address, so that nothing flickers while it loads; a click shows it in full size. */
function runPicture(card, kind, src, alt) {
  const link =
    card.querySelector(`a[data-kind=${kind}]`) ??
    el("a", { "data-kind": kind, target: "_blank", hidden: true }, el("img", { class: "run-picture" }));
  const img = /** @type {any} */ (link.firstChild);
  img.onload = () => (link.hidden = false);
  img.onerror = () => (link.hidden = true);
  img.alt = String(alt);
  link.href = src;
  if (img.src !== src) img.src = src;
  return link;
}

function stopButton(run) {
  return el(
    "button",
    { type: "button", onclick: telling(() => post(`/api/runs/${encodeURIComponent(run.name)}/stop`)) },
    icon("stop"),
    t("training.stop"),
  );
}

function editButton(run) {
  return el(
    "button",
    { type: "button", class: "primary", onclick: () => editWith(run.model) },
    icon("photo"),
    t("training.edit"),
  );
}

/** Take a generator that was trained here to the photo. */
const editWith = telling(async (model) => {
  choice.model = model;
  await loadModels();
  update({ area: "edit" });
  toast(t("training.chosen", { name: model }), state.session ? String(t("training.chosen.hint")) : "");
});
