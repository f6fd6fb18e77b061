// Long work of the server: follow a job until it ends. News come over the socket where there is one, else by asking.

import { ApiError, get, remove } from "./api.js";
import { t } from "./i18n/index.js";

const ASK_MS = 600;
const OVER = ["done", "failed", "cancelled"];

/** Whether it waits or runs. */
export const isOpen = (job) => !OVER.includes(job.state);

const followers = new Map(); // id → functions that take the job's news

/** News of a job from the socket. */
export function tell(job) {
  for (const news of [...(followers.get(job.id) ?? [])]) news(job);
}

/** Whether somebody waits for this job's end already, or nobody needs to. */
export const isFollowed = (job) => followers.has(job.id) || !isOpen(job);

/**
 * Wait for a job: its result; an ApiError when it failed, an AbortError when it was cancelled.
 *
 * @param {any} job
 * @param {(job: any) => void} [onProgress]
 */
export function follow(job, onProgress = () => {}) {
  return new Promise((resolve, reject) => {
    let timer = null;
    let ended = false;
    const end = () => {
      ended = true;
      clearTimeout(timer);
      const all = followers.get(job.id);
      all?.delete(news);
      if (!all?.size) followers.delete(job.id);
    };
    const news = (now) => {
      if (ended) return;
      onProgress(now);
      if (isOpen(now)) return;
      end();
      if (now.state === "done") resolve(now.result ?? {});
      else if (now.state === "cancelled") reject(new DOMException("cancelled", "AbortError"));
      else
        reject(
          new ApiError(
            0,
            typeof now.error === "object" && now.error
              ? now.error
              : { message: now.error ?? String(t("error.unknown")) },
          ),
        );
    };
    const askAgain = async () => {
      try {
        news(await get(`/api/jobs/${job.id}`));
      } catch (error) {
        if (error.status === 404 && !ended) {
          end();
          return reject(error);
        }
      }
      if (!ended) timer = setTimeout(askAgain, ASK_MS);
    };
    followers.set(job.id, (followers.get(job.id) ?? new Set()).add(news));
    news(job);
    if (!ended) timer = setTimeout(askAgain, ASK_MS);
  });
}

/** Ask the server to stop a job; what it has so far is kept or dropped as its kind says. */
export const cancel = (job) => remove(`/api/jobs/${job.id}`);

/** "12 s left" or "3 min left"; nothing when nobody knows. */
export function timeLeft(job) {
  if (job.eta_sec === null || job.eta_sec === undefined || job.state !== "running") return "";
  return job.eta_sec < 90
    ? String(t("left.sec", { n: Math.max(1, Math.round(job.eta_sec)) }))
    : String(t("left.min", { n: Math.round(job.eta_sec / 60) }));
}
