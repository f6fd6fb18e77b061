// Where the photo lies on the stage: zoom and pan. Stage = CSS pixels of the stage, photo = pixels of the full photo.

const MARGIN_PX = 24;
const LARGEST = 16; // stage pixels a photo pixel

export const view = { scale: 1, x: 0, y: 0, fitted: true }; // stage = photo * scale + (x, y)

let stage = null; // { width, height } of the stage
let photo = null; // { width, height } of the photo
let square = null; // { x, y, side } that fills the stage, until somebody zooms or moves

const changed = () => document.dispatchEvent(new Event("repaint"));
const smallest = () => Math.min(0.05, fitScale());

function fitScale() {
  if (!photo || !stage) return 1;
  const margin = Math.min(MARGIN_PX, stage.width * 0.03);
  return Math.max(
    0.001,
    Math.min((stage.width - 2 * margin) / photo.width, (stage.height - 2 * margin) / photo.height),
  );
}

/** The stage or the photo has another size now. */
export function resize(newStage, newPhoto = photo) {
  const other = newPhoto?.width !== photo?.width || newPhoto?.height !== photo?.height;
  const [dx, dy] = stage ? [newStage.width - stage.width, newStage.height - stage.height] : [0, 0];
  stage = newStage;
  photo = newPhoto;
  if (square && !other) fitSquare(square);
  else if (view.fitted || other) fit();
  else pan(dx / 2, dy / 2); // what was in the middle stays there
}

/** Show the whole photo. */
export function fit() {
  if (!photo || !stage) return;
  view.scale = fitScale();
  view.x = (stage.width - photo.width * view.scale) / 2;
  view.y = (stage.height - photo.height * view.scale) / 2;
  view.fitted = true;
  square = null;
  changed();
}

/** Show a square of the photo (centre and side) as large as fits. */
export function fitSquare({ x, y, side }) {
  if (!stage) return;
  square = { x, y, side };
  const scale = Math.min(stage.width, stage.height) / (side * 1.15);
  Object.assign(view, { scale, x: stage.width / 2 - x * scale, y: stage.height / 2 - y * scale, fitted: false });
  changed();
  document.dispatchEvent(new Event("zoomed"));
}

/** Zoom so that the place under the pointer stays there. */
export function zoomAt(x, y, factor) {
  const scale = Math.min(LARGEST, Math.max(smallest(), view.scale * factor));
  view.x = x - (x - view.x) * (scale / view.scale);
  view.y = y - (y - view.y) * (scale / view.scale);
  view.scale = scale;
  view.fitted = false;
  square = null;
  changed();
  document.dispatchEvent(new Event("zoomed"));
}

/** Zoom about the middle of the stage; 1 = a photo pixel is a stage pixel. */
export function zoomTo(scale) {
  if (stage) zoomAt(stage.width / 2, stage.height / 2, scale / view.scale);
}

export const zoomBy = (factor) => zoomTo(view.scale * factor);

export function pan(dx, dy) {
  view.x += dx;
  view.y += dy;
  view.fitted = false;
  square = null;
  changed();
}

/** @type {(...place: number[]) => [number, number]} */
export const toPhoto = (x, y) => [(x - view.x) / view.scale, (y - view.y) / view.scale];
/** @type {(...place: number[]) => [number, number]} */
export const toStage = (x, y) => [x * view.scale + view.x, y * view.scale + view.y];
export const inPhoto = ([x, y]) => photo && x >= 0 && y >= 0 && x < photo.width && y < photo.height;
