// Regions that need no painting: parts of the face, from its five landmarks.

import { state } from "../state.js";

export const PLACES = ["face", "eyes", "mouth", "hair"];

/** Ellipses [x, y, width, height, angle] in photo pixels; null where no face is known. */
export function placeEllipses(place) {
  const { session } = state;
  const points = session?.faces?.[session.face ?? 0]?.points;
  if (!points) return null;
  const [left, right, nose, mouthLeft, mouthRight] = points;
  const angle = Math.atan2(right[1] - left[1], right[0] - left[0]);
  const apart = Math.hypot(right[0] - left[0], right[1] - left[1]);
  const down = [-Math.sin(angle), Math.cos(angle)];
  const below = ([x, y], share) => [x + down[0] * apart * share, y + down[1] * apart * share];
  const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const mouth = middle(mouthLeft, mouthRight);
  const eye = (point) => [...point, apart * 0.75, apart * 0.5, angle];
  return {
    face: [[...below(nose, 0.05), apart * 2.3, apart * 3.1, angle]],
    eyes: [eye(left), eye(right)],
    mouth: [[...mouth, apart * 1.25, apart * 0.85, angle]],
    hair: [[...below(middle(left, right), -1.15), apart * 3, apart * 1.7, angle]],
  }[place];
}
