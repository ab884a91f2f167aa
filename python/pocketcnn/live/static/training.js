// Train here: settings, curves, the first filters as they form, and a way back through the epochs.

import { backend } from "./backend.js";
import { chart } from "./chart.js";
import { find, make, percent } from "./dom.js";
import { paint, toBytes } from "./palette.js";
import { change, latest, on, state } from "./state.js";
import { show } from "./source.js";
import { attempt, isAway } from "./trouble.js";
import { t } from "./words.js";

const FAST = 150; // milliseconds between questions while something trains
const SLOW = 2000; // and while nothing does
const RATES = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3];
const BATCHES = [16, 32, 64, 100, 200, 500];
const COLOURS = ["one", "two", "three", "four", "five", "six"];
const MOST_FILTERS = 96;

const form = { optimizer: "Adam", rate: 0.001, batch_size: 100, epochs: 5 };
const parts = {};
const compared = new Set(); // numbers of the runs whose curves are shown
let version = "";
let shown = null; // the run whose filters and epochs are shown
let epoch = null; // which of its epochs; null: as it trains

const runOf = (number) => state.runs.find((run) => run.number === number);
const colourOf = (number) => COLOURS[(number - 1) % COLOURS.length];
const moving = () => state.runs.find((run) => ["running", "paused"].includes(run.state));

export function setUpTraining() {
  form.begin = state.network.begin;
  render();
  on("words", render);
  on("runs visible", showRuns);
  on("source", () => showFilters());
  on("back", poll);
  watch();
}

/** Ask for the runs, often while something trains; a hidden page asks for nothing. */
async function watch() {
  for (;;) {
    const begun = performance.now();
    if (!document.hidden && !isAway()) await poll();
    const busy = state.runs.some((run) => run.state === "running");
    // On a busy computer the training comes first.
    const pause = Math.max(busy ? FAST : SLOW, 2 * (performance.now() - begun));
    await new Promise((resolve) => setTimeout(resolve, Math.min(pause, SLOW)));
  }
}

const poll = latest(attempt(async () => {
  const answer = await backend.progress(version);
  version = answer.version;
  if (!answer.runs) return;
  const known = new Set(state.runs.map((run) => run.number));
  for (const run of answer.runs) {
    if (known.has(run.number)) continue;
    compared.add(run.number);
    while (compared.size > 2) compared.delete([...compared][0]);
    [shown, epoch] = [run.number, null];
  }
  change({ runs: answer.runs });
  await showFilters();
}));

function render() {
  const { network } = state;
  const box = find("train");
  if (!network.data || !network.classes) {
    box.replaceChildren(make("div", { class: "card" }, make("p", {}, t("no_data"))));
    return;
  }
  const choice = (name, values, format = String) =>
    make("label", { class: "setting" }, make("span", {}, t(`set_${name}`)),
      make("select", { id: `set-${name}`, onchange: (event) => choose(name, event.target.value) },
        ...values.map((value) => make("option", { value, selected: value === form[name] }, format(value)))));
  parts.buttons = make("div", { class: "row tools" });
  parts.state = make("p", { class: "note", role: "status" });
  parts.runs = make("ul", { class: "runs" });
  parts.loss = make("div", { class: "chart-box" });
  parts.accuracy = make("div", { class: "chart-box" });
  parts.filters = make("div", { class: "filters" });
  parts.filtersTitle = make("h2");
  parts.slider = make("input", { type: "range", min: 0, max: 0, step: 1, id: "epoch", "aria-label": t("epoch") });
  parts.slider.addEventListener("input", () => goBack(Number(parts.slider.value)));
  parts.sliderText = make("output", { for: "epoch" });
  parts.sliderNote = make("p", { class: "note" });
  box.replaceChildren(
    make("div", { class: "card" },
      make("h2", {}, t("train_title", { name: network.data.name, count: network.data.training.toLocaleString() })),
      make("div", { class: "settings-row" },
        choice("begin", network.begins, (word) => t(`begin_${word}`, {}, word)),
        choice("optimizer", network.optimizers),
        choice("rate", RATES),
        choice("batch_size", BATCHES),
        choice("epochs", [1, 2, 3, 5, 10, 20, 50])),
      parts.buttons, parts.state, parts.runs),
    make("div", { class: "charts" },
      make("div", { class: "card" }, make("h2", {}, t("loss")), parts.loss),
      make("div", { class: "card" }, make("h2", {}, t("accuracy")), parts.accuracy)),
    make("p", { class: "note legend" }, t("legend")),
    make("div", { class: "card" }, parts.filtersTitle,
      make("label", { class: "slider" }, make("span", {}, t("epoch")), parts.slider, parts.sliderText),
      parts.sliderNote, parts.filters));
  showRuns();
  showFilters();
}

function choose(name, text) {
  form[name] = ["optimizer", "begin"].includes(name) ? text : Number(text);
  const run = moving();
  if (name === "rate" && run) send({ action: "rate", run: run.number, rate: form.rate });
}

