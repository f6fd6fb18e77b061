// Elements in one call, and texts that follow the language.
//
//   el("button", { class: "quiet", onclick: undo, "aria-label": t("undo") }, icon("undo"))
//
// A Message (from t()) may stand wherever a text may: the element remembers it, and `retranslate` writes it again.

import { Message } from "./i18n/index.js";
import { ICONS } from "./icons.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with its properties (on… = listener, style = properties, others = attributes) and children.
 *
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...any} children
 * @returns {any}
 */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) setProperty(node, name, value);
  node.append(
    ...children
      .flat()
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map(textOf),
  );
  return node;
}

function setProperty(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
  else if (name === "value" || name === "checked" || name === "indeterminate") node[name] = value;
  else if (value instanceof Message) say(node, name, value);
  else node.setAttribute(name, value === true ? "" : value);
}

/** An attribute that follows the language; a plain text works too. */
export function say(node, attribute, message) {
  if (message instanceof Message) (node.messages ??= new Map()).set(attribute, message);
  else node.messages?.delete(attribute);
  node.setAttribute(attribute, String(message));
}

function textOf(child) {
  if (!(child instanceof Message)) return child;
  const node = document.createTextNode(String(child));
  return Object.assign(node, { message: child });
}

/** Replace everything inside an element. */
export function fill(node, ...children) {
  node.replaceChildren(
    ...children
      .flat()
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map(textOf),
  );
  return node;
}

/** Write every remembered message under a node again, in the present language. */
export function retranslate(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = root; node; node = walker.nextNode()) {
    if (node.message) node.data = String(node.message);
    for (const [attribute, message] of node.messages ?? []) node.setAttribute(attribute, String(message));
  }
}

/** A line drawing of 24 × 24 from icons.js; decoration only, so hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" }))
    svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon; its name is what screen readers say and what the tooltip shows. */
export function iconButton(name, label, onclick, properties = {}) {
  const { class: extra = "", ...others } = properties;
  return el(
    "button",
    { type: "button", class: `icon-button ${extra}`, "aria-label": label, title: label, onclick, ...others },
    icon(name),
  );
}

/** The nearest element around an event's place that fits a selector, or null. */
export const nearest = (event, selector) => /** @type {Element} */ (event.target).closest(selector);

let counter = 0;

/** An id no other element has, to tie a label to its field. */
export function freshId(prefix = "x") {
  counter += 1;
  return `${prefix}-${counter}`;
}

/** A field with its label before it. */
export function field(label, control, hint = null) {
  control.id ||= freshId("field");
  const help = hint && el("small", { id: freshId("hint"), class: "hint" }, hint);
  if (help) control.setAttribute("aria-describedby", help.id);
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control, help);
}

/** A field for a name that becomes a file's: letters of any alphabet, digits, - and _. */
export function nameField(properties) {
  return el("input", { type: "text", maxlength: 64, pattern: "[\\p{L}\\p{N}_\\-]+", ...properties });
}

/** A drop-down list of [value, text] pairs. */
export function select(options, chosen, onchange, properties = {}) {
  const node = el("select", { ...properties, onchange: () => onchange?.(node.value) });
  for (const [value, text] of options) node.append(el("option", { value }, text));
  if (chosen !== undefined && chosen !== null) node.value = chosen;
  return node;
}

/** One of a few, as joined buttons; arrows move between them as with radio buttons. */
export function segments(label, options, chosen, onchange) {
  const name = freshId("segments");
  const choices = options.map(([value, text]) => {
    const input = el("input", {
      type: "radio",
      name,
      value,
      checked: value === chosen,
      onchange: () => onchange(value),
    });
    return el("label", {}, input, el("span", {}, text));
  });
  return el("div", { class: "segments", role: "radiogroup", "aria-label": label }, choices);
}
