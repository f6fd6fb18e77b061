// Names of directions for the reader.

import { known, t } from "../i18n/index.js";

/** A direction's name in the reader's language, or its own. */
export const directionName = (name) =>
  known(`direction.${name}`) ? t(`direction.${name}`) : name.replaceAll("_", " ");
