// What the network answers: probabilities, what speaks for a class, and the images it takes for alike.

import { backend } from "./backend.js";
import { find, make, percent } from "./dom.js";
import { isTouched } from "./pad.js";
import { showPixels } from "./pictures.js";
import { paint, paintImage } from "./palette.js";
import { change, latest, on, state } from "./state.js";
import { attempt } from "./trouble.js";
import { t } from "./words.js";

const ROWS = 10;
const NEIGHBOURS = 8; // as many as the model gives
const CALM = 700; // milliseconds without a change before it is spoken, and before others are asked

let rows = [];
let calm = 0;

export function setUpScores() {
  const { classes } = state.network;
  for (const name of ["score-box", "why-box"]) find(name).hidden = !classes;
  if (!classes) return;
  rows = Array.from({ length: Math.min(ROWS, classes.length) }, () => {
    const name = make("span", { class: "name" });
    const bar = make("span", { class: "bar-fill" });
    const value = make("span", { class: "value" });
    const button = make("button", { type: "button", "aria-pressed": "false" },
      name, make("span", { class: "bar-box" }, bar), value);
    const row = { button, name, bar, value, index: 0 };
    button.addEventListener("click", () => ask(state.chosen === row.index ? null : row.index));
    return row;
  });
  const longest = Math.max(...classes.map((name) => name.length));
  find("scores").classList.toggle("short", longest <= 3);
  find("scores").style.setProperty("--name-width", `${Math.min(longest, 12) + 1}ch`);
  find("scores").replaceChildren(...rows.map(({ button }) => make("li", {}, button)));
  find("overlays").addEventListener("change", () => change({ chosen: state.chosen }));
  on("scores chosen", showScores);
  on("scores chosen", latest(attempt(showOverlay)));
  // They keep their places until they are known.
  find("neighbour-box").hidden = state.network.data === null;
  find("neighbours").replaceChildren(...Array.from({ length: NEIGHBOURS }, () => neighbour("–")));
  on("image source words", wait);
}

/** Ask about a class: an overlay says what speaks for it. */
function ask(index) {
  if (index !== null && overlayKind() === "none") find("overlays").querySelector("[value=cam]").checked = true;
  change({ chosen: index });
}

const overlayKind = () => find("overlays").querySelector(":checked").value;

function showScores() {
  const scores = state.scores;
  if (!scores) return;
  const order = scores.map((_, index) => index);
  // All classes keep their places; of many the most probable are shown.
  if (scores.length > rows.length) order.sort((one, other) => scores[other] - scores[one]);
  const best = winner();
  rows.forEach((row, place) => {
    row.index = order[place];
    const share = scores[row.index] ?? 0;
    row.name.textContent = state.network.classes[row.index];
    row.bar.style.transform = `scaleX(${share})`;
    row.value.textContent = percent(share);
    row.button.classList.toggle("best", row.index === best);
    row.button.setAttribute("aria-pressed", String(row.index === state.chosen));
  });
}

export function winner() {
  const { scores } = state;
  return scores ? scores.indexOf(Math.max(...scores)) : -1;
}

const asked = () => state.chosen ?? winner();

async function showOverlay() {
  const kind = overlayKind();
  const overlay = find("overlay");
  overlay.hidden = kind === "none";
  if (kind === "none" || !state.image || !state.scores) {
    find("why").textContent = t("why_none");
    return;
  }
  find("why").textContent = t(`why_${kind}`, { name: state.network.classes[asked()] });
  const { shares } = await backend.attribute(state.image, state.source, asked(), kind);
  layOver(overlay, shares);
}

/** The image as the network takes it, which may have been centred, dark below the shares. */
function layOver(overlay, shares) {
  const [picture, heat] = [make("canvas"), make("canvas")];
  paintImage(picture, state.image, state.network.input);
  paint(heat, shares.data, shares.shape[0], shares.shape[1], "heat");
  const { width, height } = find("pad");
  Object.assign(overlay, { width, height });
  const context = overlay.getContext("2d");
  context.fillRect(0, 0, width, height);
  context.globalAlpha = 0.55;
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, width, height);
  context.globalAlpha = 1;
  context.imageSmoothingEnabled = true;
  context.drawImage(heat, 0, 0, width, height);
}

/** When nobody has drawn for a moment: speak the answer, and look for what is alike. */
function wait() {
  clearTimeout(calm);
  calm = setTimeout(() => {
    const best = winner();
    if (best < 0) return;
    const values = { name: state.network.classes[best], share: percent(state.scores[best]) };
    if (isTouched()) find("spoken").textContent = t("spoken", values);
    showNeighbours();
  }, CALM);
}

const showNeighbours = latest(attempt(async () => {
  const shown = state.network.data !== null && state.source === null;
  find("neighbour-box").hidden = !shown;
  if (!shown || !state.image) return;
  const { labels, cosines, images } = await backend.neighbours(state.image);
  const size = images.data.length / labels.length;
  find("neighbours").replaceChildren(
    ...labels.map((label, index) => {
      const pixels = images.data.subarray(index * size, (index + 1) * size);
      return neighbour(`${state.network.classes[label]} · ${cosines[index].toFixed(2)}`, pixels);
    }),
  );
}));

/** A training image that one can look at; without pixels, its place. */
function neighbour(told, pixels = null) {
  const canvas = make("canvas", { class: "thumb" });
  if (pixels) paintImage(canvas, pixels, state.network.input);
  return make("li", {},
    make("button", { type: "button", title: told, disabled: !pixels, onclick: () => showPixels(pixels) },
      canvas, make("span", {}, told)));
}
