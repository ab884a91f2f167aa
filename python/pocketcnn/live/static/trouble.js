// When the model does not answer: the page says so, asks again, and goes on when it is back.

import { Gone, Refused, backend } from "./backend.js";
import { find } from "./dom.js";
import { tell } from "./state.js";
import { t } from "./words.js";

const PAUSE = 1000; // milliseconds between questions whether it is back

let away = false;

/** The work, with its failures told and not thrown. */
export function attempt(work) {
  return async (...values) => {
    try {
      return await work(...values);
    } catch (error) {
      if (error instanceof Gone) lose(error.reason);
      else if (error instanceof Refused) find("told").textContent = error.message;
      else throw error;
      return undefined;
    }
  };
}

export const isAway = () => away;

async function lose(reason) {
  const box = find("gone");
  box.dataset.reason = reason;
  box.textContent = t(reason === "renewed" ? "renewed" : "away");
  box.hidden = false;
  if (away) return;
  away = true;
  while (away) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    try {
      await backend.progress("");
      away = false;
    } catch (error) {
      box.dataset.reason = error.reason;
      box.textContent = t(error.reason === "renewed" ? "renewed" : "away");
    }
  }
  box.hidden = true;
  tell("back");
}
