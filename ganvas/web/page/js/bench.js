// What the page does with the photo on the bench: open, bring in, change, go back, render. One call of the API each.

import {
  ApiError,
  download,
  get,
  patch,
  picture,
  post,
  postForPicture,
  put,
  remove,
  send,
  upload,
  url,
} from "./api.js";
import { t } from "./i18n/index.js";
import { cancel, follow, isFollowed, tell } from "./jobs.js";
import { deleteProject, projectFor, refreshProject } from "./projects.js";
import {
  closeSlides,
  dropSlide,
  isNewest,
  isSliding,
  loseSlide,
  slideOn,
  slidePainted,
  slideThrough,
  slideTo,
} from "./slides.js";
import { Socket } from "./socket.js";
import { isEdited, state, update, watch } from "./state.js";
import { complain, telling } from "./toast.js";
import { view } from "./canvas/view.js";

const KEPT = "session"; // in sessionStorage: a reload takes the same session up again
const SCREEN_PX = [1600, 4096]; // longest side of the photo as it is shown: fitted, and zoomed in
const SETTLE_MS = 250; // after the last change, before the sharp picture is asked for

/** The pictures that are shown: the photo before and after, and the newest preview over it. */
export const pictures = { before: null, after: null, live: null };

let socket = null;
let loading = null; // AbortController of the sharp picture on its way
let shown = -1; // version of `pictures.after`
let settle = null;
let sized = SCREEN_PX[0]; // what the pictures were fetched at
let closer = null;
let turn = { photo: null }; // the newest opening or closing, and the photo it leads to

const here = (rest = "") => `/api/sessions/${state.session.id}${rest}`;
const repaint = () => document.dispatchEvent(new Event("repaint"));

// Open and close. What is overtaken gives way: whoever opens or closes takes a turn, and after each wait looks whether
// it is still the newest.

/** A turn at the bench: a function that says whether it is still the newest. */
function takeTurn(photo = null) {
  const mine = (turn = { photo });
  return () => mine === turn;
}

/** Whether this photo is on the bench and nothing else is on its way there. */
export const isAtHand = (photo) => state.session?.photo === photo && turn.photo === photo;

/** Put a photo on the bench; whether it is there, and was not overtaken. */
export function openPhoto(file, options = {}) {
  const name = file.name ?? "";
  const { onProgress = () => {}, ...fields } = options;
  return inProject(name, (project) => upload("/api/sessions", { photo: file, project, ...fields }, onProgress));
}

/** Open a photo in the project that is open, or in a new one that goes again if the photo cannot be opened. */
async function inProject(name, open) {
  const { id, fresh } = await projectFor(name);
  let session;
  try {
    session = await open(id);
  } catch (error) {
    if (fresh) await deleteProject(id).catch(() => {});
    throw error;
  }
  return begin(session, name, takeTurn(session.photo));
}

/** Open a photo of a project: its faces, its steps and its finish come with it. */
export async function openStored(project, photo) {
  const newest = takeTurn(photo);
  const { problem, ...session } = await post(`/api/projects/${project}/photos/${photo}/open`);
  if (newest() && state.session?.id !== session.id) await begin(session, session.name, newest);
  if (newest() && problem) complain(new ApiError(0, problem));
}

/** Begin with a picture that a generator makes of a number. */
export function openSeed(seed, model, truncation_psi) {
  return inProject(`seed ${seed}`, (project) => post("/api/sessions", { seed, model, truncation_psi, project }));
}

/** The photo that this tab had open, of a project. */
export const keptPhoto = () => JSON.parse(sessionStorage.getItem(KEPT) ?? "null")?.photo;

/** After a reload: the session this tab had, from the server's memory or from its project on the disk. */
export async function resume() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  if (!kept) return false;
  const newest = takeTurn(kept.photo);
  try {
    return await begin(await get(`/api/sessions/${kept.id}`), kept.name, newest);
  } catch (error) {
    if (error.status !== 404) throw error;
    sessionStorage.removeItem(KEPT);
    return kept.project ? openAgain(kept) : false;
  }
}

async function openAgain({ project, photo }) {
  try {
    await openStored(project, photo);
    return true;
  } catch (error) {
    if (error.status !== 404) throw error;
    return false; // the project was deleted
  }
}

async function begin(session, name, newest) {
  const old = state.session?.id;
  if (!newest()) return false;
  leave();
  const { job = null, ...given } = session;
  const { id, project = null, photo = null } = given;
  sessionStorage.setItem(KEPT, JSON.stringify({ id, name, project, photo }));
  Object.assign(pictures, { before: null, after: null, live: null });
  shown = -1;
  update({
    session: given,
    name,
    keep: new Set(given.directions?.flatMap((one) => one.keep ?? []) ?? []),
    compare: "after",
    job: null,
  });
  listen();
  if (job) adopt(job);
  await lookBefore();
  if (newest()) await refreshProject(project);
  if (!newest()) return false;
  document.dispatchEvent(new Event("opened"));
  repaint();
  if (isEdited()) await sharpen();
  // Waited for: who deletes the old photo next would else close its session first, and this would find none.
  if (old && old !== session.id) await remove(`/api/sessions/${old}`).catch(() => {});
  return newest();
}

