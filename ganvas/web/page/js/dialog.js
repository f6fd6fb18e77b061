// Dialogs: the browser's own <dialog>, which keeps the focus inside and gives it back.

import { el, iconButton } from "./dom.js";
import { t } from "./i18n/index.js";

/**
 * Show a dialog; `close()` or Escape ends it. `actions` are the buttons at its foot.
 *
 * @param {any} title
 * @param {any} body
 * @param {any[]} actions
 * @param {{wide?: boolean, onclose?: () => void}} [more]
 */
export function openDialog(title, body, actions = [], { wide = false, onclose } = {}) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const dialog = el("dialog", { class: wide ? "wide" : "", "aria-labelledby": "dialog-title" });
  const close = () => dialog.close();
  dialog.append(
    el("header", {}, heading, iconButton("close", t("close"), close)),
    el("div", { class: "dialog-body" }, body),
    actions.length ? el("footer", {}, actions) : "",
  );
  dialog.addEventListener("close", () => (dialog.remove(), onclose?.()));
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && close());
  document.body.append(dialog);
  dialog.showModal();
  (dialog.querySelector("[autofocus]") ?? dialog.querySelector("footer .primary") ?? dialog).focus();
  return { dialog, close };
}

/** A question with one answer that goes on; true when it was chosen. */
export function ask(title, body, yes, no = t("cancel")) {
  return new Promise((answer) => {
    let chosen = false;
    const go = el("button", { type: "button", class: "primary", onclick: () => ((chosen = true), close()) }, yes);
    const stay = el("button", { type: "button", onclick: () => close() }, no);
    const { close } = openDialog(title, body, [stay, go], { onclose: () => answer(chosen) });
  });
}
