// Enlarge: more pixels, with an upscaler that is here.

import { enlarge } from "../bench.js";
import { el, field, fill, icon, segments, select } from "../dom.js";
import { t } from "../i18n/index.js";
import { state, update, watch } from "../state.js";
import { telling } from "../toast.js";
import { hereFor } from "./models.js";

const SCALES = [2, 3, 4];

export function enlargeTab() {
  const wanted = { scale: 2, model: null };
  const box = el("div", { class: "group" });
  const size = el("p", { class: "facts" });
  const go = el("button", { type: "button", class: "primary", "data-enlarge": "", onclick: telling(() => enlarge(wanted.model, wanted.scale)) }, icon("enlarge"), el("span", {}, t("enlarge.go")));
  const showSize = () => {
    const { session } = state;
    if (!session) return;
    const now = session.result ?? session;
    const to = `${Math.round(now.width * wanted.scale)} × ${Math.round(now.height * wanted.scale)}`;
    fill(size, el("span", { class: "number" }, `${now.width} × ${now.height}`), el("span", { "aria-hidden": "true" }, "→"), el("strong", { class: "number" }, to));
    go.disabled = session.state !== "ready" || Boolean(state.job);
  };
  const build = () => {
    const models = hereFor("upscale");
    wanted.model = models[0]?.name ?? null;
    const model = models.length ? field(t("model"), select([...models.map((one) => [one.name, one.name]), ["", t("enlarge.plain")]], wanted.model, (value) => (wanted.model = value || null))) : null;
    const offer = !models.length && el("div", { class: "card" }, el("p", { class: "hint" }, t("enlarge.none")), el("button", { type: "button", class: "quiet", onclick: () => update({ area: "models" }) }, t("start.models")));
    const scale = segments(t("enlarge.scale"), SCALES.map((one) => [String(one), `${one}×`]), "2", (value) => {
      wanted.scale = Number(value);
      showSize();
    });
    fill(box, el("p", { class: "hint" }, t("enlarge.hint")), scale, model, offer, size, go);
    showSize();
  };
  watch(["models"], build);
  watch(["session", "job"], showSize);
  build();
  return box;
}
