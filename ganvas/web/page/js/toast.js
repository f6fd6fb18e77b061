// Short messages at the edge of the page: read out, never in the way, and they don't take the focus.

import { el, icon, iconButton } from "./dom.js";
import { t } from "./i18n/index.js";

const SHOWN_MS = { good: 4000, bad: 12000 };
const area = document.getElementById("toasts");

/** Say that something is done. */
export function toast(message, detail = "") {
  show("good", message, detail);
}

/** Say what went wrong and what to do; an ApiError brings both. */
export function complain(error) {
  if (error?.name === "AbortError") return;
  if (!("kind" in (error ?? {}))) console.error(error);
  show("bad", error.message || String(t("error.unknown")), error.hint ?? "");
}

/** A function that tells of its errors instead of losing them. */
export const telling =
  (work) =>
  async (...values) => {
    try {
      return await work(...values);
    } catch (error) {
      return complain(error);
    }
  };

function show(kind, message, detail) {
  for (const old of /** @type {any} */ (area.children)) if (old.dataset.text === String(message)) old.remove();
  const close = iconButton("close", t("dismiss"), () => note.remove(), { class: "small" });
  const body = el("div", { class: "toast-body" }, el("strong", {}, message), detail && el("span", {}, detail));
  const note = el(
    "div",
    { class: `toast ${kind}`, role: kind === "bad" ? "alert" : "status" },
    icon(kind === "bad" ? "alert" : "check"),
    body,
    close,
  );
  note.dataset.text = String(message);
  area.append(note);
  let timer = setTimeout(() => note.remove(), SHOWN_MS[kind]);
  note.addEventListener("pointerenter", () => clearTimeout(timer));
  note.addEventListener("pointerleave", () => (timer = setTimeout(() => note.remove(), SHOWN_MS[kind])));
  while (area.children.length > 4) area.firstChild.remove();
}
