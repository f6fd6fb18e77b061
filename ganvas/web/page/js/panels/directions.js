// Directions: look for what a generator can change, or teach it by marking what one likes, or by a face score.

import { get, post, url } from "../api.js";
import { el, field, fill, freshId, icon, iconButton, nameField, segments, select } from "../dom.js";
import { t } from "../i18n/index.js";
import { follow } from "../jobs.js";
import { state, update, watch } from "../state.js";
import { complain, telling, toast } from "../toast.js";
import { directionName } from "./names.js";
import { generatorsHere } from "./models.js";

const A_PAGE = 24; // pictures to mark at a time
const SAMPLE_PX = 128;
const LEAST = 8; // marks of each kind that learning takes

export function directionsArea() {
  const chosen = { model: null };
  const model = el("select", {
    id: "directions-model",
    onchange: () => ((chosen.model = model.value), parts.forEach((part) => part.model())),
  });
  const parts = [findPart(chosen), markPart(chosen), scorePart(chosen)];
  const tabs = segments(
    t("directions.how"),
    [
      ["find", t("directions.find")],
      ["mark", t("directions.mark")],
      ["score", t("directions.score")],
    ],
    "find",
    (value) => show(value),
  );
  const show = (value) => parts.forEach((part) => (part.node.hidden = part.name !== value));
  const none = el(
    "div",
    { class: "empty" },
    icon("models"),
    el("p", {}, t("directions.none")),
    el("button", { type: "button", onclick: () => update({ area: "models" }) }, t("start.models")),
  );
  const body = el(
    "div",
    {},
    el(
      "div",
      { class: "row toolbar" },
      el("div", { class: "field" }, el("label", { for: "directions-model" }, t("model")), model),
      tabs,
    ),
    parts.map((part) => part.node),
  );
  const enter = () => {
    const models = generatorsHere();
    none.hidden = models.length > 0;
    body.hidden = !models.length;
    fill(
      model,
      models.map(([value, name]) => el("option", { value }, name)),
    );
    const other = models.some(([name]) => name === chosen.model)
      ? chosen.model
      : state.session?.model || models[0]?.[0];
    model.value = other ?? "";
    if (chosen.model !== other) {
      chosen.model = other;
      parts.forEach((part) => part.model());
    }
  };
  show("find");
  watch(["models"], enter);
  return { node: el("div", {}, none, body), enter };
}

// Without labels.

function findPart(chosen) {
  const wanted = { method: "sefa" };
  const layers = el("input", {
    type: "text",
    placeholder: "0-5",
    pattern: "[0-9,\\- ]*",
    id: "layers",
    class: "short",
  });
  const count = el("input", { type: "number", min: 1, max: 24, value: 8, id: "count", class: "short" });
  const go = el("button", { type: "submit", class: "primary" }, icon("compass"), t("directions.go"));
  const progress = el("progress", { max: 1, hidden: true, "aria-label": t("job.directions") });
  const result = el("div", { class: "found" });
  const submit = telling(async (event) => {
    event.preventDefault();
    go.disabled = true;
    progress.hidden = false;
    progress.removeAttribute("value");
    try {
      const job = await post("/api/directions/find", {
        model: chosen.model,
        method: wanted.method,
        layers: layers.value.trim() || null,
        count: Number(count.value),
      });
      const found = await follow(job, (now) => now.progress > 0 && (progress.value = now.progress));
      fill(result, sheetOf(job, found));
    } finally {
      go.disabled = false;
      progress.hidden = true;
    }
  });
  const form = el(
    "form",
    { class: "row toolbar", onsubmit: submit },
    segments(
      t("directions.method"),
      [
        ["sefa", "SeFa"],
        ["pca", "PCA"],
        ["codes", "InfoGAN"],
      ],
      "sefa",
      (value) => (wanted.method = value),
    ),
    field(t("directions.layers"), layers),
    field(t("directions.count"), count),
    go,
  );
  const node = el("section", {}, el("p", { class: "hint" }, t("directions.find.hint")), form, progress, result);
  return { name: "find", node, model: () => fill(result) };
}

