// The studio's page: puts the parts together and starts.

import "./canvas/stage.js";
import "./canvas/compare.js";
import { keptPhoto, resume } from "./bench.js";
import { retranslate } from "./dom.js";
import { startIntake } from "./intake.js";
import { startKeys } from "./keys.js";
import { loadProjects } from "./projects.js";
import { mountAreas } from "./panels/areas.js";
import { mountBar } from "./panels/bar.js";
import { openBatch } from "./panels/batch.js";
import { mountFoot } from "./panels/foot.js";
import { loadModels } from "./panels/models.js";
import { mountPanel } from "./panels/panel.js";
import { mountRail } from "./panels/rail.js";
import { takeIn } from "./panels/projects.js";
import { mountStart } from "./panels/start.js";
import { mountStrip } from "./panels/strip.js";
import { complain } from "./toast.js";
import { arrive, place, startWay } from "./way.js";

document.addEventListener("language", () => retranslate(document.documentElement));

async function start() {
  mountBar();
  mountRail();
  mountPanel();
  mountFoot();
  mountStart();
  mountStrip();
  mountAreas();
  startKeys();
  startIntake(openBatch, takeIn);
  try {
    const wanted = place();
    await Promise.all([loadModels(), loadProjects()]);
    if (!wanted.project || wanted.photo === keptPhoto()) await resume();
    startWay();
    if (location.hash) await arrive();
  } catch (error) {
    complain(error);
  }
  document.documentElement.dataset.ready = "yes"; // for whoever waits for the page, such as its tests
}

start();
