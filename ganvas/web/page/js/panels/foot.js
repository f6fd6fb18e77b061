// At the foot of the photo: the job that runs, with its progress; else zoom and whether the server is there.

import { stopJob } from "../bench.js";
import { fit, view, zoomTo } from "../canvas/view.js";
import { el, fill, icon, iconButton, say } from "../dom.js";
import { t } from "../i18n/index.js";
import { timeLeft } from "../jobs.js";
import { announce } from "../say.js";
import { state, watch } from "../state.js";
import { telling } from "../toast.js";

const WAITED_MS = 1000; // so long in the queue is worth a word

export function mountFoot() {
  const foot = document.getElementById("foot");
  const progress = el("progress", { max: 1 });
  const what = el("span", { class: "what" });
  const left = el("span", { class: "left number" });
  const job = el(
    "div",
    { class: "job", role: "group", "aria-label": t("job") },
    what,
    progress,
    left,
    iconButton("close", t("job.cancel"), telling(stopJob), { class: "small" }),
  );
  const zoom = el("button", {
    type: "button",
    class: "quiet number",
    title: t("zoom.full"),
    onclick: () => (view.fitted ? zoomTo(1 / devicePixelRatio) : fit()),
  });
  const lost = el("span", { class: "lost", role: "status" }, icon("alert"), t("socket.lost"));
  fill(foot, job, lost, zoom);
  let told = null; // id of the job that was announced, and when
  let since = 0;
  const follow = () => {
    foot.hidden = !state.session;
    job.hidden = !state.job;
    lost.hidden = state.connected || !state.session;
    document.getElementById("stage").classList.toggle("busy", Boolean(state.job));
    if (!state.job) return (told = null);
    const name = t(`job.${state.job.kind}`);
    fill(what, name);
    if (state.job.progress > 0) progress.value = state.job.progress;
    else progress.removeAttribute("value");
    say(progress, "aria-label", name);
    if (told !== state.job.id) {
      announce(name);
      since = performance.now();
    }
    told = state.job.id;
    const waits = state.job.state === "queued" && performance.now() - since > WAITED_MS;
    fill(left, waits ? t("job.queued") : timeLeft(state.job));
  };
  watch(["job", "session", "connected"], follow);
  document.addEventListener("painted", () => fill(zoom, `${Math.round(view.scale * devicePixelRatio * 100)} %`));
  follow();
}
