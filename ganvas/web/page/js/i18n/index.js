// Texts by name, in the reader's language. A language is one table; a name that one table lacks is shown as it is.

import { EN } from "./en.js";
import { KO } from "./ko.js";

const TABLES = { en: EN, ko: KO };

/** Languages there are: [code, its own name]. */
export const LANGUAGES = [
  ["en", "English"],
  ["ko", "한국어"],
];

export let language =
  localStorage.getItem("language") ??
  (navigator.languages.find((one) => one.slice(0, 2) in TABLES) ?? "en").slice(0, 2);
document.documentElement.lang = language;

/** A text that is looked up when it is shown, so that it follows the language. */
export class Message {
  constructor(name, values) {
    this.name = name;
    this.values = values;
  }

  toString() {
    const text = TABLES[language][this.name] ?? EN[this.name] ?? this.name;
    return text.replace(/\{(\w+)\}/g, (_, key) => this.values[key] ?? "");
  }
}

/** A text by its name in the tables; {n} in it takes the value n. */
export const t = (name, values = {}) => new Message(name, values);

/** Whether the tables have a text of that name. */
export const known = (name) => name in EN;

/** Switch; whoever shows texts is told with the event "language" on document. */
export function setLanguage(code) {
  language = code;
  localStorage.setItem("language", code);
  document.documentElement.lang = code;
  document.dispatchEvent(new Event("language"));
}
