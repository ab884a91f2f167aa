// One number of a layer: where it is, what it saw, how it came about, and what excites its map most.

import { backend } from "./backend.js";
import { find, make, shapeText, short } from "./dom.js";
import { matrix, sign, sum } from "./numbers.js";
import { paint, paintImage, toBytes } from "./palette.js";
import { showPixels } from "./pictures.js";
import { change, latest, on, state } from "./state.js";
import { goTo, kindWord } from "./strips.js";
import { attempt } from "./trouble.js";
import { t } from "./words.js";

const CHIPS = 12; // channels whose shares are shown
const ROWS = 80; // of the table of products

const parts = {};
let plane = null; // the map that is shown: {shape, data}
let channel = -1; // whose product is shown, counted within the patch; -1: the one with most

export function setUpInspector() {
  render();
  on("words", render);
  on("selected image source", latest(attempt(renew)));
  on("selected source", latest(attempt(showExciting)));
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.selected) close();
  });
}

const layerOf = (name) => state.layers.find((layer) => layer.name === name);

function close() {
  const name = state.selected.layer;
  change({ selected: null });
  goTo(name);
}

/** Build the panel once; what changes is put into its parts. */
function render() {
  parts.title = make("h2", { tabindex: -1 });
  parts.about = make("p", { class: "note" });
  parts.input = make("canvas", { role: "img", "aria-label": t("field") });
  parts.field = make("div", { class: "field" });
  parts.map = make("canvas");
  parts.cursor = make("div", { class: "field" });
  parts.mapBox = make("div", {
    class: "frame aim", tabindex: 0, role: "application", "aria-label": t("map_keys"),
  }, parts.map, parts.cursor);
  parts.head = make("h3", { "aria-live": "polite" });
  parts.body = make("div", { class: "explained" });
  parts.explained = make("div", { class: "explained" }, parts.head, parts.body);
  parts.exciting = make("div", {});
  const body = make("div", { class: "inspector-body" },
    make("div", { class: "pair" },
      make("figure", {}, make("div", { class: "frame" }, parts.input, parts.field),
        make("figcaption", {}, t("field"))),
      make("figure", {}, parts.mapBox, make("figcaption", {}, t("map_hint")))),
    parts.explained, parts.exciting);
  const button = (word, label, act) =>
    make("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick: act }, word);
  find("inspector").replaceChildren(
    make("div", { class: "strip-head" }, parts.title,
      make("div", { class: "row" },
        button("‹", t("before"), () => step(-1)),
        button("›", t("after"), () => step(1)),
        button("✕", t("close"), close))),
    parts.about, body, make("p", { class: "empty" }, t("inspector_empty")));
  parts.mapBox.addEventListener("pointermove", aim);
  parts.mapBox.addEventListener("pointerdown", aim);
  parts.mapBox.addEventListener("keydown", key);
  show();
}

function show() {
  const { selected } = state;
  find("inspector").classList.toggle("open", selected !== null);
  if (!selected) return;
  const layer = layerOf(selected.layer);
  const [index] = selected.place;
  const word = layer.shape.length === 3 ? "map_title" : "number_title";
  parts.title.textContent = t(word, { name: layer.name, index });
  parts.about.textContent = `${kindWord(layer.kind)} · ${shapeText(layer.shape)}`;
  // Who chose it with the keys reads on here.
  if (document.activeElement.matches(".map:focus-visible")) parts.title.focus();
}

function step(by) {
  const { layer, place } = state.selected;
  const count = layerOf(layer).shape[0];
  channel = -1;
  change({ selected: { layer, place: [(place[0] + by + count) % count, ...place.slice(1)] } });
}

function moveTo(row, column) {
  const { layer, place } = state.selected;
  if (place.length < 3) return;
  const [, height, width] = layerOf(layer).shape;
  const next = [
    place[0],
    Math.max(0, Math.min(height - 1, row)),
    Math.max(0, Math.min(width - 1, column)),
  ];
  if (String(next) !== String(place)) change({ selected: { layer, place: next } });
}

function aim(event) {
  const [, height, width] = layerOf(state.selected.layer).shape;
  const box = parts.map.getBoundingClientRect();
  moveTo(Math.floor(((event.clientY - box.top) / box.height) * height),
    Math.floor(((event.clientX - box.left) / box.width) * width));
}

function key(event) {
  const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!move || state.selected.place.length < 3) return;
  const [, row, column] = state.selected.place;
  moveTo(row + move[0], column + move[1]);
  event.preventDefault();
}

