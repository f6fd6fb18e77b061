// Variants: the photo as it was at several moments, or as several dials, seeds and upscalers would make it, to compare.

import { deleteVariant, keepVariant, makeVariants, renameVariant, useVariant, variantPicture } from "../bench.js";
import { openDialog } from "../dialog.js";
import { el, field, fill, freshId, icon, iconButton, nearest } from "../dom.js";
import { t } from "../i18n/index.js";
import { canFinish, state, watch } from "../state.js";
import { telling } from "../toast.js";
import { directionName, variantName } from "./names.js";
import { hereFor } from "./models.js";
import { openSave } from "./save.js";

const SMALL_PX = 256;
const LARGE_PX = 1024;
const [FEWEST, MOST] = [2, 9];
const SHARES = [0.35, 0.65, 1]; // of a dial's range: three amounts
const FARTHEST_ZOOM = 8;
const chosen = new Set(); // ids that are to be compared

export function variantsTab() {
  const name = el("input", {
    type: "text",
    maxlength: 60,
    "aria-label": t("variants.name"),
    placeholder: t("variants.name"),
  });
  const keep = el("button", { type: "submit", class: "primary" }, icon("plus"), t("variants.keep"));
  const form = el(
    "form",
    {
      class: "row one-line",
      onsubmit: telling(async (event) => {
        event.preventDefault();
        await keepVariant(
          name.value.trim() || String(t("variants.numbered", { n: (state.session.variants?.length ?? 0) + 1 })),
        );
        name.value = "";
      }),
    },
    name,
    keep,
  );
  const list = el("ul", { class: "variants" });
  const compare = el(
    "button",
    { type: "button", class: "wide-button", onclick: () => openCompare(wanted()) },
    icon("split"),
    t("variants.compare"),
  );
  const follow = () => {
    const { session } = state;
    const free = canFinish() && !state.job;
    keep.disabled = !free;
    const variants = session?.variants ?? [];
    compare.disabled = wanted().length < FEWEST || wanted().length > MOST;
    const now = JSON.stringify([session?.id, variants, free]);
    if (now === list.dataset.shown) return;
    list.dataset.shown = now;
    fill(
      list,
      variants.map((variant) => row(variant, free, follow)),
    );
  };
  watch(["session", "job"], follow);
  document.addEventListener("language", () => ((list.dataset.shown = ""), follow()));
  follow();
  return [el("p", { class: "hint" }, t("variants.hint")), form, list, compare, makeSection()];
}

/** Those that are ticked; none ticked = the newest that can stand beside one another. */
function wanted() {
  const variants = state.session?.variants ?? [];
  const ticked = variants.filter(({ id }) => chosen.has(id));
  return ticked.length ? ticked : variants.slice(-MOST);
}

function row({ id, name: given }, free, changed) {
  const variant = { id, name: variantName(given) };
  const tick = el("input", {
    type: "checkbox",
    checked: chosen.has(variant.id),
    "aria-label": t("variants.tick", { name: variant.name }),
    onchange: ({ target }) => (target.checked ? chosen.add(variant.id) : chosen.delete(variant.id), changed()),
  });
  const name = el("input", {
    type: "text",
    class: "variant-name",
    maxlength: 60,
    required: true,
    value: variant.name,
    "aria-label": t("variants.rename", { name: variant.name }),
    onchange: telling(({ target }) => target.reportValidity() && renameVariant(variant.id, target.value)),
  });
  const go = el(
    "button",
    {
      type: "button",
      class: "variant-picture",
      disabled: !free,
      "aria-label": t("variants.use", { name: variant.name }),
      title: t("variants.use", { name: variant.name }),
      onclick: telling(() => useVariant(variant.id)),
    },
    el("img", { src: variantPicture(variant.id, SMALL_PX), alt: "", loading: "lazy" }),
  );
  const gone = iconButton(
    "trash",
    t("variants.delete", { name: variant.name }),
    telling(() => (chosen.delete(variant.id), deleteVariant(variant.id))),
    { class: "small" },
  );
  return el("li", {}, go, el("div", { class: "row" }, tick, name, gone));
}

