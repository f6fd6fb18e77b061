// Long work of the server: follow a job until it ends. News come over the socket where there is one, else by asking.

import { ApiError, get, remove } from "./api.js";
import { t } from "./i18n/index.js";

const ASK_MS = 600;
const OVER = ["done", "failed", "cancelled"];
const followed = new Map(); // id → function that takes the job's news

/** News of a job from the socket. */
export function tell(job) {
  followed.get(job.id)?.(job);
}

/** Wait for a job: its result; an ApiError when it failed, an AbortError when it was cancelled. */
export function follow(job, onProgress = () => {}) {
  return new Promise((resolve, reject) => {
    let timer = null;
    const news = (now) => {
      if (!followed.has(job.id)) return; // it has ended meanwhile
      onProgress(now);
      if (!OVER.includes(now.state)) return;
      followed.delete(job.id);
      clearTimeout(timer);
      if (now.state === "done") resolve(now.result ?? {});
      else if (now.state === "cancelled") reject(new DOMException("cancelled", "AbortError"));
      else reject(new ApiError(0, typeof now.error === "object" && now.error ? now.error : { message: now.error ?? String(t("error.unknown")) }));
    };
    const askAgain = async () => {
      try {
        news(await get(`/api/jobs/${job.id}`));
      } catch (error) {
        if (error.status === 404) {
          followed.delete(job.id);
          return reject(error);
        }
      }
      if (followed.has(job.id)) timer = setTimeout(askAgain, ASK_MS);
    };
    followed.set(job.id, news);
    news(job);
    if (followed.has(job.id)) timer = setTimeout(askAgain, ASK_MS);
  });
}

/** Ask the server to stop a job; what it has so far is kept or dropped as its kind says. */
export const cancel = (job) => remove(`/api/jobs/${job.id}`);

/** "12 s left" or "3 min left"; nothing when nobody knows. */
export function timeLeft(job) {
  if (job.eta_sec === null || job.eta_sec === undefined || job.state !== "running") return "";
  return job.eta_sec < 90 ? String(t("left.sec", { n: Math.max(1, Math.round(job.eta_sec)) })) : String(t("left.min", { n: Math.round(job.eta_sec / 60) }));
}
