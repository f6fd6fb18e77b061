// A photo on its way in: it is shown at once, with how much of it has arrived, until the studio has opened it.

import { el, fill } from "./dom.js";
import { t } from "./i18n/index.js";

const box = document.getElementById("incoming");

/** Show a file while `work(onProgress)` uploads and opens it. */
export async function showIncoming(file, work) {
  const address = URL.createObjectURL(file);
  const picture = el("img", { src: address, alt: "" });
  picture.addEventListener("error", () => picture.remove()); // HEIC and others that the browser cannot show
  const bar = el("progress", { max: 1, "aria-label": t("incoming", { name: file.name ?? "" }) });
  const words = el("span", {}, t("incoming", { name: file.name ?? "" }));
  fill(box, picture, el("div", { class: "incoming-words" }, words, bar));
  box.hidden = false;
  try {
    return await work((share) => {
      bar.value = share;
      if (share === 1) {
        bar.removeAttribute("value"); // it is there, and is being read
        fill(words, t("incoming.reading", { name: file.name ?? "" }));
      }
    });
  } finally {
    box.hidden = true;
    fill(box);
    URL.revokeObjectURL(address);
  }
}
