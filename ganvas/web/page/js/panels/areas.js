// The areas beside the photo: directions, training, models. Each is built when it is first entered.

import { el, fill } from "../dom.js";
import { t } from "../i18n/index.js";
import { state, watch } from "../state.js";
import { directionsArea } from "./directions.js";
import { modelsArea } from "./models.js";
import { trainingArea } from "./training.js";

const AREAS = { directions: directionsArea, training: trainingArea, models: modelsArea };

export function mountAreas() {
  const workshop = document.getElementById("workshop");
  const edit = document.getElementById("edit");
  const built = {};
  const follow = () => {
    const { area } = state;
    edit.hidden = area !== "edit";
    workshop.hidden = area === "edit";
    document.body.dataset.area = area;
    if (area === "edit") return;
    built[area] ??= AREAS[area]();
    built[area].enter?.();
    const heading = el(
      "header",
      { class: "area-head" },
      el("h1", { tabindex: "-1" }, t(`area.${area}`)),
      el("p", {}, t(`area.${area}.about`)),
    );
    fill(workshop, el("div", { class: "area-page" }, heading, built[area].node));
    heading.querySelector("h1").focus({ preventScroll: true });
  };
  watch(["area"], follow);
  follow();
}
