// Names of directions, and names made of them, for the reader.

import { known, t } from "../i18n/index.js";

/** A direction's name in the reader's language, or its own. */
export const directionName = (name) =>
  known(`direction.${name}`) ? t(`direction.${name}`) : name.replaceAll("_", " ");

/** A variant's name; one that the server made ("age +0.4", "colour 7") begins with a word of the reader's language. */
export const variantName = (name) =>
  name.replace(/^[a-z_]+(?= [+-]?\d)/, (word) => {
    const found = [`direction.${word}`, `style.${word}`].find(known);
    return found ? String(t(found)) : word;
  });