/** Tell the model what to do; gives the number of the run. */
const send = attempt(async (command) => {
  find("told").textContent = "";
  const { run } = await backend.train(command);
  await poll();
  return run;
});

/** Do one step, of a new run if none trains. */
async function step() {
  const run = moving()?.number ?? (await send({ action: "start", ...form, paused: true }));
  if (run !== undefined) await send({ action: "step", run });
}

function showRuns() {
  if (!parts.buttons || find("train").hidden) return;
  const run = moving();
  const button = (id, word, act, enabled = true) =>
    make("button", { type: "button", id: `do-${id}`, class: id === "start" ? "primary" : "", disabled: !enabled, onclick: act }, t(word));
  const focused = document.activeElement?.id;
  const act = (action) => () => send({ action, run: run.number });
  parts.buttons.replaceChildren(
    button("start", state.runs.length ? "start_another" : "start", () => send({ action: "start", ...form })),
    run?.state === "paused" ? button("resume", "resume", act("resume")) : button("pause", "pause", run && act("pause"), Boolean(run)),
    button("step", "step", step),
    button("stop", "stop", run && act("stop"), Boolean(run)));
  if (focused?.startsWith("do-")) find(focused)?.focus();
  const last = state.runs.at(-1);
  parts.state.textContent = last
    ? t(`state_${last.state}`, { number: last.number, epoch: last.epoch, epochs: last.recipe.epochs, step: last.step, error: last.error })
    : t("state_none");
  parts.runs.replaceChildren(...state.runs.map(entry));
  showCharts();
  showSlider();
}

/** A line about a run: shown or not, what it was made with, what it reached. */
function entry(run) {
  const { number, recipe } = run;
  const last = run.records.at(-1);
  const told = [
    t(`begin_${recipe.begin}`, {}, recipe.begin), recipe.optimizer, run.rate, t("batch", { count: recipe.batch_size }),
  ];
  if (last) told.push(percent(last.val_accuracy));
  const box = make("input", { type: "checkbox", id: `run-${number}` });
  box.checked = compared.has(number);
  box.addEventListener("change", () => {
    if (box.checked) compared.add(number);
    else compared.delete(number);
    showRuns();
  });
  const open = () => {
    [shown, epoch] = [number, null];
    showRuns();
    showFilters();
  };
  return make("li", { class: shown === number ? "shown" : "" },
    make("label", { class: "check" }, box, make("span", { class: `swatch ${colourOf(number)}` }), t("run", { number })),
    make("button", { type: "button", class: "quiet", onclick: open }, told.join(" · ")));
}

function showCharts() {
  const runs = state.runs.filter(({ number }) => compared.has(number));
  const curves = (point, column) => runs.map(({ number, points, records }) => ({
    name: t("run", { number }),
    colour: colourOf(number),
    points: points.map((one) => [one[0], one[point]]),
    dots: records.map((record) => [record.epoch, record[column]]),
  }));
  const mark = epoch;
  parts.loss.replaceChildren(chart(t("loss"), curves(1, "val_loss"), { mark }));
  parts.accuracy.replaceChildren(chart(t("accuracy"), curves(2, "val_accuracy"), { share: true, mark }));
}

function showSlider() {
  const run = runOf(shown);
  const epochs = run?.epochs ?? [];
  parts.slider.max = Math.max(0, epochs.length - 1);
  parts.slider.disabled = epochs.length < 2;
  if (epoch === null) parts.slider.value = parts.slider.max;
  parts.sliderText.textContent = epoch ?? epochs.at(-1) ?? 0;
  parts.sliderNote.textContent = run ? t("epoch_told", { number: shown }) : "";
}

/** Show the run's weights of an epoch: its filters here, and everywhere else on the page. */
function goBack(index) {
  const { epochs } = runOf(shown);
  epoch = index === epochs.length - 1 ? null : epochs[index];
  show({ run: shown, epoch: epochs[index] });
  showCharts();
  showSlider();
}

const showFilters = latest(attempt(async () => {
  const run = runOf(shown);
  parts.filtersTitle?.replaceChildren(t("filters_title", { name: run?.filters.replace(".weight", "") ?? "" }));
  if (!run?.filters || find("train").hidden) return;
  const { filters } = await backend.filters(shown, epoch);
  const [count, channels, height, width] = filters.shape;
  const area = height * width;
  const size = channels * area;
  const { bytes, name } = toBytes(filters.data, null, true);
  const number = Math.min(count, MOST_FILTERS);
  while (parts.filters.childElementCount > number) parts.filters.lastChild.remove();
  while (parts.filters.childElementCount < number) {
    parts.filters.append(make("canvas", { role: "img", "aria-label": t("filter") }));
  }
  [...parts.filters.children].forEach((canvas, index) => {
    paint(canvas, bytes.subarray(index * size, index * size + area), height, width, name);
  });
}));
