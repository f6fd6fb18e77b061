// Sliders: a row for each direction of the generator, in groups. A preview while it moves, one step when it is let go.

import { previewAmount, setAmount } from "../bench.js";
import { el, fill, freshId, icon } from "../dom.js";
import { t } from "../i18n/index.js";
import { state, update, watch } from "../state.js";
import { complain, telling, toast } from "../toast.js";
import { fidelityCard } from "./fidelity.js";
import { directionName } from "./names.js";
import { wordsLine } from "./words.js";

const GROUPS = ["expression", "age", "pose", "hair", "skin", "accessories", "style", "other"];
const LET_GO_MS = 350; // after the last arrow key
const SNAP = 0.04; // of the range: so near to zero is zero

export function adjustTab() {
  const rows = new Map(); // direction → row
  const list = el("div", { class: "sliders" });
  const reset = resetAll();
  let built = "";
  const follow = () => {
    const { session } = state;
    const directions = session?.state === "ready" ? (session.directions ?? []) : [];
    const wanted = `${session?.id} ${session?.state} ${directions.map((one) => one.name)}`;
    if (wanted !== built) rebuild(list, rows, directions, reset);
    built = wanted;
    for (const direction of directions) rows.get(direction.name)?.show(direction);
  };
  watch(["session", "keep", "job", "breakups"], follow);
  follow();
  return [fidelityCard(), wordsLine(), list];
}

function rebuild(list, rows, directions, reset) {
  rows.clear();
  const groups = GROUPS.map((group) => [
    group,
    directions.filter((one) => (GROUPS.includes(one.group) ? one.group : "other") === group),
  ]);
  fill(
    list,
    groups.filter(([, members]) => members.length).map(([group, members]) => groupOf(group, members, rows)),
    directions.length ? reset : state.session?.state === "ready" ? none() : awaited(),
  );
}

function groupOf(group, members, rows) {
  const heading = el("h2", { class: "minor", id: freshId("group") }, t(`group.${group}`));
  const section = el("section", { class: "group", "aria-labelledby": heading.id }, heading);
  for (const direction of members) {
    const row = new Row(direction);
    rows.set(direction.name, row);
    section.append(row.node);
  }
  return section;
}

/** While the photo is being searched for: where the sliders will be. */
function awaited() {
  return el(
    "div",
    { class: "awaited", "aria-hidden": "true" },
    [64, 42, 80, 56, 70].map((width) => [el("i", { style: { width: `${width * 1.2}px` } }), el("b", {})]).flat(),
  );
}

function none() {
  const go = el(
    "button",
    { type: "button", onclick: () => update({ area: "directions" }) },
    icon("compass"),
    t("adjust.find"),
  );
  return el("div", { class: "empty" }, icon("compass"), el("p", {}, t("adjust.none")), go);
}

function resetAll() {
  const button = el(
    "button",
    { type: "button", class: "quiet wide-button", onclick: telling(resetEach) },
    t("adjust.reset"),
  );
  const follow = () => (button.disabled = !state.session?.directions?.some((one) => one.amount) || Boolean(state.job));
  watch(["session", "job"], follow);
  follow();
  return button;
}

async function resetEach() {
  for (const { name, amount } of state.session.directions) if (amount) await setAmount(name, 0);
}

/** What a search for an amount came to, where that is not plain to see. */
function tellAuto(name, { reached, amount }) {
  if (!reached)
    complain({ kind: "auto", message: t("adjust.auto.missed", { name }), hint: t("adjust.auto.missed.hint") });
  else if (amount === 0) toast(t("adjust.auto.there", { name }));
}

/** One direction: name, slider, figure, keep, and auto where the server offers it. */
class Row {
  constructor({ name, low, high, auto }) {
    this.name = name;
    this.moving = false;
    const id = freshId("slider");
    const step = (high - low) / 200;
    this.range = el("input", { type: "range", id, min: low, max: high, step: "any", "data-direction": name });
    this.figure = el("input", {
      type: "number",
      class: "figure",
      step: "0.1",
      "aria-label": t("adjust.figure", { name: directionName(name) }),
      inputmode: "decimal",
    });
    this.keep = el(
      "button",
      { type: "button", class: "icon-button small keep", onclick: () => this.toggleKeep() },
      icon("lock"),
    );
    const automatic = auto && this.automatic();
    const head = el(
      "div",
      { class: "slider-head" },
      el("label", { for: id }, directionName(name)),
      el("span", { class: "spring" }),
      automatic,
      this.keep,
      this.figure,
    );
    this.node = el(
      "div",
      { class: "slider", role: "group", "aria-label": directionName(name) },
      head,
      this.range,
      this.warning(),
    );
    this.listen(step, (high - low) * SNAP * 0.5);
  }

  automatic() {
    const name = directionName(this.name);
    const button = (amount, label, sign) =>
      el(
        "button",
        {
          type: "button",
          class: "small pill",
          onclick: telling(async () => tellAuto(name, await setAmount(this.name, amount))),
          title: label,
          "aria-label": label,
        },
        t("adjust.auto.short"),
        sign,
      );
    return [
      button("-auto", t("adjust.auto.less", { name }), " −"),
      button("auto", t("adjust.auto", { name }), " +"),
    ];
  }

