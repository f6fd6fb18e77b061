// Draws the stage: photo before or after, the newest preview over it, the region. At most once a frame.

import { pictures } from "../bench.js";
import { state, watch } from "../state.js";
import { region } from "../tools/region.js";
import { view } from "./view.js";

const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("canvas"));
const context = canvas.getContext("2d");
const soft = document.createElement("canvas"); // the preview with soft edges
const still = document.createElement("canvas"); // the photo as it lies on the stage: smoothing it takes longest
const PIXELS_FROM = 8; // stage pixels a photo pixel: from there on its pixels are shown as squares
let lying = []; // what `still` shows, and how
let asked = false;
let peeking = false; // Tab is held: the original, whatever is chosen

/** Where the dividing line stands, 0 … 1 of the photo's width. */
export const divider = { at: 0.5 };

/** While Tab (or the eye) is held, the original is shown. */
export function peek(on) {
  if (peeking === on) return;
  peeking = on;
  document.getElementById("stage").classList.toggle("peeking", on);
  repaint();
}

function repaint() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(draw);
}

function draw() {
  asked = false;
  const ratio = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  document.dispatchEvent(new Event("painted"));
  if (!state.session || !pictures.before) return;
  context.setTransform(view.scale * ratio, 0, 0, view.scale * ratio, view.x * ratio, view.y * ratio);
  context.imageSmoothingEnabled = view.scale < PIXELS_FROM;
  context.imageSmoothingQuality = "high";
  const mode = peeking ? "before" : state.compare;
  if (mode === "before") drawPhoto(pictures.before);
  else drawAfter();
  if (mode === "split") drawSplit();
  if (mode !== "before") drawRegion();
}

function drawPhoto(bitmap, pen = context) {
  pen.drawImage(bitmap, 0, 0, state.session.width, state.session.height);
}

/** The photo under a preview, which changes many times while the photo does not. */
function drawStill(bitmap) {
  const { width, height } = canvas;
  const now = [bitmap, width, height, view.scale, view.x, view.y];
  if (now.some((part, i) => part !== lying[i])) {
    lying = now;
    Object.assign(still, { width, height });
    const pen = still.getContext("2d");
    pen.setTransform(context.getTransform());
    pen.imageSmoothingEnabled = context.imageSmoothingEnabled;
    pen.imageSmoothingQuality = context.imageSmoothingQuality;
    drawPhoto(bitmap, pen);
  }
  context.save();
  context.resetTransform();
  context.drawImage(still, 0, 0);
  context.restore();
}

function drawAfter() {
  const photo = pictures.after ?? pictures.before;
  if (pictures.live) drawStill(photo);
  else drawPhoto(photo);
  const { crop } = state.session;
  if (!pictures.live || !crop) return;
  context.save();
  context.beginPath();
  context.rect(0, 0, state.session.width, state.session.height); // the square may reach over the edge
  context.clip();
  context.translate(crop.x, crop.y);
  context.rotate(((crop.angle_deg ?? 0) * Math.PI) / 180);
  context.drawImage(softened(pictures.live), -crop.side / 2, -crop.side / 2, crop.side, crop.side);
  context.restore();
}

/** The preview fades out toward its edges, where nothing changes: the sharp photo shows there. */
function softened(bitmap) {
  const size = bitmap.width;
  Object.assign(soft, { width: size, height: size });
  const pen = soft.getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  pen.globalCompositeOperation = "destination-in";
  for (const [x, y] of [
    [size, 0],
    [0, size],
  ]) {
    const edge = pen.createLinearGradient(0, 0, x, y);
    for (const [stop, alpha] of [
      [0, 0],
      [0.06, 1],
      [0.94, 1],
      [1, 0],
    ])
      edge.addColorStop(stop, `rgba(0,0,0,${alpha})`);
    pen.fillStyle = edge;
    pen.fillRect(0, 0, size, size);
  }
  pen.globalCompositeOperation = "source-over";
  return soft;
}

function drawSplit() {
  context.save();
  context.beginPath();
  context.rect(0, 0, state.session.width * divider.at, state.session.height);
  context.clip();
  drawPhoto(pictures.before);
  context.restore();
}

function drawRegion() {
  if (!region.shown || !region.canvas) return;
  context.globalAlpha = state.tool === "brush" ? 0.45 : 0.22;
  context.drawImage(region.tinted(), 0, 0, state.session.width, state.session.height);
  context.globalAlpha = 1;
}

document.addEventListener("repaint", repaint);
watch(["session", "compare", "tool"], repaint);
