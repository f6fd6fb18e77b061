// Sliders while they move: one preview is on its way at a time, and of those that wait only the newest.

const slide = { seq: 0, seen: 0, busy: null, next: null, open: false };
let send = (_message) => false;

/** Slides go out through this function from now on; it says whether that was possible. Earlier ones are forgotten. */
export function slideThrough(sender) {
  send = sender;
  Object.assign(slide, { busy: null, next: null });
}

export const isSliding = () => Boolean(slide.busy || slide.next);

/** Ask for a preview: of a direction at an amount, or of a step. */
export function slideTo(wanted) {
  slide.next = { ...wanted, since: performance.now() };
  slideOn();
}

/** What waits is not wanted any more: something was set for good. */
export function dropSlide() {
  slide.next = null;
}

/** The sharp picture is shown: previews that come late are of no use. */
export function closeSlides() {
  slide.open = false;
}

/** Nobody will answer what was sent: the connection is lost, or it was refused. Whether nothing newer waits. */
export function loseSlide() {
  slide.busy = null;
  return !slide.next;
}

/** Send what waits, if nothing is on its way. */
export function slideOn() {
  if (slide.busy || !slide.next) return;
  const { since, ...wanted } = slide.next;
  slide.next = null;
  slide.seq += 1;
  slide.open = true;
  if (send({ type: "slide", seq: slide.seq, ...wanted })) slide.busy = { seq: slide.seq, since };
}

/** Whether a preview is of the newest slide so far; those of jobs have no number and always are. */
export function isNewest({ seq }) {
  if (!Number.isInteger(seq)) return true;
  if (!slide.open || seq < slide.seen) return false;
  slide.seen = seq;
  return true;
}

/** A preview is being drawn: how long it took is measured, and the next goes out. */
export function slidePainted({ seq }) {
  if (!slide.busy || seq !== slide.busy.seq) return;
  const { since } = slide.busy;
  requestAnimationFrame(() => performance.measure("slide", { start: since, end: performance.now() }));
  slide.busy = null;
  slideOn();
}
