// Everything that waits or runs in the studio, whoever began it: seen from every area, after a reload, in every tab.

import { download, get, remove } from "../api.js";
import { el, fill, icon, iconButton, say } from "../dom.js";
import { known, t } from "../i18n/index.js";
import { isOpen, timeLeft } from "../jobs.js";
import { state, watch } from "../state.js";
import { telling } from "../toast.js";
import { loadModels } from "./models.js";
import { saveAs } from "./save.js";

const LOOK_MS = { busy: 1000, idle: 5000 };
let jobs = [];
let timer = null;

const open = () => jobs.filter(isOpen);

/** The button in the bar (there while something runs), and the list below it. */
export function queueButton() {
  const count = el("span", { class: "number" });
  const list = el("ul", { class: "queue-list" });
  const nothing = el("p", { class: "hint" }, t("queue.none"));
  const box = el(
    "section",
    { id: "queue", popover: "auto", "aria-label": t("queue") },
    el("h2", { class: "minor" }, t("queue")),
    list,
    nothing,
  );
  const button = el(
    "button",
    { type: "button", class: "quiet queue-button", id: "queue-button", popovertarget: "queue", hidden: true },
    icon("menu"),
    count,
  );
  document.body.append(box);
  const show = () => {
    const now = open().length;
    const kept = jobs.filter((job) => job.zip);
    button.hidden = !now && !kept.length && !box.matches(":popover-open");
    count.textContent = String(now || kept.length);
    say(button, "aria-label", t("queue.count", { n: now }));
    nothing.hidden = now + kept.length > 0;
    const rows = [...open(), ...kept].map((job) => rowOf(list, job));
    if (rows.some((one, at) => one !== list.children[at]) || rows.length !== list.children.length) fill(list, rows);
  };
  const look = async () => {
    clearTimeout(timer);
    const fetched = jobs.some((job) => job.kind === "fetch");
    try {
      jobs = await get("/api/jobs", { recent: true });
      // begun before a reload, or elsewhere
      if (fetched && !open().some((job) => job.kind === "fetch")) await loadModels();
      show();
    } catch {
      // the foot says that the connection is lost
    }
    timer = setTimeout(look, document.hidden || !open().length ? LOOK_MS.idle : LOOK_MS.busy);
  };
  box.addEventListener("toggle", show);
  document.addEventListener("language", show);
  document.addEventListener("models", () => !open().some((job) => job.kind === "fetch") && look());
  watch(["job"], () => Boolean(state.job) && !open().length && look());
  look();
  return button;
}

/** A job's row; it stays while its figures change, and with it a button that has the focus or is being pressed. */
function rowOf(list, job) {
  const kept = [...list.children].find(({ dataset }) => dataset.id === job.id && dataset.zip === String(job.zip));
  const row = kept ?? el("li", { "data-id": job.id, "data-job": job.kind, "data-zip": String(job.zip) }, about(job));
  const bar = row.querySelector("progress");
  if (bar && job.progress > 0) bar.value = job.progress;
  const left = row.querySelector(".hint");
  if (left) fill(left, job.state === "queued" ? t("job.queued") : timeLeft(job));
  return row;
}

function about(job) {
  const name = t(known(`job.${job.kind}`) ? `job.${job.kind}` : "job");
  const title = job.title && el("small", {}, job.title);
  if (job.zip)
    return el(
      "div",
      { class: "row" },
      el("span", {}, name, title),
      el("span", { class: "spring" }),
      el("button", { type: "button", onclick: telling(() => fetched(job)) }, icon("save"), t("queue.zip")),
    );
  const stop = iconButton(
    "close",
    t("queue.stop", { name: job.title || String(name) }),
    telling(() => remove(`/api/jobs/${job.id}`)),
    { class: "small" },
  );
  return [
    el(
      "div",
      { class: "row" },
      el("span", {}, name, title),
      el("span", { class: "spring" }),
      el("span", { class: "hint number" }),
      stop,
    ),
    el("progress", { max: 1, "aria-label": name }),
  ];
}

async function fetched(job) {
  const { blob } = await download(job.zip);
  saveAs(blob, "ganvas-batch.zip");
}
