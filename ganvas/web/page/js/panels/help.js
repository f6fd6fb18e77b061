// What the keyboard can do, and where this program comes from.

import { openDialog } from "../dialog.js";
import { el } from "../dom.js";
import { t } from "../i18n/index.js";
import { state } from "../state.js";

/** The help dialog, with the table of `keys.js`. */
export function openHelp(keyTable) {
  const rows = keyTable.map(([keys, text]) =>
    el(
      "div",
      {},
      el(
        "dt",
        {},
        keys.split("  ").map((one) => el("kbd", {}, one)),
      ),
      el("dd", {}, t(text)),
    ),
  );
  const about = el("p", { class: "hint" }, t("about", { version: state.info?.version ?? "" }));
  const api = el("a", { href: "docs" }, t("help.api"));
  openDialog(t("help"), [el("dl", { class: "keys" }, rows), about, el("p", {}, api)]);
}
