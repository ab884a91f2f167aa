// The page's words in the language that was chosen, or that the browser asks for.

import { change } from "./state.js";
import en from "./words-en.js";
import ja from "./words-ja.js";
import ko from "./words-ko.js";

const LANGUAGES = { en, ko, ja };
const KEPT = "pocketcnn-language";

let words = en;

/** The words for a key, with {names} replaced; without the key, `other`. */
export function t(key, values = {}, other = key) {
  return (words[key] ?? en[key] ?? other).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function preferred() {
  let kept = null;
  try {
    kept = localStorage.getItem(KEPT);
  } catch {
    // A browser that keeps nothing asks again.
  }
  const asked = [kept, ...navigator.languages.map((name) => name.slice(0, 2))];
  return asked.find((name) => name in LANGUAGES) ?? "en";
}

/** Write the whole page in a language. */
export function speak(language) {
  words = LANGUAGES[language];
  document.documentElement.lang = language;
  try {
    localStorage.setItem(KEPT, language);
  } catch {
    // Nothing is kept.
  }
  for (const element of document.querySelectorAll("[data-w]")) element.textContent = t(element.dataset.w);
  for (const element of document.querySelectorAll("[data-w-label]")) {
    element.setAttribute("aria-label", t(element.dataset.wLabel));
  }
  for (const element of document.querySelectorAll("[data-w-title]")) element.title = t(element.dataset.wTitle);
  change({ words: language });
}
