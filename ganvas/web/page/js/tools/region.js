// The region that edits are limited to, as a small mask over the whole photo. White = may change.

import { choosePart, clearRegion, readRegion, setRegion } from "../bench.js";
import { state } from "../state.js";
import { telling } from "../toast.js";

const LONGEST_PX = 1024; // of the mask; the server stretches it over the photo
const SEND_MS = 500; // after the last stroke
const REMEMBERED = 20; // strokes that can be taken back
const TINT = "#ff4d8d";

export const region = {
  canvas: null, // the mask's picture: alpha says how much may change
  shown: true,
  feather_px: null, // in photo pixels; null = as wide as suits the photo
  strokes: [], // the mask before each stroke
  tinted,
};

const tint = document.createElement("canvas");
let timer = null;
let changes = 0; // of the mask
let sent = Promise.resolve();

const repaint = () => document.dispatchEvent(new Event("repaint"));
const changed = () => (repaint(), document.dispatchEvent(new Event("region")));

/** Mask pixels a photo pixel. */
export const maskScale = () => Math.min(1, LONGEST_PX / Math.max(state.session.width, state.session.height));

export const featherDefault = () =>
  Math.max(2, Math.round((state.session.crop?.side ?? Math.min(state.session.width, state.session.height)) / 32));

function blank() {
  const scale = maskScale();
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(state.session.width * scale));
  canvas.height = Math.max(1, Math.round(state.session.height * scale));
  return canvas;
}

/** The mask in one colour, to lay over the photo. */
function tinted() {
  Object.assign(tint, { width: region.canvas.width, height: region.canvas.height });
  const pen = tint.getContext("2d");
  pen.drawImage(region.canvas, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = TINT;
  pen.fillRect(0, 0, tint.width, tint.height);
  pen.globalCompositeOperation = "source-over";
  return tint;
}

/** Forget the mask of another photo; take over the one the server has. */
export async function takeOver() {
  Object.assign(region, { canvas: null, strokes: [], feather_px: state.session?.region?.feather_px ?? null });
  const asked = ++changes;
  if (state.session?.region) {
    const grey = await readRegion();
    if (asked !== changes) return; // painted or taken away meanwhile
    region.canvas = blank();
    region.canvas.getContext("2d").drawImage(fromGrey(grey), 0, 0, region.canvas.width, region.canvas.height);
  }
  changed();
}

function fromGrey(bitmap) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  const pen = canvas.getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const data = pen.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < data.data.length; i += 4) data.data[i + 3] = data.data[i];
  pen.putImageData(data, 0, 0);
  return canvas;
}

/** Before a stroke: remember the mask, so that the stroke can be taken back. */
export function beginStroke() {
  changes += 1;
  region.strokes.push(region.canvas && copy(region.canvas));
  if (region.strokes.length > REMEMBERED) region.strokes.shift();
  region.canvas ??= blank();
  region.shown = true;
}

function copy(canvas) {
  const other = document.createElement("canvas");
  Object.assign(other, { width: canvas.width, height: canvas.height });
  other.getContext("2d").drawImage(canvas, 0, 0);
  return other;
}

/** Paint (or erase) from one place of the photo to another; size is the brush's diameter in photo pixels. */
export function stroke([x0, y0], [x1, y1], size, erase) {
  const pen = region.canvas.getContext("2d");
  const scale = maskScale();
  pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
  Object.assign(pen, { lineWidth: Math.max(1, size * scale), lineCap: "round", strokeStyle: "#fff" });
  pen.beginPath();
  pen.moveTo(x0 * scale, y0 * scale);
  pen.lineTo(x1 * scale + 0.01, y1 * scale);
  pen.stroke();
  repaint();
}

/** After a stroke: the server learns of it soon. */
export function endStroke() {
  changed();
  clearTimeout(timer);
  timer = setTimeout(sendMask, SEND_MS);
}

/** Take the last stroke back; false if there is none. */
export function undoStroke() {
  if (!region.strokes.length) return false;
  region.canvas = region.strokes.pop();
  endStroke();
  return true;
}

/** The region becomes parts of the picture: {parts: [...]}, or the one at a place of the photo, {at: [x, y]}. */
export const takePart = telling(async (which) => {
  await regionSent();
  await choosePart(which);
  await takeOver();
  region.shown = true;
  changed();
});

/** What was kept may change, and the other way round. */
export function invertRegion() {
  beginStroke();
  const pen = region.canvas.getContext("2d");
  pen.globalCompositeOperation = "source-out";
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, region.canvas.width, region.canvas.height);
  pen.globalCompositeOperation = "source-over";
  endStroke();
}

export function eraseRegion() {
  beginStroke();
  region.canvas = null;
  endStroke();
}

export function setFeather(px) {
  region.feather_px = px;
  if (region.canvas) endStroke();
}

export function showRegion(on) {
  region.shown = on;
  changed();
}

const sendMask = telling(() => {
  sent = sent.catch(() => {}).then(deliver);
  return sent;
});

async function deliver() {
  if (!state.session) return;
  if (!region.canvas) {
    if (state.session.region) await clearRegion();
    return;
  }
  await setRegion(await asPng(region.canvas), region.feather_px ?? featherDefault());
}

/** Everything that was painted is at the server when this is done. */
export async function regionSent() {
  if (timer === null) return;
  clearTimeout(timer);
  timer = null;
  await sendMask();
}

function asPng(mask) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: mask.width, height: mask.height });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(mask, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

document.addEventListener("opened", telling(takeOver));
// The diameter is in stage pixels, so that zooming in paints finer.
export const brush = { size_px: 40, erase: false, part: false };

/** [ and ]: a fifth smaller or larger. */
export function resizeBrush(factor) {
  brush.size_px = Math.min(400, Math.max(4, Math.round(brush.size_px * factor)));
  document.dispatchEvent(new Event("region"));
  repaint();
}
