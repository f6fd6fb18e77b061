// The address says where one is, so that Back, Forward and a reload lead there: #/, #/edit/PROJECT/PHOTO, #/models, …

import { closePhoto, isAtHand, openStored } from "./bench.js";
import { state, update, watch } from "./state.js";
import { telling } from "./toast.js";

const AREAS = ["directions", "training", "models"];
let arriving = null; // the place the address leads to, until the page is there
let session = null; // that the address was written for

/** Where the page is, as an address. */
function here() {
  if (state.area !== "edit") return `#/${state.area}`;
  return state.session?.project ? `#/edit/${state.session.project}/${state.session.photo}` : "#/";
}

/** Where the address leads: {area, project, photo}. */
export function place() {
  const [area, project, photo] = location.hash.slice(2).split("/");
  return AREAS.includes(area) ? { area } : { area: "edit", project: area === "edit" ? project : undefined, photo };
}

/** The page has moved: so does the address, unless it is the address that leads. */
function follow() {
  if (arriving && state.area === arriving.area) return; // on the way; in another area the reader has gone elsewhere
  arriving = null;
  const now = here();
  const same = state.area === "edit" && state.session && state.session.id === session;
  session = state.session?.id ?? null;
  if (now === (location.hash || "#/")) return;
  if (same && location.hash.startsWith("#/edit/"))
    history.replaceState(null, "", now); // its place in the project changed
  else history.pushState(null, "", now);
}

/** Go where the address leads. */
export async function arrive() {
  const goal = place();
  const { area, project, photo } = goal;
  arriving = goal;
  try {
    update({ area });
    if (area !== "edit" || (project && isAtHand(photo))) return;
    if (project) await openStored(project, photo);
    else await closePhoto(); // also what is just being opened
  } finally {
    if (arriving === goal) {
      arriving = null;
      follow();
    }
  }
}

export function startWay() {
  watch(["area", "session"], follow);
  addEventListener("popstate", telling(arrive));
}
