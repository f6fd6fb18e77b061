// Enlarge: more pixels, with an upscaler that is here.

import { enlarge } from "../bench.js";
import { el, field, fill, icon, segments, select } from "../dom.js";
import { t } from "../i18n/index.js";
import { canFinish, state, update, watch } from "../state.js";
import { telling } from "../toast.js";
import { hereFor } from "./models.js";
import { slider } from "./tool-options.js";

const SCALES = [2, 3, 4];

export function enlargeTab() {
  const wanted = { scale: 2, model: null, strength: 1 };
  const box = el("div", { class: "group" });
  const size = el("p", { class: "facts" });
  const go = el(
    "button",
    {
      type: "button",
      class: "primary",
      "data-enlarge": "",
      onclick: telling(() => enlarge(wanted.model, wanted.scale, wanted.strength)),
    },
    icon("enlarge"),
    el("span", {}, t("enlarge.go")),
  );
  const out = el(
    "button",
    { type: "button", class: "quiet", onclick: telling(() => enlarge(null, 1, 1)) },
    t("enlarge.out"),
  );
  const strength = slider(t("style.strength"), { min: 0, max: 100, step: 1 }, (value) => {
    wanted.strength = value / 100;
    strength.output.value = `${value} %`;
  });
  strength.input.value = 100;
  strength.output.value = "100 %";
  const showSize = () => {
    const { session } = state;
    if (!session) return;
    const to = `${session.width * wanted.scale} × ${session.height * wanted.scale}`;
    out.hidden = !session.steps?.some((one) => one.step === "upscale");
    fill(
      size,
      el("span", { class: "number" }, `${session.width} × ${session.height}`),
      el("span", { "aria-hidden": "true" }, "→"),
      el("strong", { class: "number" }, to),
    );
    go.disabled = !canFinish() || Boolean(state.job);
  };
  const choose = (model) => {
    wanted.model = model;
    strength.node.hidden = !model;
  };
  const build = () => {
    const models = hereFor("upscale");
    wanted.model = models[0]?.name ?? null;
    const model = models.length
      ? field(
          t("model"),
          select([...models.map((one) => [one.name, one.name]), ["", t("enlarge.plain")]], wanted.model, (value) =>
            choose(value || null),
          ),
        )
      : null;
    strength.node.hidden = !wanted.model;
    const offer =
      !models.length &&
      el(
        "div",
        { class: "card" },
        el("p", { class: "hint" }, t("enlarge.none")),
        el("button", { type: "button", class: "quiet", onclick: () => update({ area: "models" }) }, t("start.models")),
      );
    const scale = segments(
      t("enlarge.scale"),
      SCALES.map((one) => [String(one), `${one}×`]),
      "2",
      (value) => {
        wanted.scale = Number(value);
        showSize();
      },
    );
    fill(box, el("p", { class: "hint" }, t("enlarge.hint")), scale, model, strength.node, offer, size, go, out);
    showSize();
  };
  watch(["models"], build);
  watch(["session", "job"], showSize);
  build();
  return box;
}
