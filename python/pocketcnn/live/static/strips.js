// Every layer as a strip of maps, from the input to the classes.

import { make, shapeText, short } from "./dom.js";
import { paint, paintImage } from "./palette.js";
import { change, on, state, tell } from "./state.js";
import { t } from "./words.js";

const FIRST_MAPS = 32; // of a layer, before one asks for more
const MANY_MAPS = 512;

const strips = new Map();
const visible = new Set();
let observer = null;

/** The layers whose strips are on the screen, and how many maps of them are wanted. */
export function wanted() {
  const names = [...strips.keys()].filter((name) => visible.has(name));
  return { names, maps: Math.max(FIRST_MAPS, ...names.map((name) => strips.get(name).maps)) };
}

export const kindWord = (kind) => t(`kind_${kind}`, {}, kind);

export function setUpStrips(box) {
  observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) visible.add(target.dataset.layer);
        else visible.delete(target.dataset.layer);
      }
      tell("visible");
    },
    { rootMargin: "300px" },
  );
  const render = () => {
    observer.disconnect();
    visible.clear();
    strips.clear();
    const { network, layers } = state;
    const input = { name: "input", kind: "Input", shape: network.input, parameters: 0, settings: "" };
    box.replaceChildren(...[input, ...layers].map((layer) => makeStrip(layer).section));
    for (const { section } of strips.values()) observer.observe(section);
  };
  on("layers", render);
  on("words", () => strips.forEach(label));
  on("selected", markSelected);
  render();
}

function makeStrip(layer) {
  const strip = {
    layer,
    maps: Math.min(FIRST_MAPS, layer.shape[0]),
    isMaps: layer.shape.length === 3,
    tiles: [],
    title: make("h3", { id: `strip-${layer.name}`, tabindex: -1 }),
    about: make("p", { class: "note" }),
    range: make("span", { class: "range" }),
    body: make("div", { class: "maps", role: "group" }),
    more: make("button", { type: "button", class: "quiet", hidden: true }),
  };
  strip.section = make("section", { class: "card strip", "data-layer": layer.name },
    make("div", { class: "strip-head" }, strip.title, strip.range), strip.about, strip.body, strip.more);
  strip.more.addEventListener("click", () => {
    strip.maps = Math.min(MANY_MAPS, layer.shape[0]);
    makeTiles(strip);
    label(strip);
    tell("visible");
  });
  strip.body.addEventListener("keydown", (event) => moveAmong(strip, event));
  strips.set(layer.name, strip);
  makeTiles(strip);
  label(strip);
  return strip;
}

/** Write the words of a strip. */
function label(strip) {
  const { layer, title, about, body, more } = strip;
  title.replaceChildren(layer.name, " ", make("span", { class: "kind" }, kindWord(layer.kind)));
  const facts = [shapeText(layer.shape)];
  if (layer.parameters) {
    facts.push(t("numbers", { count: layer.parameters.toLocaleString(document.documentElement.lang) }));
  }
  if (layer.settings) facts.push(layer.settings);
  about.textContent = facts.join(" · ");
  body.setAttribute("aria-label", t("maps_of", { name: layer.name }));
  more.hidden = !strip.isMaps || strip.maps >= Math.min(MANY_MAPS, layer.shape[0]);
  more.textContent = t("more_maps", { count: Math.min(MANY_MAPS, layer.shape[0]) });
  strip.tiles.forEach(({ button }, index) => {
    const values = { name: layer.name, index };
    button.setAttribute("aria-label", t(strip.isMaps ? "map_label" : "band_label", values));
  });
}

function makeTiles(strip) {
  const count = strip.isMaps ? strip.maps : 1;
  strip.tiles = Array.from({ length: count }, (_, index) => {
    const canvas = make("canvas", strip.isMaps ? {} : { class: "band" });
    const button = make("button", { type: "button", class: "map", tabindex: index ? -1 : 0 }, canvas);
    if (strip.isMaps) {
      const [, height, width] = strip.layer.shape;
      canvas.style.aspectRatio = `${width} / ${height}`;
      button.append(make("span", { "aria-hidden": "true" }, String(index)));
      button.addEventListener("click", () => select(strip.layer, index));
    } else {
      const [, across] = bandSize(strip.layer.shape[0]);
      // A cell of a short band is as large as one of a long one.
      canvas.style.width = `min(100%, ${across * 12}px)`;
      button.addEventListener("click", (event) => select(strip.layer, cellAt(strip, canvas, event)));
    }
    return { button, canvas };
  });
  if (strip.layer.name === "input") strip.tiles.splice(1);
  strip.body.replaceChildren(...strip.tiles.map(({ button }) => button));
}

