// A form from what the server says about fields (GET /api/forms): one control each, by kind, range and unit.

import { get } from "../api.js";
import { el, field, fill, select } from "../dom.js";
import { choiceOf as wordOf, helpOf, labelOf } from "../i18n/forms.js";
import { t } from "../i18n/index.js";
import { slider } from "./tool-options.js";

const SLIDER_SPAN = 100; // a number whose range is no wider than this gets a slider

let asked = null;

/** The fields of every edit step and of a training run: {steps, training}; asked for once. */
export const loadForms = () => (asked ??= get("/api/forms").catch((error) => ((asked = null), Promise.reject(error))));

/**
 * Controls for some fields `of` a step or of "training": {nodes, read, showDefaults}. `read` gives {name: value} of
 * what is filled in.
 *
 * With `blank` nothing is filled in at first, and `showDefaults({name: value})` shows what holds where nothing is.
 */
export function controlsOf(of, fields, { blank = false } = {}) {
  const told = fields.map((one) => ({ ...one, label: labelOf(of, one), hint: helpOf(of, one) }));
  const controls = told.map((one) => ({ name: one.name, ...controlOf(one, blank) }));
  const read = () =>
    Object.fromEntries(controls.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== undefined));
  const showDefaults = (values) =>
    controls.forEach(({ name, showDefault }) => showDefault?.(name in values ? asText(values[name]) : ""));
  return { nodes: controls.map(({ node }) => node), read, showDefaults };
}

const asText = (value) =>
  value === null
    ? "none"
    : Array.isArray(value)
      ? value.join(", ")
      : typeof value === "object"
        ? JSON.stringify(value)
        : String(value);
function controlOf(one, blank) {
  const number = one.kind === "number" || one.kind === "integer";
  if (one.kind === "choice" || (one.kind === "bool" && blank)) return choiceOf(one, blank);
  if (one.kind === "bool") return checkOf(one);
  if (number && !blank && !one.optional && one.low !== null && one.high !== null && one.high - one.low <= SLIDER_SPAN)
    return sliderOf(one);
  return inputOf(one, blank, number);
}

function choiceOf(one, blank) {
  const words =
    one.kind === "bool"
      ? [
          ["true", t("form.yes")],
          ["false", t("form.no")],
        ]
      : one.choices.map((word) => [word, wordOf(word)]);
  const open = blank || one.optional;
  const control = select(
    [...(open ? [["", t(blank ? "form.preset" : "form.none")]] : []), ...words],
    open ? "" : one.default,
  );
  const read = () =>
    control.value === "" ? undefined : one.kind === "bool" ? control.value === "true" : control.value;
  const showDefault = (value) =>
    blank && fill(control.options[0], value ? t("form.preset.value", { value }) : t("form.preset"));
  return { node: field(one.label, control, one.hint), read, showDefault };
}

function checkOf(one) {
  const control = el("input", { type: "checkbox", checked: one.default });
  return {
    node: el("label", { class: "check" }, control, el("span", {}, one.label, el("small", {}, one.hint))),
    read: () => control.checked,
  };
}

function sliderOf(one) {
  const step = one.kind === "integer" ? 1 : (one.high - one.low) / 100;
  const unit = one.unit ? ` ${one.unit}` : "";
  const made = slider(
    one.label,
    { min: one.low, max: one.high, step },
    (value) => (made.output.value = `${value}${unit}`),
  );
  made.input.value = one.default ?? one.low;
  made.output.value = `${made.input.value}${unit}`;
  return {
    node: el("div", { class: "field" }, made.node, el("small", { class: "hint" }, one.hint)),
    read: () => Number(made.input.value),
  };
}

function inputOf(one, blank, number) {
  const colour = /^#[\da-f]{6}$/i.test(one.default ?? ""); // a colour is picked, not typed
  const limits =
    colour && !blank
      ? { type: "color" }
      : number
        ? { type: "number", min: one.low, max: one.high, step: one.kind === "integer" ? 1 : "any" }
        : { type: "text" };
  const filled = blank || one.default === null ? "" : asText(one.default);
  const control = el("input", { ...limits, value: filled, required: one.required && !blank });
  const read = () => (control.value.trim() === "" ? undefined : valueOf(one, control.value.trim()));
  return {
    node: field(one.label, control, one.hint),
    read,
    showDefault: (value) => (control.placeholder = value),
  };
}

/** What was typed, as the field wants it; what cannot be read is left to the server, which says what is expected. */
function valueOf({ kind, item, optional }, text) {
  const numbers = ["number", "integer"];
  if (optional && text.toLowerCase() === "none") return null;
  if (numbers.includes(kind)) return Number(text);
  if (kind === "list" && item !== "other")
    return text.split(",").map((part) => (numbers.includes(item) ? Number(part) : part.trim()));
  if (kind === "text") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