/** Take the photo off the bench; the server forgets it, unless it is gone there already. */
export async function closePhoto({ gone = false } = {}) {
  const id = state.session?.id;
  takeTurn();
  leave();
  sessionStorage.removeItem(KEPT);
  Object.assign(pictures, { before: null, after: null, live: null });
  update({ session: null, project: null, name: "", job: null });
  if (id && !gone) await remove(`/api/sessions/${id}`).catch(() => {});
}

function leave() {
  socket?.close();
  loading?.abort();
  clearTimeout(settle);
  socket = null;
  delete document.getElementById("stage").dataset.version;
  slideThrough(() => false);
}

function listen() {
  socket = new Socket(state.session.id, {
    open: () => update({ connected: true }),
    close: () => {
      loseSlide();
      update({ connected: false });
    },
    gone: () => {
      comeBack().catch(complain);
    },
    state: ({ type, ...session }) => take(session),
    job: ({ type, ...job }) => (tell(job), adopt(job)),
    error: slideFailed,
    preview: showPreview,
  });
  slideThrough((message) => socket.send(message));
}

/** The server has closed the photo, or was started anew: a photo of a project is opened again. */
async function comeBack() {
  const { project, photo } = state.session ?? {};
  if (project && (await openAgain({ project, photo }))) return;
  complain(new ApiError(404, { message: String(t("session.gone")), hint: String(t("session.gone.hint")) }));
  await closePhoto({ gone: true });
}

/** A job of this photo that nobody here began: before a reload, or in another tab. */
function adopt(job) {
  if (!isFollowed(job)) work(job).catch(complain);
}

// What the server says about the session.

function take(session) {
  const before = state.session;
  if (before?.id !== session.id) return; // of a photo that was left
  if ((session.version ?? 0) < (before.version ?? 0)) return; // an older word that came late
  const moved = session.version !== before.version || session.face !== before.face;
  update({ session: { ...before, ...session }, ...(moved && { breakups: [] }) });
  if (isEdited() && state.session.version !== shown) sharpenSoon();
}

async function ask(method, path, body) {
  take(await method(here(path), body));
}

/** Run one of the session's jobs: its progress is shown at the foot of the photo. */
async function work(job) {
  const id = state.session?.id;
  try {
    return await follow(job, (now) => state.session?.id === id && update({ job: now }));
  } finally {
    if (id && state.session?.id === id) {
      update({ job: null });
      take(await get(here()));
    }
  }
}

/** Stop the job that runs now. */
export const stopJob = () => state.job && cancel(state.job);

// Pictures.

/** How large the photo is needed for the screen: as a rule 1600 pixels, more when it is zoomed in. */
function screenSize() {
  const { width, height } = state.session;
  const [fitted, large] = SCREEN_PX;
  return Math.max(width, height) * view.scale * devicePixelRatio > fitted ? large : fitted;
}

async function lookBefore() {
  sized = screenSize();
  const { id, version } = state.session;
  const before = await picture(here("/photo.jpg"), { which: "before", size: sized, v: version });
  if (state.session?.id === id) pictures.before = before;
}

/** Zoomed in beyond what was fetched: fetch more of it. */
const lookCloser = telling(async () => {
  if (!state.session || !pictures.before || state.job || screenSize() <= sized) return;
  const { id } = state.session;
  await lookBefore();
  repaint();
  if (state.session?.id === id && isEdited()) await sharpen();
});

function sharpenSoon() {
  clearTimeout(settle);
  const failed = (error) => error.status !== 404 && complain(error); // the socket tells of a closed one
  settle = setTimeout(() => sharpen().catch(failed), SETTLE_MS);
}

