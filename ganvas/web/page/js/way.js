// The address says where one is, so that Back, Forward and a reload lead there: #/, #/edit/PROJECT/PHOTO, #/models, …

import { closePhoto, openStored } from "./bench.js";
import { refreshProject } from "./projects.js";
import { state, update, watch } from "./state.js";
import { telling } from "./toast.js";

const AREAS = ["directions", "training", "models"];
let arriving = false; // the address leads, not the page
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

function follow() {
  if (arriving) return;
  const now = here();
  const same = state.area === "edit" && state.session && state.session.id === session;
  session = state.session?.id ?? null;
  if (now === (location.hash || "#/")) return;
  if (same && location.hash.startsWith("#/edit/")) history.replaceState(null, "", now); // its place in the project changed
  else history.pushState(null, "", now);
}

/** Go where the address leads. */
export async function arrive() {
  const { area, project, photo } = place();
  arriving = true;
  try {
    update({ area });
    if (area !== "edit" || (project && state.session?.photo === photo)) return;
    if (project) await openStored(project, photo);
    else if (state.session) await leaveForStart();
  } finally {
    arriving = false;
    follow();
  }
}

async function leaveForStart() {
  await closePhoto();
  await refreshProject(null);
}

export function startWay() {
  watch(["area", "session"], follow);
  addEventListener("popstate", telling(arrive));
}
