// Projects: photos that the studio keeps on its disk with all that was done to them.

import { download, get, patch, post, remove, send, url } from "./api.js";
import { state, update } from "./state.js";

const at = (id, rest = "") => `/api/projects/${id}${rest}`;

/** The list for the start page, those that were changed last first. */
export async function loadProjects() {
  const projects = await get("/api/projects");
  update({ projects: projects.filter((project) => project.photos.length) });
}

/** What the project of the open photo holds now; null = there is none. */
export async function refreshProject(id = state.project?.id) {
  update({ project: id ? await get(at(id)) : null });
}

/** The project that takes a new photo: the one that is open, or one of the photo's name. */
export async function projectFor(name) {
  if (state.project) return { id: state.project.id, fresh: false };
  const stem = name.replace(/\.\w+$/, "").slice(0, 100) || "photo";
  return { id: (await post("/api/projects", { name: stem })).id, fresh: true };
}

export const renameProject = (id, name) => patch(at(id), { name });
export const duplicateProject = (id) => post(at(id, "/duplicate"));
export const deleteProject = (id) => remove(at(id));
export const deletePhoto = (id, photo) => remove(at(id, `/photos/${photo}`));
export const importProject = (file) => send("/api/projects/import", { file });
export const exportProject = (id) => download(at(id, "/export.ganvas"));

/** The address of a photo's small picture. */
export const smallPicture = (project, photo) =>
  photo.thumbnail ? url(at(project, `/photos/${photo.id}/small.jpg`), { v: photo.changed }) : null;
