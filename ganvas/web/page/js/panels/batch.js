// Several photos at once: open one of them, or apply the present recipe to all and get a zip back.

import { ApiError, download, send } from "../api.js";
import { recipe } from "../bench.js";
import { openDialog } from "../dialog.js";
import { el, fill, icon } from "../dom.js";
import { t } from "../i18n/index.js";
import { open } from "../intake.js";
import { cancel, follow, timeLeft } from "../jobs.js";
import { state } from "../state.js";
import { complain, telling, toast } from "../toast.js";
import { saveAs } from "./save.js";

/** Ask what shall happen to several photos. */
export function openBatch(photos) {
  const steps = state.session?.steps?.length ?? 0;
  const list = el("ul", { class: "thumbs" }, photos.slice(0, 24).map(thumb));
  const rest = photos.length > 24 && el("p", { class: "hint" }, t("batch.rest", { n: photos.length - 24 }));
  const hint = el("p", {}, steps ? t("batch.ready", { n: photos.length, steps }) : t("batch.none"));
  const progress = el("div", { class: "batch-progress", hidden: true });
  const go = el(
    "button",
    { type: "button", class: "primary", disabled: !steps },
    icon("batch"),
    t("batch.go", { n: photos.length }),
  );
  const one = el("button", { type: "button" }, t("batch.first"));
  const stop = el("button", { type: "button", hidden: true, onclick: () => close() }, icon("stop"), t("job.cancel"));
  const working = (on) => {
    stop.hidden = progress.hidden = !on;
    one.hidden = go.disabled = on;
  };
  let job = null;
  const { close } = openDialog(t("batch"), [hint, list, rest, progress], [one, stop, go], {
    wide: true,
    onclose: () => job && cancel(job).catch(() => {}),
  });
  one.addEventListener("click", () => {
    close();
    telling(open)(photos[0]);
  });
  go.addEventListener("click", async () => {
    working(true);
    try {
      job = await send("/api/batch", { photos, recipe: JSON.stringify(await recipe()) });
      const result = await follow(job, (now) => show(progress, now));
      const { blob } = await download(`/api/batch/${job.id}/result.zip`);
      job = null;
      saveAs(blob, "ganvas-batch.zip");
      close();
      tellResult(result);
    } catch (error) {
      job = null;
      working(false);
      complain(error);
    }
  });
}

function thumb(photo) {
  const img = el("img", { alt: "", src: URL.createObjectURL(photo), loading: "lazy" });
  img.addEventListener("load", () => URL.revokeObjectURL(img.src));
  img.addEventListener("error", () => img.replaceWith(icon("photo")));
  return el("li", { title: photo.name }, img, el("span", {}, photo.name));
}

function show(node, job) {
  const bar = el("progress", { max: 1, "aria-label": t("batch") });
  if (job.progress > 0) bar.value = job.progress;
  fill(node, el("span", {}, job.message || t("job.batch")), bar, el("span", { class: "number" }, timeLeft(job)));
}

/** One bad file never stops the rest; those that failed are named. */
function tellResult({ failed = [], done }) {
  const count = done?.length ?? done;
  if (failed.length === 0) return toast(t("batch.done", { n: count ?? "" }));
  const [{ name, error }] = failed;
  complain({
    kind: "Batch",
    message: String(t("batch.failed", { n: failed.length })),
    hint: `${name}: ${new ApiError(0, error).message}`,
  });
}