/** The sheet, and beside each of its rows a field for its name. */
function sheetOf(job, found) {
  const names = found.rows.map((row) =>
    nameField({
      placeholder: `${row.index}`,
      "aria-label": t("directions.name", { n: row.index }),
      "data-row": row.index,
    }),
  );
  const keep = el("button", { type: "button", class: "primary" }, icon("save"), t("directions.keep"));
  keep.addEventListener(
    "click",
    telling(async () => {
      const given = Object.fromEntries(
        names.filter((input) => input.value.trim()).map((input) => [input.dataset.row, input.value.trim()]),
      );
      if (!names.every((input) => input.reportValidity())) return;
      if (!Object.keys(given).length)
        return complain({
          kind: "Nothing",
          message: String(t("directions.unnamed")),
          hint: String(t("directions.unnamed.hint")),
        });
      const { saved } = await post("/api/directions/keep", { job: job.id, names: given });
      toast(
        t("directions.saved", { names: (saved ?? Object.values(given)).join(", ") }),
        String(t("directions.saved.hint")),
      );
    }),
  );
  const sheet = el("img", { class: "sheet", src: url(found.sheet), alt: t("directions.sheet") });
  return [
    el("div", { class: "sheet-box" }, el("div", { class: "sheet-names" }, names), sheet),
    el("div", { class: "row" }, keep, el("span", { class: "hint" }, t("directions.keep.hint"))),
  ];
}

// By marks.

function markPart(chosen) {
  const marks = new Map(); // seed → "like" | "dislike"
  let first = 0;
  const grid = el("div", { class: "samples", role: "group", "aria-label": t("directions.samples") });
  const tally = el("p", { class: "tally", role: "status" });
  const name = nameField({ id: "learn-name", required: true });
  const keep = el("input", { type: "text", id: "learn-keep", placeholder: "age, smile" });
  const space = spaceSelect(["w", "s"]);
  const learn = el("button", { type: "button", class: "primary" }, icon("wand"), t("directions.learn"));
  const result = el("div", { class: "learnt" });
  const count = (kind) => [...marks.values()].filter((one) => one === kind).length;
  const showTally = () => {
    const [like, dislike] = [count("like"), count("dislike")];
    fill(
      tally,
      el("span", { class: "badge like" }, icon("like"), String(like)),
      el("span", { class: "badge dislike" }, icon("close"), String(dislike)),
      el(
        "span",
        { class: "hint" },
        like < LEAST || dislike < LEAST ? t("directions.more", { n: LEAST }) : t("directions.enough"),
      ),
    );
    learn.disabled = like < LEAST || dislike < LEAST;
  };
  const turn = (by) => {
    first = Math.max(0, first + by);
    fill(
      grid,
      Array.from({ length: A_PAGE }, (_, i) => sample(chosen.model, first + i, marks, showTally)),
    );
  };
  const seeds = (kind) => [...marks].filter(([, mark]) => mark === kind).map(([seed]) => seed);
  const known = () => ({ like: seeds("like"), dislike: seeds("dislike"), space: space.value });
  learn.addEventListener(
    "click",
    () => name.reportValidity() && learnFrom(chosen.model, name, keep, known(), learn, result),
  );
  const pages = el(
    "div",
    { class: "row" },
    iconButton("back", t("directions.earlier"), () => turn(-A_PAGE)),
    el("button", { type: "button", onclick: () => turn(A_PAGE) }, t("directions.next")),
    el("span", { class: "spring" }),
    tally,
  );
  const form = el(
    "div",
    { class: "row toolbar" },
    field(t("directions.called"), name),
    field(t("directions.hold"), keep),
    field(t("directions.space"), space),
    learn,
  );
  const node = el("section", {}, el("p", { class: "hint" }, t("directions.mark.hint")), grid, pages, form, result);
  const model = () => {
    marks.clear();
    fill(result);
    showTally();
    if (!node.hidden && chosen.model) turn(-first);
    else fill(grid);
  };
  new MutationObserver(() => !node.hidden && !grid.childElementCount && chosen.model && turn(0)).observe(node, {
    attributes: true,
    attributeFilter: ["hidden"],
  });
  return { name: "mark", node, model };
}

/** A picture that is liked by one click, disliked by two, left out by three; L and D say it at once. */
function sample(model, seed, marks, changed) {
  const src = url(`/api/models/${model.split("/").map(encodeURIComponent).join("/")}/samples.jpg`, {
    seeds: seed,
    size: SAMPLE_PX,
  });
  const button = el(
    "button",
    { type: "button", class: "sample" },
    el("img", { src, alt: "", width: SAMPLE_PX, height: SAMPLE_PX, loading: "lazy" }),
    el("span", { class: "sample-mark" }),
  );
  const set = (mark) => {
    if (mark) marks.set(seed, mark);
    else marks.delete(seed);
    show();
    changed();
  };
  const show = () => {
    const mark = marks.get(seed) ?? "none";
    button.dataset.mark = mark;
    button.setAttribute("aria-label", String(t(`directions.sample.${mark}`, { seed })));
    fill(button.lastChild, mark === "none" ? "" : icon(mark === "like" ? "like" : "close"));
  };
  const next = { none: "like", like: "dislike", dislike: null };
  button.addEventListener("click", () => set(next[marks.get(seed) ?? "none"]));
  button.addEventListener("keydown", (event) => {
    const keys = { l: "like", d: "dislike", Delete: null, Backspace: null };
    if (event.key in keys) set(keys[event.key]);
  });
  show();
  return button;
}

