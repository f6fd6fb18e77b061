// The tools at the left, and what the chosen one can be set to.

import { fit, fitSquare, zoomBy } from "../canvas/view.js";
import { el, fill, iconButton, say } from "../dom.js";
import { t } from "../i18n/index.js";
import { state, update, watch } from "../state.js";

const TOOLS = [
  ["hand", "hand"],
  ["drag", "pull"],
  ["brush", "brush"],
];

/** As large as fits: the square that is edited. */
export const zoomToFace = () => state.session?.crop && fitSquare(state.session.crop);

export function mountRail() {
  const rail = document.getElementById("rail");
  say(rail, "aria-label", t("tools"));
  const buttons = TOOLS.map(([tool, drawing]) =>
    iconButton(drawing, t(`tool.${tool}`), () => update({ tool }), { "data-tool": tool, class: "tool" }),
  );
  const face = iconButton("face", t("zoom.face"), zoomToFace);
  const zoom = [
    face,
    iconButton("plus", t("zoom.in"), () => zoomBy(1.25)),
    iconButton("minus", t("zoom.out"), () => zoomBy(0.8)),
    iconButton("fit", t("zoom.fit"), fit),
  ];
  fill(rail, buttons, el("span", { class: "spring" }), zoom);
  const follow = () => {
    const ready = state.session?.state === "ready";
    rail.hidden = !state.session;
    face.disabled = !state.session?.crop;
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === state.tool));
      button.disabled = !ready && button.dataset.tool !== "hand";
    }
  };
  watch(["session", "tool"], follow);
  follow();
}
