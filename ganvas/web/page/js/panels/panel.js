// The panel at the right (below on a narrow page): what the tool can be set to, then the tabs.

import { el, fill, icon, iconButton, say } from "../dom.js";
import { t } from "../i18n/index.js";
import { state, update, watch } from "../state.js";
import { adjustTab } from "./adjust.js";
import { enlargeTab } from "./enlarge.js";
import { historyTab } from "./history.js";
import { styleTab } from "./style.js";
import { brushOptions, dragOptions } from "./tool-options.js";
import { variantsTab } from "./variants.js";

/** @type {[string, string, () => any][]} */
const TABS = [
  ["adjust", "sliders", adjustTab],
  ["style", "style", styleTab],
  ["enlarge", "enlarge", enlargeTab],
  ["variants", "batch", variantsTab],
  ["history", "history", historyTab],
];

export function mountPanel() {
  const panel = document.getElementById("panel");
  say(panel, "aria-label", t("panel"));
  const tabs = el("div", { class: "tabs", role: "tablist", "aria-label": t("panel") }, TABS.map(tabButton));
  const pages = TABS.map(([name, , make]) =>
    el(
      "div",
      {
        role: "tabpanel",
        id: `tab-${name}`,
        "aria-labelledby": `tabbutton-${name}`,
        class: "tab-page",
        tabindex: "-1",
      },
      make(),
    ),
  );
  const options = { drag: dragOptions(), brush: brushOptions() };
  const grip = iconButton("chevron", t("panel.fold"), () => fold(!panel.classList.contains("folded")), {
    class: "fold",
  });
  fill(
    panel,
    el("div", { class: "tool-options" }, Object.values(options)),
    el("div", { class: "tab-row" }, tabs, grip),
    el("div", { class: "tab-pages" }, pages),
  );
  tabs.addEventListener("keydown", (event) => arrows(event, tabs));
  const follow = () => {
    panel.hidden = !state.session;
    for (const [tool, node] of Object.entries(options))
      node.hidden = state.tool !== tool || state.session?.state !== "ready";
    TABS.forEach(([name], index) => {
      const chosen = state.tab === name;
      tabs.children[index].setAttribute("aria-selected", String(chosen));
      tabs.children[index].tabIndex = chosen ? 0 : -1;
      pages[index].hidden = !chosen;
      pages[index].tabIndex = state.session?.state === "ready" ? -1 : 0; // before that there is nothing in it to go to
    });
  };
  const fold = (on) => {
    panel.classList.toggle("folded", on);
    grip.setAttribute("aria-expanded", String(!on));
  };
  watch(["tab", "tool", "session"], follow);
  watch(["tab"], () => fold(false));
  watch(["tab", "tool"], () => (panel.scrollTop = 0));
  follow();
}

function tabButton(/** @type {any[]} */ [name, drawing]) {
  return el(
    "button",
    {
      type: "button",
      role: "tab",
      id: `tabbutton-${name}`,
      "aria-controls": `tab-${name}`,
      onclick: () => update({ tab: name }),
    },
    icon(drawing),
    el("span", {}, t(`tab.${name}`)),
  );
}

function arrows(event, tabs) {
  const ways = { ArrowLeft: -1, ArrowRight: 1 };
  if (!(event.key in ways)) return;
  event.preventDefault();
  const at = TABS.findIndex(([name]) => name === state.tab);
  const next = (at + ways[event.key] + TABS.length) % TABS.length;
  update({ tab: TABS[next][0] });
  tabs.children[next].focus();
}
