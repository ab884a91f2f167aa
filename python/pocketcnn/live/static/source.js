// Whose weights are shown: the model's, or those of a run after an epoch.

import { backend } from "./backend.js";
import { find, make } from "./dom.js";
import { change, on, state, tell } from "./state.js";
import { attempt } from "./trouble.js";
import { t } from "./words.js";

export function setUpSource() {
  const select = find("source");
  const key = (source) => (source ? `${source.run}:${source.epoch}` : "");
  const render = () => {
    const options = [["", t("the_model")]];
    for (const { number, epochs } of state.runs) {
      const own = state.source?.run === number ? [state.source.epoch] : [];
      for (const epoch of new Set([...own, ...epochs.slice(-1)])) {
        options.push([`${number}:${epoch}`, t("run_epoch", { number, epoch })]);
      }
    }
    if (select.dataset.options === JSON.stringify(options) && select.value === key(state.source)) return;
    select.dataset.options = JSON.stringify(options);
    select.replaceChildren(...options.map(([value, word]) => make("option", { value }, word)));
    select.value = key(state.source);
  };
  select.addEventListener("change", () => {
    const [run, epoch] = select.value.split(":").map(Number);
    show(select.value ? { run, epoch } : null);
  });
  on("runs source words", render);
  render();
}

/** Show other weights, and the layers that they belong to. */
export const show = attempt(async (source) => {
  const { layers } = source ? await backend.network(source.run) : state.network;
  const names = (all) => JSON.stringify(all.map(({ name, shape }) => [name, shape]));
  if (names(layers) !== names(state.layers)) {
    // Nothing may be asked of layers that the other network does not have.
    Object.assign(state, { source, selected: null });
    change({ layers });
    tell("selected");
  }
  change({ source });
});
