// The studio's page: puts the parts together and starts.

import "./canvas/stage.js";
import "./canvas/compare.js";
import { resume } from "./bench.js";
import { retranslate } from "./dom.js";
import { startIntake } from "./intake.js";
import { startKeys } from "./keys.js";
import { mountAreas } from "./panels/areas.js";
import { mountBar } from "./panels/bar.js";
import { openBatch } from "./panels/batch.js";
import { mountFoot } from "./panels/foot.js";
import { loadModels } from "./panels/models.js";
import { mountPanel } from "./panels/panel.js";
import { mountRail } from "./panels/rail.js";
import { mountStart } from "./panels/start.js";
import { complain } from "./toast.js";

document.addEventListener("language", () => retranslate(document.documentElement));

async function start() {
  mountBar();
  mountRail();
  mountPanel();
  mountFoot();
  mountStart();
  mountAreas();
  startKeys();
  startIntake(openBatch);
  try {
    await loadModels();
    await resume();
  } catch (error) {
    complain(error);
  }
  document.documentElement.dataset.ready = "yes"; // for whoever waits for the page, such as its tests
}

start();