/** Several at once: amounts of a dial, seeds, upscalers. */
function makeSection() {
  const heading = el("h2", { class: "minor", id: freshId("make") }, t("variants.make"));
  const dial = el("select", { "aria-label": t("variants.dial") });
  const amounts = el(
    "button",
    {
      type: "button",
      "data-make": "amounts",
      onclick: telling(() => makeVariants({ kind: "amounts", direction: dial.value, amounts: amountsOf(dial.value) })),
    },
    t("variants.amounts"),
  );
  const seeds = el(
    "button",
    {
      type: "button",
      "data-make": "seeds",
      onclick: telling(() => makeVariants({ kind: "seeds", seeds: freshSeeds() })),
    },
    icon("seed"),
    t("variants.seeds"),
  );
  const upscalers = el(
    "button",
    { type: "button", "data-make": "upscalers", onclick: telling(() => makeVariants({ kind: "upscalers" })) },
    icon("enlarge"),
    t("variants.upscalers"),
  );
  let shown = "";
  const follow = () => {
    const ready = state.session?.state === "ready" && !state.job;
    const names = (state.session?.directions ?? []).map((one) => one.name);
    if (shown !== names.join())
      fill(
        dial,
        names.map((name) => el("option", { value: name }, directionName(name))),
      );
    shown = names.join();
    amounts.disabled = dial.disabled = !ready || !names.length;
    seeds.disabled = !ready;
    upscalers.disabled = !canFinish() || Boolean(state.job);
    upscalers.title = hereFor("upscale")
      .map((one) => one.name)
      .join(", ");
  };
  watch(["session", "job", "models"], follow);
  follow();
  return el(
    "section",
    { class: "group", "aria-labelledby": heading.id },
    heading,
    el("div", { class: "row one-line" }, dial, amounts),
    el("div", { class: "row" }, seeds, upscalers),
  );
}

function amountsOf(name) {
  const { high } = state.session.directions.find((one) => one.name === name);
  return SHARES.map((share) => Math.round(high * share * 100) / 100);
}

const freshSeeds = () => Array.from({ length: 4 }, () => Math.floor(Math.random() * 100_000));

/** Beside one another, zoomed and moved together. */
function openCompare(variants) {
  const view = { scale: 1, x: 0, y: 0 };
  const grid = el("div", { class: "compare-grid", "data-count": variants.length });
  const place = () => {
    for (const [name, value] of [
      ["--scale", view.scale],
      ["--x", `${view.x}px`],
      ["--y", `${view.y}px`],
    ])
      grid.style.setProperty(name, value);
  };
  const zoom = (by) => {
    view.scale = Math.min(FARTHEST_ZOOM, Math.max(1, view.scale * by));
    if (view.scale === 1) view.x = view.y = 0;
    place();
  };
  fill(
    grid,
    variants.map((variant) => figure(variant, () => close())),
  );
  grid.addEventListener("wheel", (event) => (event.preventDefault(), zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2)), {
    passive: false,
  });
  grid.addEventListener("pointermove", (event) => {
    if (!event.buttons || nearest(event, "button")) return;
    view.x += event.movementX;
    view.y += event.movementY;
    place();
  });
  const closer = iconButton("plus", t("zoom.in"), () => zoom(1.5));
  const farther = iconButton("minus", t("zoom.out"), () => zoom(1 / 1.5));
  const { dialog, close } = openDialog(
    t("variants.compare"),
    [grid, field(t("variants.together"), el("div", { class: "row" }, closer, farther))],
    [],
    { wide: true },
  );
  dialog.classList.add("compare");
  place();
}

function figure({ id, name }, close) {
  const variant = { id, name: variantName(name) };
  const take = (then) =>
    telling(async () => {
      close();
      await useVariant(variant.id);
      then?.();
    });
  const use = el(
    "button",
    { type: "button", "aria-label": t("variants.use", { name: variant.name }), onclick: take() },
    icon("check"),
    t("variants.take"),
  );
  const save = el(
    "button",
    { type: "button", "aria-label": t("variants.save", { name: variant.name }), onclick: take(openSave) },
    icon("save"),
    t("save"),
  );
  return el(
    "figure",
    {},
    el(
      "div",
      { class: "compare-picture" },
      el("img", { src: variantPicture(variant.id, LARGE_PX), alt: variant.name, draggable: "false" }),
    ),
    el("figcaption", { class: "row" }, el("strong", {}, variant.name), el("span", { class: "spring" }), use, save),
  );
}