// By a face score.

function scorePart(chosen) {
  const scorer = el("select");
  const name = nameField({ required: true });
  const keep = el("input", { type: "text", placeholder: "age, gender" });
  const samples = el("input", { type: "number", min: 10, max: 20000, value: 2000, class: "short" });
  const space = spaceSelect(["w", "w+", "s"]);
  const learn = el("button", { type: "submit", class: "primary" }, icon("wand"), t("directions.learn"));
  const result = el("div", { class: "learnt" });
  const submit = (event) => {
    event.preventDefault();
    learnFrom(
      chosen.model,
      name,
      keep,
      { scorer: scorer.value, samples: Number(samples.value), space: space.value },
      learn,
      result,
    );
  };
  const fields = [
    field(t("directions.scorer"), scorer),
    field(t("directions.called"), name),
    field(t("directions.hold"), keep),
    field(t("directions.look"), samples),
    field(t("directions.space"), space),
  ];
  const node = el(
    "section",
    {},
    el("p", { class: "hint" }, t("directions.score.hint")),
    el("form", { class: "row toolbar", onsubmit: submit }, fields, learn),
    result,
  );
  get("/api/directions/scorers").then(
    ({ scorers }) =>
      fill(
        scorer,
        scorers.map((one) => el("option", { value: one }, directionName(one))),
      ),
    complain,
  );
  return { name: "score", node, model: () => fill(result) };
}

/** How a slider may move a picture. */
const spaceSelect = (spaces) =>
  select(
    spaces.map((one) => [one, t(`directions.space.${one}`)]),
    "w",
  );

async function learnFrom(model, name, keep, known, button, result) {
  const others = keep.value
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);
  button.disabled = true;
  fill(result, el("progress", { "aria-label": t("job.learn") }));
  try {
    const job = await post("/api/directions/learn", { model, name: name.value.trim(), keep: others, ...known });
    fill(result, cardOf(await follow(job)));
    toast(t("directions.saved", { names: name.value.trim() }), String(t("directions.saved.hint")));
  } catch (error) {
    fill(result);
    complain(error);
  } finally {
    button.disabled = false;
  }
}

/** How well samples that were held out are foretold: by R² of scores, by AUC of yes and no. */
function qualityOf({ auc, r2 }) {
  const [kind, value] = typeof r2 === "number" ? ["R²", r2] : ["AUC", auc];
  return el(
    "span",
    { class: "number", title: t(kind === "AUC" ? "directions.auc.hint" : "directions.r2.hint") },
    `${kind} ${Number(value).toFixed(2)}`,
  );
}

/** How well it was learnt, and what else it moves. */
function cardOf(found) {
  const id = freshId("leak");
  const strongest = Math.max(0.01, ...(found.leakage ?? []).map((one) => Math.abs(one.change)));
  const rows = (found.leakage ?? []).map(({ name, change }) => {
    const bar = el("i", {
      class: change < 0 ? "less" : "more",
      style: { width: `${(Math.abs(change) / strongest) * 100}%` },
    });
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, directionName(name)),
      el("td", { class: "bar" }, bar),
      el("td", { class: "number" }, `${change > 0 ? "+" : ""}${change.toFixed(2)}`),
    );
  });
  return el(
    "article",
    { class: "card" },
    el("div", { class: "card-head" }, el("h2", {}, found.name), el("span", { class: "spring" }), qualityOf(found)),
    found.sheet && el("img", { class: "sheet", src: url(found.sheet), alt: t("directions.sheet") }),
    rows.length > 0 && [
      el("h3", { id }, t("directions.leakage")),
      el("table", { class: "leakage", "aria-labelledby": id }, el("tbody", {}, rows)),
      el("p", { class: "hint" }, t(found.leakage[0].angle ? "directions.leakage.angle" : "directions.leakage.hint")),
    ],
  );
}