/** Rows and columns of the band that shows a layer without maps. */
function bandSize(count) {
  const across = Math.min(count, 64);
  return [Math.ceil(count / across), across];
}

function cellAt(strip, canvas, event) {
  const count = strip.layer.shape[0];
  const [down, across] = bandSize(count);
  const box = canvas.getBoundingClientRect();
  // From the keyboard there is no place: the largest number is the one to ask about.
  if (!event.detail) return strip.largest ?? 0;
  const column = Math.floor(((event.clientX - box.left) / box.width) * across);
  const row = Math.floor(((event.clientY - box.top) / box.height) * down);
  return Math.max(0, Math.min(count - 1, row * across + column));
}

/** Show a number of a layer in the inspector: of a map the one where it is strongest. */
function select(layer, index) {
  if (layer.name === "input") return;
  const place = layer.shape.length === 3 ? [index, ...strongest(layer, index)] : [index];
  change({ selected: { layer: layer.name, place } });
}

function strongest(layer, index) {
  const [, height, width] = layer.shape;
  const { shown } = strips.get(layer.name);
  if (!shown || index >= shown.shape[0]) return [Math.floor(height / 2), Math.floor(width / 2)];
  const [, rows, columns] = shown.shape;
  const zero = shown.signed ? 128 : 0;
  const bytes = shown.data.subarray(index * rows * columns, (index + 1) * rows * columns);
  let best = 0;
  bytes.forEach((byte, at) => {
    if (Math.abs(byte - zero) > Math.abs(bytes[best] - zero)) best = at;
  });
  // A large map is drawn smaller than it is.
  const [row, column] = [Math.floor(best / columns), best % columns];
  return [Math.floor(((row + 0.5) * height) / rows), Math.floor(((column + 0.5) * width) / columns)];
}

function moveAmong(strip, event) {
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
  if (!step) return;
  const at = strip.tiles.findIndex(({ button }) => button === document.activeElement);
  const next = Math.max(0, Math.min(strip.tiles.length - 1, at + step));
  strip.tiles.forEach(({ button }, index) => {
    button.tabIndex = index === next ? 0 : -1;
  });
  strip.tiles[next].button.focus();
  event.preventDefault();
}

/** Draw what backend.look gave. */
export function showStrips(found) {
  for (const [name, about] of Object.entries(found)) {
    const strip = strips.get(name);
    if (!strip) continue; // the network has been exchanged meanwhile
    strip.shown = about;
    strip.range.textContent = about.finite ? `${short(about.low)} … ${short(about.high)}` : "∞";
    const [count, height, width] = about.shape;
    const table = about.signed ? "signed" : "plain";
    if (name === "input") {
      paintImage(strip.tiles[0].canvas, state.image, state.network.input);
    } else if (strip.isMaps) {
      const plane = height * width;
      strip.tiles.slice(0, count).forEach(({ canvas }, index) => {
        const bytes = about.data.subarray(index * plane, (index + 1) * plane);
        paint(canvas, bytes, height, width, table);
      });
    } else {
      const [down, across] = bandSize(count);
      const bytes = new Uint8Array(down * across).fill(about.signed ? 128 : 0);
      bytes.set(about.data.subarray(0, bytes.length));
      strip.largest = about.data.indexOf(Math.max(...about.data));
      paint(strip.tiles[0].canvas, bytes, down, across, table);
    }
  }
}

function markSelected() {
  const { selected } = state;
  for (const [name, strip] of strips) {
    strip.tiles.forEach(({ button }, index) => {
      const chosen = selected?.layer === name && strip.isMaps && selected.place[0] === index;
      button.classList.toggle("selected", chosen);
    });
  }
}

/** Bring a layer's strip onto the screen. */
export function goTo(name) {
  const { title, section } = strips.get(name);
  section.scrollIntoView({ block: "center", behavior: "smooth" });
  title.focus({ preventScroll: true });
}
