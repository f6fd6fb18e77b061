// Photos come in: dropped, pasted, or chosen. One is opened; several are offered together.

import { bringIn, chooseFace, lookForFaces, openPhoto, replay, resumeEditing } from "./bench.js";
import { frameFace } from "./canvas/stage.js";
import { ask } from "./dialog.js";
import { el } from "./dom.js";
import { t } from "./i18n/index.js";
import { showIncoming } from "./incoming.js";
import { announce } from "./say.js";
import { state, update, watch } from "./state.js";
import { complain, telling, toast } from "./toast.js";
import { onFace } from "./tools/faces.js";

const PICTURES = "image/*,.heic,.heif,.avif,.tif,.tiff,.ganvas";
export const EFFORTS = ["fast", "standard", "best"]; // of a search
export const choice = { model: null, effort: "fast" }; // what the start card says

let takeProject = null; // takes a project's file in; see startIntake
let openSeveral = null; // shows several photos together; see startIntake
let chooser = null; // held, so that the browser does not collect it while its dialog is open

/** The browser's dialog for files. */
export function choosePhotos() {
  chooser = el("input", {
    type: "file",
    accept: PICTURES,
    multiple: true,
    onchange: ({ target }) => take([...target.files]),
  });
  chooser.click();
}

/** A dialog for one file; `then` gets it. */
export function chooseFile(accept, then) {
  chooser = el("input", { type: "file", accept, onchange: ({ target }) => target.files[0] && then(target.files[0]) });
  chooser.click();
}

export const choosePicture = (then) => chooseFile(PICTURES, then);

/** Files from wherever: a recipe is replayed, one picture is opened, several are offered together. */
export const take = telling(async (files) => {
  const recipes = files.filter((file) => file.name.endsWith(".json"));
  const projects = files.filter((file) => file.name.endsWith(".ganvas"));
  for (const file of projects) await takeProject(file);
  const photos = files.filter((file) => !recipes.includes(file) && !projects.includes(file));
  if (recipes.length && state.session) {
    await replay(JSON.parse(await recipes[0].text()));
    toast(t("recipe.replayed"));
  }
  if (photos.length > 1) openSeveral(photos);
  else if (photos.length === 1) await open(photos[0]);
});

/** Open one photo and go as far as goes without a question. */
export async function open(photo) {
  const limit = state.info?.limits?.upload_bytes;
  if (limit && photo.size > limit)
    return complain({
      kind: "TooLarge",
      message: String(t("error.large", { mb: Math.round(photo.size / 1e6), limit: Math.round(limit / 1e6) })),
      hint: String(t("error.large.hint")),
    });
  update({ area: "edit" });
  document.body.classList.add("opening");
  let there = false;
  try {
    const model = choice.model ? { model: choice.model } : {};
    there = await showIncoming(photo, (onProgress) => openPhoto(photo, { ...model, onProgress }));
  } finally {
    document.body.classList.remove("opening");
  }
  if (there) await goOn();
}

/** After opening: take the editing of a saved picture up again, bring in the only face, or wait for a choice. */
async function goOn() {
  const { session } = state;
  if (session.state !== "faces") return;
  if (session.resumable && (await takeUp(session))) return;
  const noFace = session.needs_face && !session.faces.length;
  if (!session.model || noFace) return; // it can be finished and saved all the same
  if (session.faces.length > 1) announce(t("faces.several", { n: session.faces.length }));
  else await bring(session.faces.length ? 0 : null);
}

async function takeUp(session) {
  const steps = session.recipe?.steps?.length ?? 0;
  const text = el("p", {}, t("recipe.found", { n: steps }));
  if (!(await ask(t("recipe.found.title"), text, t("recipe.resume"), t("recipe.plain")))) return false;
  await resumeEditing();
  return true;
}

/** Bring a face in, and say how well that went. */
export const bring = telling(async (face, effort = choice.effort) => {
  await bringIn(face, effort);
  announce(t("fidelity.ready"));
  frameFace();
});

/** Go over to a face: back to its own steps if it was brought in before, else it is searched for. */
export const turnTo = telling(async (face) => {
  if (state.session.faces[face]?.found) await chooseFace(face);
  else await bring(face);
});

/** A photo was opened before there was a model: go on now. */
const goOnLater = telling(async () => {
  const { session, info } = state;
  if (session?.state !== "faces" || session.model || !info?.models?.length || state.job) return;
  await lookForFaces();
  await goOn();
});

function pasted(event) {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) take(files);
}

function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const files = [...event.dataTransfer.files];
  if (files.length) take(files);
}

/** Begin to listen; `several` is called with photos that came together, `project` with a project's file. */
export function startIntake(several, project) {
  openSeveral = several;
  takeProject = project;
  onFace(turnTo);
  watch(["info"], goOnLater);
  addEventListener("paste", pasted);
  addEventListener("drop", dropped);
  addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => !event.relatedTarget && document.body.classList.remove("dropping"));
}
