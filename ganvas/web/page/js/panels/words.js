// One line above the sliders: what should change, in words. The sliders that it sets are there to be moved on.

import { sayWords } from "../bench.js";
import { el, fill, freshId, iconButton, say } from "../dom.js";
import { t } from "../i18n/index.js";
import { state, update, watch } from "../state.js";
import { directionName } from "./names.js";

export function wordsLine() {
  const outcome = el("p", { class: "hint", id: freshId("understood"), role: "status" });
  const input = el("input", {
    type: "text",
    maxlength: 500,
    autocomplete: "off",
    enterkeyhint: "go",
    placeholder: t("words.hint"),
    "aria-label": t("words.label"),
    "aria-describedby": outcome.id,
  });
  const go = iconButton("wand", t("words.go"), null, { type: "submit" });
  const line = el("form", { class: "words" }, el("div", { class: "words-line" }, input, go), outcome);
  const show = (message, bad = false) => {
    fill(outcome, message);
    outcome.classList.toggle("bad", bad);
    say(input, "aria-invalid", String(bad));
  };
  line.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!input.value.trim() || go.disabled) return;
    try {
      show(told(await sayWords(input.value)));
      input.value = "";
    } catch (error) {
      if (error.name !== "AbortError") show([error.message, error.hint].filter(Boolean).join(". "), true);
    }
  });
  input.addEventListener("keydown", (event) => event.key === "Escape" && (input.value = ""));
  let photo = null; // what the outcome is of: photo and face
  const follow = () => {
    const { session, job } = state;
    const now = `${session?.id} ${session?.face}`;
    if (now !== photo) show("");
    photo = now;
    line.hidden = session?.state !== "ready" || !session.directions?.length;
    go.disabled = Boolean(job) && job.kind !== "render";
  };
  watch(["session", "job"], follow);
  follow();
  return line;
}

/** What was understood; what is kept still is locked at its slider, too. */
function told({ understood, searches }) {
  update({ keep: new Set([...state.keep, ...understood.keep]) });
  const missed = searches.filter((one) => !one.reached);
  const names = () => missed.map((one) => String(directionName(one.direction))).join(", ");
  const values = { words: whenShown(() => inWords(understood)), names: whenShown(names) };
  return t(missed.length ? "words.missed" : "words.understood", values);
}

/** A value of a text that is worded when it is shown: another language may be chosen meanwhile. */
const whenShown = (words) => ({ toString: words });

/** "Smile +0.5, Age −10 years; kept still: Glasses", in the reader's language. */
function inWords({ changes, keep }) {
  const moves = changes
    .map(({ direction, amount }) => `${directionName(direction)} ${amountInWords(amount)}`)
    .join(", ");
  const still = keep.length
    ? String(t("words.keep", { names: keep.map((name) => String(directionName(name))).join(", ") }))
    : "";
  return [moves, still].filter(Boolean).join("; ");
}

function amountInWords(amount) {
  if (typeof amount === "number") return `${amount > 0 ? "+" : ""}${Math.round(amount * 100) / 100}`;
  return amount.endsWith("y")
    ? String(t("words.years", { n: amount.slice(0, -1) }))
    : `${amount.startsWith("-") ? "−" : "+"}${t("adjust.auto.short")}`;
}