/** Ask for the map and the explanation, and show them. */
async function renew() {
  const { selected, image, source } = state;
  show();
  if (!selected || !image) return;
  const layer = layerOf(selected.layer);
  const isMap = layer.shape.length === 3;
  const [found, map] = await Promise.all([
    backend.value(image, source, selected.layer, selected.place),
    isMap ? backend.plane(image, source, selected.layer, selected.place[0]) : null,
  ]);
  if (state.selected?.layer !== selected.layer) return;
  plane = map?.plane ?? null;
  paintImage(parts.input, image, state.network.input);
  const [top, left, bottom, right] = found.field;
  const [, tall, wide] = state.network.input;
  setBox(parts.field, [Math.max(0, top), Math.max(0, left), Math.min(tall, bottom), Math.min(wide, right)], tall, wide);
  parts.mapBox.closest("figure").hidden = !isMap;
  if (plane) {
    const [height, width] = plane.shape;
    const { bytes, name } = toBytes(plane.data);
    paint(parts.map, bytes, height, width, name);
    const [, row, column] = selected.place;
    setBox(parts.cursor, [row, column, row + 1, column + 1], height, width);
  }
  explain(found, layer, selected.place);
}

function setBox(element, [top, left, bottom, right], height, width) {
  const part = (value, whole) => `${(100 * value) / whole}%`;
  Object.assign(element.style, {
    top: part(top, height),
    left: part(left, width),
    height: part(bottom - top, height),
    width: part(right - left, width),
  });
}

function explain(found, layer, place) {
  const where = place.length === 3 ? `[${place[1]}, ${place[2]}]` : `[${place[0]}]`;
  parts.head.textContent = `${t("value")} ${where} = ${short(found.value, 4)}`;
  parts.body.replaceChildren(...explanation(found, layer, place));
}

function explanation(found, layer, place) {
  switch (found.kind) {
    case "product":
      return product(found, layer, place);
    case "largest":
    case "mean": {
      const [, height, width] = found.patch.shape;
      const chosen = found.kind === "largest" ? largestInside(found) : -1;
      const settings = { outside: (at) => !found.inside.data[at], chosen };
      return [make("p", {}, t(`explain_${found.kind}`)),
        make("div", { class: "sum" }, matrix(t("patch"), [...found.patch.data], height, width, settings))];
    }
    case "point":
      return [make("p", { class: "big" },
        `${kindWord(layer.kind)}(${short(found.before, 4)}) = ${short(found.value, 4)}`)];
    case "merge":
      return [make("ul", { class: "parts" },
        ...found.parts.map(({ name, value }) => make("li", {}, `${name}: ${short(value, 4)}`)))];
    default:
      return [make("p", { class: "note" }, layer.settings)];
  }
}

function largestInside({ patch, inside }) {
  let best = -1;
  patch.data.forEach((value, at) => {
    if (inside.data[at] && (best < 0 || value > patch.data[best])) best = at;
  });
  return best;
}