  /** Where the picture breaks up: how far the slider holds on this photo, and a way there. */
  warning() {
    this.breaks = el("button", {
      type: "button",
      class: "breaks",
      hidden: true,
      onclick: () => this.letGo(this.holds),
    });
    return this.breaks;
  }

  warn(breakup) {
    this.breaks.hidden = !breakup;
    if (!breakup) return;
    this.holds = breakup.holds_to;
    fill(
      this.breaks,
      icon("alert"),
      t(breakup.together ? "adjust.breaks.together" : "adjust.breaks", {
        amount: breakup.amount,
        holds: breakup.holds_to,
      }),
    );
  }

  listen(step, snap) {
    this.range.addEventListener("input", () => {
      this.moving = true;
      if (Math.abs(this.range.value) < snap) this.range.value = 0;
      this.paint(Number(this.range.value));
      previewAmount(this.name, Number(this.range.value));
    });
    this.range.addEventListener("change", () => this.letGo(Number(this.range.value), this.byKey ? LET_GO_MS : 0));
    this.range.addEventListener("pointerdown", () => (this.byKey = false));
    this.range.addEventListener("dblclick", () => this.letGo(0));
    this.range.addEventListener("keydown", (event) => this.key(event, step));
    this.figure.addEventListener("change", () => this.typed());
    this.figure.addEventListener("dblclick", () => this.letGo(0));
    this.figure.addEventListener("keydown", (event) => this.figureKey(event));
  }

  /** Arrows move by a step ("any" lets the browser choose one that is too large), Delete resets. */
  key(event, step) {
    const much = event.shiftKey ? 5 : 1;
    const ways = {
      ArrowLeft: -step * much,
      ArrowDown: -step * much,
      ArrowRight: step * much,
      ArrowUp: step * much,
      PageUp: step * 20,
      PageDown: -step * 20,
    };
    const reset = event.key === "Delete" || event.key === "Backspace";
    if (!(event.key in ways) && !reset) return;
    event.preventDefault();
    this.byKey = true;
    this.range.value = reset ? 0 : Number(this.range.value) + ways[event.key];
    this.range.dispatchEvent(new Event("input"));
    this.range.dispatchEvent(new Event("change"));
  }

  /** Enter takes what was typed and goes to the slider, so that Ctrl+Z is about the photo again; Escape forgets it. */
  figureKey(event) {
    if (event.key === "Escape") this.figure.value = this.last.amount;
    if (event.key === "Enter" || event.key === "Escape") this.range.focus();
  }

  typed() {
    const amount = Number(this.figure.value.replace(",", "."));
    if (this.figure.value === "" || !Number.isFinite(amount)) return this.show(this.last);
    const { min, max } = this.range;
    const within = Math.min(Number(max), Math.max(Number(min), amount));
    if (within !== amount) toast(t("adjust.clamped", { name: directionName(this.name), amount: within }));
    if (within !== this.last.amount) this.letGo(within);
    else this.show(this.last);
  }

  letGo(amount, wait = 0) {
    clearTimeout(this.timer);
    this.moving = true;
    this.paint(amount);
    this.timer = setTimeout(async () => {
      try {
        await setAmount(this.name, Math.round(amount * 100) / 100);
      } catch (error) {
        complain(error);
      }
      this.moving = false;
      const now = state.session?.directions?.find((one) => one.name === this.name);
      if (now) this.show(now);
    }, wait);
  }

  toggleKeep() {
    const keep = new Set(state.keep);
    if (!keep.delete(this.name)) keep.add(this.name);
    update({ keep });
  }

  /** What the server says, unless the reader's hand is on it. */
  show(direction) {
    this.last = direction;
    const kept = state.keep.has(this.name);
    this.keep.setAttribute("aria-pressed", String(kept));
    const label = t(kept ? "adjust.kept" : "adjust.keep", { name: directionName(this.name) });
    for (const attribute of ["aria-label", "title"]) this.keep.setAttribute(attribute, String(label));
    this.range.disabled = this.figure.disabled = Boolean(state.job) && state.job.kind !== "render";
    this.warn(state.breakups.find((one) => one.direction === this.name));
    if (!this.moving) this.paint(direction.amount);
  }

  paint(amount) {
    this.range.value = amount;
    if (document.activeElement !== this.figure || this.moving)
      this.figure.value = (Math.round(amount * 100) / 100).toString();
    const { min, max } = this.range;
    const share = (value) => Math.min(1, Math.max(0, (value - min) / (max - min))).toFixed(4);
    this.range.style.setProperty("--zero", share(0));
    this.range.style.setProperty("--from", share(Math.min(0, amount)));
    this.range.style.setProperty("--to", share(Math.max(0, amount)));
    this.node.classList.toggle("moved", Math.abs(amount) > 0.005);
  }
}
