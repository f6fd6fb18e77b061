// The photos of the open project, in a row below the stage; only where there are several.

import { openStored } from "../bench.js";
import { ask } from "../dialog.js";
import { el, fill, iconButton, say } from "../dom.js";
import { t } from "../i18n/index.js";
import { choosePhotos } from "../intake.js";
import { deletePhoto, refreshProject } from "../projects.js";
import { state, watch } from "../state.js";
import { telling } from "../toast.js";
import { rename, small } from "./projects.js";

export function mountStrip() {
  const strip = document.getElementById("strip");
  const follow = () => {
    const { project, session } = state;
    strip.hidden = !session || !project || project.photos.length < 2;
    if (strip.hidden) return;
    say(strip, "aria-label", t("strip", { name: project.name }));
    const name = el(
      "button",
      {
        type: "button",
        class: "quiet strip-name",
        title: t("projects.rename", { name: project.name }),
        onclick: () => rename(project),
      },
      project.name,
    );
    const more = iconButton("plus", t("strip.more"), choosePhotos, { class: "small" });
    const gone = iconButton("trash", t("strip.delete"), telling(deleteCurrent), { class: "small" });
    fill(
      strip,
      name,
      el(
        "div",
        { class: "strip-photos" },
        project.photos.map((photo, index) => thumb(project, photo, index)),
      ),
      more,
      gone,
    );
  };
  watch(["project", "session"], follow);
  follow();
}

function thumb(project, photo, index) {
  const here = photo.id === state.session.photo;
  const label = t("strip.photo", { n: index + 1, name: photo.name });
  const go = telling(() => (here ? null : openStored(project.id, photo.id)));
  return el(
    "button",
    {
      type: "button",
      class: "strip-photo",
      "aria-label": label,
      title: photo.name,
      "aria-current": String(here),
      onclick: go,
    },
    small(project, photo),
  );
}

async function deleteCurrent() {
  const { project, session } = state;
  if (
    !(await ask(t("strip.delete"), el("p", {}, t("strip.delete.ask", { name: state.name })), t("projects.delete.go")))
  )
    return;
  const rest = project.photos.filter((photo) => photo.id !== session.photo);
  await openStored(project.id, rest[0].id);
  await deletePhoto(project.id, session.photo);
  await refreshProject();
}