/** A convolution or a full connection: patch times filter, channel by channel, number by number. */
function product(found, layer, place) {
  const [channels, height, width] = found.patch.shape;
  const area = height * width;
  const patch = [...found.patch.data];
  const weight = [...found.weight.data];
  const products = patch.map((value, at) => value * weight[at]);
  const shares = Array.from({ length: channels }, (_, c) => sum(products.slice(c * area, (c + 1) * area)));
  const order = shares.map((_, c) => c).sort((a, b) => Math.abs(shares[b]) - Math.abs(shares[a]));
  const shown = channel >= 0 && channel < channels ? channel : order[0];
  const cut = (values) => values.slice(shown * area, (shown + 1) * area);
  const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const outside = (at) => !found.inside.data[at];
  const low = patch.some((value) => value < 0);
  const isConvolution = layer.kind === "Conv2d";
  const row = isConvolution ? place[1] * layer.shape[2] + place[2] : null;
  const made = [];
  if (isConvolution) {
    const values = { row, columns: channels * area };
    made.push(make("p", {}, t("explain_product", values)));
  } else made.push(make("p", {}, t("explain_linear", { count: channels * area })));
  if (channels > 1) {
    made.push(make("div", { class: "chips", role: "group", "aria-label": t("shares") },
      ...order.slice(0, CHIPS).map((c) =>
        make("button", {
          type: "button",
          class: "chip",
          "aria-pressed": String(c === shown),
          onclick: () => {
            channel = c;
            explain(found, layer, place);
          },
        }, `${found.first + c}: ${signed(shares[c])}`)),
      ...(channels > CHIPS ? [make("span", { class: "note" }, t("and_more", { count: channels - CHIPS }))] : [])));
  }
  if (area > 1) {
    made.push(make("div", { class: "sum" },
      matrix(t("patch"), cut(patch), height, width, { high: largest(patch), signed: low, outside }),
      sign("×"),
      matrix(t("filter"), cut(weight), height, width, { high: largest(weight), signed: true }),
      sign("="),
      matrix(t("products"), cut(products), height, width, { high: largest(products), signed: true })));
  }
  const total = sum(products);
  made.push(make("p", { class: "big" },
    `Σ ${short(total, 4)} ${found.bias < 0 ? "−" : "+"} ${short(Math.abs(found.bias), 3)} (${t("bias")}) = `,
    make("strong", {}, short(total + found.bias, 4))));
  if (isConvolution && channels * area <= 1024) {
    made.push(rowPicture(t("row_word"), patch, low, shown, area),
      rowPicture(t("filter"), weight, true, shown, area),
      rowPicture(t("products"), products, true, shown, area));
  }
  made.push(table(patch, weight, products, found.bias, area > 1 ? shown * area : 0, area > 1 ? area : channels));
  return made;
}

const signed = (value) => (value < 0 ? short(value, 3) : `+${short(value, 3)}`);

/** All numbers of a row of the column matrix, one beside the other, with the shown channel marked. */
function rowPicture(title, values, low, shown, area) {
  const canvas = make("canvas", { class: "im2col-row", role: "img", "aria-label": title });
  const { bytes, name } = toBytes(values, null, low);
  paint(canvas, bytes, 1, values.length, name);
  const mark = make("div", { class: "field" });
  setBox(mark, [0, shown * area, 1, (shown + 1) * area], 1, values.length);
  return make("figure", { class: "row-figure" }, make("figcaption", {}, title),
    make("div", { class: "frame" }, canvas, mark));
}

function table(patch, weight, products, bias, first, count) {
  const body = make("tbody");
  let running = 0;
  for (let at = first; at < first + Math.min(count, ROWS); at++) {
    running += products[at];
    body.append(make("tr", {},
      ...[String(at), short(patch[at], 3), short(weight[at], 3), short(products[at], 3), short(running, 4)]
        .map((word) => make("td", {}, word))));
  }
  if (count > ROWS) {
    body.append(make("tr", {}, make("td", { colspan: 5 }, t("and_more", { count: count - ROWS }))));
  }
  const heads = ["#", t("pixel"), t("weight"), "×", t("running")];
  return make("details", {}, make("summary", {}, t("one_by_one")),
    make("table", { class: "products" },
      make("thead", {}, make("tr", {}, ...heads.map((word) => make("th", { scope: "col" }, word)))), body));
}

let exciting = "";

async function showExciting() {
  const { selected, source, network } = state;
  if (!selected || !network.data) {
    parts.exciting.replaceChildren();
    exciting = "";
    return;
  }
  const asked = JSON.stringify([selected.layer, selected.place[0], source]);
  if (asked === exciting && parts.exciting.childElementCount) return;
  channel = -1;
  exciting = asked;
  parts.exciting.replaceChildren(make("h3", {}, t("excites")), make("p", { class: "note" }, t("searching")));
  const found = await backend.excite(source, selected.layer, selected.place[0]);
  if (exciting !== asked) return;
  const [, ...shape] = found.patches.shape;
  const size = shape.reduce((product, one) => product * one, 1);
  const values = { count: found.searched, name: selected.layer };
  parts.exciting.replaceChildren(make("h3", {}, t("excites")),
    make("p", { class: "note" }, t("excites_told", values)),
    make("ul", { class: "thumbs" }, ...found.values.map((value, index) => {
      const canvas = make("canvas", { class: "thumb" });
      paintImage(canvas, found.patches.data.subarray(index * size, (index + 1) * size), shape);
      const told = `${network.classes?.[found.labels[index]] ?? ""} · ${short(value, 2)}`;
      const open = attempt(async () => showPixels((await backend.sample(found.images[index])).image.data));
      return make("li", {},
        make("button", { type: "button", onclick: open }, canvas, make("span", {}, told)));
    })));
}
