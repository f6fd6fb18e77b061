// The start page's list of what was worked on: open it again, rename, copy, export, delete.

import { closePhoto, openStored } from "../bench.js";
import { ask, openDialog } from "../dialog.js";
import { el, field, fill, icon, iconButton } from "../dom.js";
import { language, t } from "../i18n/index.js";
import { chooseFile } from "../intake.js";
import {
  deleteProject,
  duplicateProject,
  exportProject,
  importProject,
  loadProjects,
  refreshProject,
  renameProject,
  smallPicture,
} from "../projects.js";
import { state, watch } from "../state.js";
import { telling, toast } from "../toast.js";
import { saveAs } from "./save.js";

const SHOWN = 3; // pictures of a project in the list

/** A section with every project; hidden while there are none but for the button that takes one in. */
export function projectList() {
  const list = el("div", { class: "project-grid" });
  const take = el(
    "button",
    { type: "button", class: "quiet", onclick: () => chooseFile(".ganvas", takeIn) },
    icon("open"),
    t("projects.import"),
  );
  const heading = el("h2", { id: "projects-heading" }, t("projects"));
  const head = el("div", { class: "row" }, heading, el("span", { class: "spring" }), take);
  const section = el(
    "section",
    { class: "projects", "aria-labelledby": "projects-heading" },
    head,
    list,
    el("p", { class: "hint" }, t("projects.hint")),
  );
  const follow = () => fill(list, (state.projects ?? []).map(card));
  watch(["projects"], follow);
  document.addEventListener("language", follow);
  follow();
  return section;
}

function card(project) {
  const photos = [...project.photos].sort((a, b) => b.changed - a.changed);
  const open = telling(async () => {
    await openStored(project.id, photos[0].id);
  });
  const when = new Date(project.changed * 1000).toLocaleDateString(language, {
    day: "numeric",
    month: "short",
    year: "numeric",
  });
  const pictures = photos.slice(0, SHOWN).map((photo) => small(project, photo));
  const main = el(
    "button",
    { type: "button", class: "project-open", "data-project": project.id, onclick: open },
    el("span", { class: "project-pictures" }, pictures),
    el("strong", {}, project.name),
    el("small", {}, t("projects.count", { n: photos.length }), " · ", when),
  );
  const tools = [
    iconButton("brush", t("projects.rename", { name: project.name }), () => rename(project), { class: "small" }),
    iconButton(
      "copy",
      t("projects.duplicate", { name: project.name }),
      telling(() => again(duplicateProject(project.id))),
      { class: "small" },
    ),
    iconButton(
      "save",
      t("projects.export", { name: project.name }),
      telling(() => exported(project)),
      { class: "small" },
    ),
    iconButton(
      "trash",
      t("projects.delete", { name: project.name }),
      telling(() => away(project)),
      { class: "small" },
    ),
  ];
  return el("article", { class: "card project" }, main, el("div", { class: "row project-tools" }, tools));
}

/** How a photo looks now, small; a drawing where it was never shown. */
export function small(project, photo) {
  const src = smallPicture(project.id, photo);
  return src ? el("img", { src, alt: "", loading: "lazy" }) : icon("photo");
}

async function again(work) {
  await work;
  await loadProjects();
}

/** Ask for a project's name. */
export function rename(project) {
  const name = el("input", { type: "text", required: true, maxlength: 100, value: project.name, autofocus: true });
  const go = el("button", { type: "submit", class: "primary" }, t("projects.rename.go"));
  const form = el("form", { id: "rename" }, field(t("projects.name"), name));
  go.setAttribute("form", "rename");
  const { close } = openDialog(t("projects.rename", { name: project.name }), form, [go]);
  form.addEventListener(
    "submit",
    telling(async (event) => {
      event.preventDefault();
      await renameProject(project.id, name.value.trim());
      close();
      await loadProjects();
      if (state.project?.id === project.id) await refreshProject();
    }),
  );
}

async function exported(project) {
  const { blob, name } = await exportProject(project.id);
  saveAs(blob, name || `${project.name}.ganvas`);
}

async function away(project) {
  const text = el("p", {}, t("projects.delete.ask", { name: project.name, n: project.photos.length }));
  if (!(await ask(t("projects.delete", { name: project.name }), text, t("projects.delete.go")))) return;
  if (state.project?.id === project.id) await closePhoto();
  await again(deleteProject(project.id));
}

/** A project's file from elsewhere: taken in, and its first photo opened. */
export const takeIn = telling(async (file) => {
  const project = await importProject(file);
  toast(t("projects.imported", { name: project.name }));
  await openStored(project.id, project.photos[0].id);
});
