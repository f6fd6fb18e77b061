// The finished photo as a file, or on the clipboard; the recipe travels inside the file.

import { ApiError } from "../api.js";
import { render } from "../bench.js";
import { openDialog } from "../dialog.js";
import { el, fill, freshId, icon, segments } from "../dom.js";
import { t } from "../i18n/index.js";
import { canFinish, state } from "../state.js";
import { complain, toast } from "../toast.js";
import { slider } from "./tool-options.js";

const FORMATS = [
  ["png", "PNG"],
  ["jpeg", "JPEG"],
  ["webp", "WebP"],
];
const wanted = { format: "png", quality: 92, editing: true, disclose: true };

/** Hand a file to the reader's downloads. */
export function saveAs(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function openSave() {
  const quality = slider(t("save.quality"), { min: 50, max: 100, step: 1 }, (value) => {
    wanted.quality = value;
    quality.output.value = value;
  });
  quality.input.value = quality.output.value = wanted.quality;
  const hint = el("p", { class: "hint" });
  const keep = el(
    "label",
    { class: "check" },
    el("input", {
      type: "checkbox",
      checked: wanted.editing,
      onchange: ({ target }) => ((wanted.editing = target.checked), follow()),
    }),
    el("span", {}, t("save.editing"), el("small", {}, t("save.editing.hint"))),
  );
  const disclose = el(
    "label",
    { class: "check" },
    el("input", {
      type: "checkbox",
      checked: wanted.disclose,
      onchange: ({ target }) => (wanted.disclose = target.checked),
    }),
    el("span", {}, t("save.disclose"), el("small", {}, t("save.disclose.hint"))),
  );
  const follow = () => {
    keep.hidden = wanted.format !== "png";
    quality.node.hidden = wanted.format === "png";
    fill(hint, t(`save.${wanted.format}`));
  };
  const format = segments(t("save.format"), FORMATS, wanted.format, (value) => {
    wanted.format = value;
    follow();
  });
  const { width, height } = state.session.result ?? state.session;
  const facts = el(
    "p",
    { class: "facts" },
    el("span", { class: "number" }, `${width} × ${height}`),
    el("span", {}, t("save.recipe", { n: state.session.steps?.length ?? 0 })),
  );
  const go = el(
    "button",
    { type: "button", class: "primary", id: freshId("go"), "data-save": "" },
    icon("save"),
    t("save.go"),
  );
  const copy = el("button", { type: "button" }, icon("copy"), t("save.copy"));
  const { close } = openDialog(t("save"), [facts, format, hint, keep, disclose, quality.node], [copy, go]);
  follow();
  go.addEventListener("click", () => finish(close, saveResult));
  copy.addEventListener("click", () => finish(close, copyResult));
}

async function finish(close, work) {
  close();
  try {
    await work();
  } catch (error) {
    complain(error);
  }
}

async function saveResult() {
  const { format, quality, editing, disclose } = wanted;
  const { blob, name } =
    format === "png"
      ? await render(format, undefined, editing, disclose)
      : await render(format, quality, false, disclose);
  const own = `${state.name.replace(/\.\w+$/, "") || "photo"}-ganvas.${format === "jpeg" ? "jpg" : format}`;
  saveAs(blob, name || own);
  toast(t("save.done", { name: name || own }), `${(blob.size / 1e6).toFixed(1)} MB`);
}

/** The finished photo on the clipboard. */
export async function copyResult() {
  if (!canFinish() || state.job) return;
  if (!navigator.clipboard?.write)
    throw new ApiError(0, { message: String(t("save.copy.cannot")), hint: String(t("save.copy.cannot.hint")) });
  const png = render("png").then(({ blob }) => blob);
  await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
  toast(t("save.copied"));
}