/** Ask for the whole photo as it is now, and show it instead of the preview. */
async function sharpen() {
  loading?.abort();
  loading = new AbortController();
  const { id, version } = state.session;
  try {
    const after = await picture(here("/photo.jpg"), { which: "after", size: screenSize(), v: version }, loading.signal);
    if (state.session?.id !== id || state.session.version !== version) return;
    shown = version;
    pictures.after = after;
    if (state.project?.photos.length > 1) refreshProject().catch(() => {}); // its small picture is new
    document.getElementById("stage").dataset.version = version; // for whoever waits for it, such as the page's tests
    if (!isSliding() && !state.job) {
      pictures.live = null;
      closeSlides();
    }
    repaint();
    await lookForBreakups(version);
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

/** Which sliders stand so far out that the picture breaks up; asked when the sharp picture is there. */
async function lookForBreakups(version) {
  if (state.job || !state.session?.directions?.some(({ amount }) => amount)) return;
  const { id } = state.session;
  const { breakups } = await get(here("/breakups")).catch(() => ({ breakups: [] })); // advice: never in the way
  if (state.session?.id === id && state.session.version === version) update({ breakups });
}

function showPreview(bitmap, header) {
  if (!isNewest(header)) return;
  pictures.live = bitmap;
  if (header.points) document.dispatchEvent(new CustomEvent("pulled", { detail: header.points }));
  repaint();
  slidePainted(header);
}

// Sliders.

/** Show where a direction would lead; nothing is remembered until `setAmount`. */
export const previewAmount = (direction, amount) => slideTo({ direction, amount, keep: keepFor(direction) });

/** Show what a step would do, such as a style at another strength; nothing is remembered until `doStep`. */
export const previewStep = (step) => slideTo({ step });

function slideFailed(error) {
  if (loseSlide()) complain(new ApiError(0, error));
  slideOn();
}

const keepFor = (direction) => [...state.keep].filter((name) => name !== direction);

/** Set a slider for good; "auto" and "-auto" go just as far as it takes. */
export async function setAmount(direction, amount) {
  dropSlide();
  const answer = await post(here("/set"), { direction, amount, keep: keepFor(direction) });
  return answer.kind ? work(answer) : take(answer);
}

/** Move sliders as a sentence asks; {understood: {keep, words}, searches}. */
export async function sayWords(sentence) {
  dropSlide();
  const answer = await post(here("/say"), { sentence, keep: [...state.keep] });
  if (answer.kind) return work(answer);
  const { understood, ...session } = answer;
  take(session);
  return { understood, searches: [] };
}

// Steps, history, region.

export const undo = () => state.session?.can_undo && ask(post, "/undo");
export const redo = () => state.session?.can_redo && ask(post, "/redo");
export const goTo = (at) => ask(post, "/goto", { at });
export const doStep = async (step, fields) => {
  dropSlide();
  const answer = await post(here("/do"), { step, ...fields });
  if (answer.kind) await work(answer);
  else take(answer);
};

/** How a step would look, small: the address of a picture. */
export const tryStep = (step, size) => postForPicture(here("/try.jpg"), step, { size });

/** Find a face (by number, from 0; null = the model wants none) in the generator. */
export async function bringIn(face, effort, more = {}) {
  const result = await work(await post(here("/invert"), { face, effort, ...more }));
  pictures.live = null;
  return result;
}

/** Edit another face that was brought in before; every face keeps its own steps. */
export const chooseFace = async (face) => {
  pictures.live = null;
  take(await post(here("/face"), { face }));
};

/** What the active face has, on all others that were brought in. */
export const copyToAll = () => ask(post, "/copy-to-all");

// Variants: states of the photo under names.

export const keepVariant = (name) => ask(post, "/variants", { name });
export const makeVariants = async (how) => work(await post(here("/variants/make"), how));
export const useVariant = (id) => ask(post, `/variants/${id}/apply`);
export const renameVariant = (id, name) => ask(patch, `/variants/${id}`, { name });
export const deleteVariant = (id) => ask(remove, `/variants/${id}`);
export const variantPicture = (id, size) => url(here(`/variants/${id}/photo.jpg`), { size });

/** Look for faces once more, since there is a model now. */
export const lookForFaces = () => ask(post, "/faces");

/** Take a saved picture's editing up again: its original, its latents, its history. */
export async function resumeEditing() {
  const { id } = state.session;
  await work(await post(here("/invert"), { resume: true }));
  if (state.session?.id !== id) return;
  await lookBefore();
  repaint();
}

/** Pull points to places, in pixels of the photo. */
export const drag = async (points, targets) => work(await post(here("/drag"), { points, targets }));

/** Edits that follow keep to this mask; those of the region that is set move along when it changes its shape. */
export const setRegion = async (mask, feather_px) =>
  take(await send(here("/region"), { mask, feather_px, reshape: state.session.region ? 1 : 0 }));
/** Edits that follow keep to parts of the picture: {parts: [...]} by name, or {at: [x, y]} by a place of the photo. */
export const choosePart = async (which) => take(await post(here("/region"), which));
export const clearRegion = async () => take(await remove(here("/region")));
export const readRegion = () => picture(here("/region.png"), { v: state.session.version });

/** Enlarge the result; scale 1 takes the enlargement out again. */
export const enlarge = async (model, scale, strength) => work(await post(here("/upscale"), { model, scale, strength }));

/** Repaint the result; strength 0 takes that out again. */
export const translate = async (model, strength) => work(await post(here("/translate"), { model, strength }));
export const mixPhoto = async (photo, part, strength) =>
  work(await send(here("/mix-photo"), { photo, part, strength }));

// Out.

/** The whole photo at full size as a file: {blob, name}. */
export async function render(format, quality, editing = false, disclose = true) {
  await work(await post(here("/render"), { format, quality, editing, disclose }));
  return download(here("/result"));
}

export const recipe = () => get(here("/recipe"));
export const replay = async (data) => {
  const answer = await put(here("/recipe"), data);
  if (answer.kind) await work(answer);
  else take(answer);
};

/** Original, latents and history as a file of their own: {blob, name}. */
export const editing = () => download(here("/editing.ganvas"));

document.addEventListener("zoomed", () => {
  clearTimeout(closer);
  closer = setTimeout(lookCloser, SETTLE_MS);
});
watch(["session"], repaint);
