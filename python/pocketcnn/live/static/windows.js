// How a window moves: im2col and pooling, step by step, with sizes one can change.

import { draw, find, make } from "./dom.js";
import { colour, toBytes } from "./palette.js";
import { on } from "./state.js";
import { t } from "./words.js";

const CELL = 30;
const BEAT = 900; // milliseconds a step
const PICTURE = [
  [0, 1, 3, 2, 0, 1],
  [2, 7, 9, 6, 1, 0],
  [1, 8, 4, 7, 3, 2],
  [0, 2, 5, 9, 4, 0],
  [3, 6, 8, 5, 1, 2],
  [1, 9, 9, 7, 6, 0],
];
const FILTER = [[1, 0, -1], [2, 0, -2], [1, 0, -1]];

const settings = {
  im2col: { size: 4, kernel: 3, stride: 1, padding: 0 },
  pooling: { size: 6, kernel: 2, stride: 2, padding: 0, kind: "largest" },
};

export function setUpWindows() {
  const render = () => {
    find("learn").replaceChildren(
      make("div", { class: "card" }, make("h2", {}, t("learn_title")), make("p", { class: "prose" }, t("learn_intro"))),
      figure("im2col", im2col), figure("pooling", pooling));
  };
  render();
  on("words theme", render);
}

/** The places of a window, and how many there are down and across. */
function placesOf({ size, kernel, stride, padding }) {
  const count = Math.floor((size + 2 * padding - kernel) / stride) + 1;
  return { count, places: Array.from({ length: count * count }, (_, at) => [Math.floor(at / count) * stride, (at % count) * stride]) };
}

function padded({ size, padding }) {
  const side = size + 2 * padding;
  return Array.from({ length: side }, (_, row) =>
    Array.from({ length: side }, (_unused, column) => PICTURE[row - padding]?.[column - padding] * (row - padding < size && column - padding < size) || 0));
}

const isInside = ({ size, padding }, row, column) =>
  row >= padding && row < size + padding && column >= padding && column < size + padding;

/** A card with controls, and a drawing that `show` renews for every step. */
function figure(name, show) {
  const own = settings[name];
  const stage = make("div", { class: "windows" });
  const told = make("p", { class: "big", role: "status" });
  const formula = make("p", { class: "note" });
  const slider = make("input", { type: "range", min: 0, step: 1, value: 0, "aria-label": t("place") });
  const player = make("button", { type: "button", class: "primary" });
  let timer = null;
  const renew = () => {
    const { count } = placesOf(own);
    slider.max = count * count - 1;
    if (Number(slider.value) > count * count - 1) slider.value = 0;
    formula.textContent = `⌊(${own.size} + 2·${own.padding} − ${own.kernel}) / ${own.stride}⌋ + 1 = ${count}`;
    const { drawing, words } = show(own, Number(slider.value));
    stage.replaceChildren(...drawing);
    told.textContent = words;
    player.textContent = t(timer ? "pause" : "play");
  };
  const step = (by) => {
    const all = Number(slider.max) + 1;
    slider.value = (Number(slider.value) + by + all) % all;
    renew();
  };
  const play = () => {
    if (timer) timer = clearInterval(timer) ?? null;
    else timer = setInterval(() => (stage.isConnected ? step(1) : clearInterval(timer)), BEAT);
    renew();
  };
  player.addEventListener("click", play);
  slider.addEventListener("input", renew);
  const arrow = (word, by, label) =>
    make("button", { type: "button", class: "icon", "aria-label": t(label), onclick: () => step(by) }, word);
  const choice = (key, values, format = String) =>
    make("label", { class: "setting" }, make("span", {}, t(`set_${key}`)),
      make("select", {
        "data-setting": key,
        onchange: (event) => {
          own[key] = key === "kind" ? event.target.value : Number(event.target.value);
          // A window of padding alone has no largest number.
          if (name === "pooling") own.padding = Math.min(own.padding, own.kernel - 1);
          find("learn").querySelector(`[data-figure=${name}] [data-setting=padding]`).value = own.padding;
          renew();
        },
      }, ...values.map((value) => make("option", { value, selected: value === own[key] }, format(value)))));
  const pads = name === "pooling" ? [0, 1] : [0, 1, 2];
  const card = make("div", { class: "card", "data-figure": name },
    make("h2", {}, t(`${name}_title`)), make("p", { class: "prose" }, t(`${name}_intro`)),
    make("div", { class: "settings-row" },
      choice("size", [4, 5, 6]), choice("kernel", [2, 3]), choice("stride", [1, 2, 3]), choice("padding", pads),
      ...(name === "pooling" ? [choice("kind", ["largest", "mean"], (kind) => t(`kind_of_${kind}`))] : [])),
    make("div", { class: "row tools" }, arrow("‹", -1, "before"), player, arrow("›", 1, "after"), slider),
    stage, told, formula);
  renew();
  return card;
}

function im2col(own, at) {
  const { count, places } = placesOf(own);
  const image = padded(own);
  const filter = FILTER.slice(0, own.kernel).map((row) => row.slice(0, own.kernel));
  const cut = ([top, left]) => filter.flatMap((row, y) => row.map((_, x) => image[top + y][left + x]));
  const rows = places.map(cut);
  const weights = filter.flat();
  const results = rows.map((row) => row.reduce((sum, value, index) => sum + value * weights[index], 0));
  const [top, left] = places[at];
  const within = (y, x) => y >= top && y < top + own.kernel && x >= left && x < left + own.kernel;
  const drawing = [
    grid(t("set_size"), image, { chosen: within, faint: (y, x) => !isInside(own, y, x) }),
    grid(t("column_matrix"), rows, { chosen: (y) => y === at, cell: Math.min(24, 400 / rows.length), wide: 26 }),
    sign("×"),
    grid(t("filter"), weights.map((value) => [value]), { signed: true, cell: 26 }),
    sign("="),
    grid(t("result"), reshape(results, count), {
      signed: true, wide: 38, chosen: (y, x) => y * count + x === at, hidden: (y, x) => y * count + x > at,
    }),
  ];
  const terms = rows[at].map((value, index) => `${value}·${weights[index] < 0 ? `(−${-weights[index]})` : weights[index]}`);
  return { drawing, words: `${terms.join(" + ")} = ${String(results[at]).replace("-", "−")}` };
}

function pooling(own, at) {
  const { count, places } = placesOf(own);
  const image = padded(own);
  const seen = places.map(([top, left]) => {
    const found = [];
    for (let y = top; y < top + own.kernel; y++) {
      for (let x = left; x < left + own.kernel; x++) if (isInside(own, y, x)) found.push([image[y][x], y, x]);
    }
    return found;
  });
  const isLargest = own.kind === "largest";
  const results = seen.map((found) => {
    const values = found.map(([value]) => value);
    return isLargest ? Math.max(...values) : values.reduce((a, b) => a + b, 0) / own.kernel ** 2;
  });
  const [top, left] = places[at];
  const best = seen[at].find(([value]) => value === results[at]);
  const drawing = [
    grid(t("set_size"), image, {
      chosen: (y, x) => y >= top && y < top + own.kernel && x >= left && x < left + own.kernel,
      faint: (y, x) => !isInside(own, y, x),
      best: isLargest ? (y, x) => y === best[1] && x === best[2] : () => false,
    }),
    sign("→"),
    grid(t("result"), reshape(results, count), {
      chosen: (y, x) => y * count + x === at, hidden: (y, x) => y * count + x > at, wide: 38,
    }),
  ];
  const numbers = seen[at].map(([value]) => value).join(isLargest ? ", " : " + ");
  const words = isLargest
    ? `max(${numbers}) = ${results[at]}`
    : `(${numbers}) / ${own.kernel ** 2} = ${neat(results[at])}`;
  return { drawing, words };
}

const reshape = (values, count) => Array.from({ length: count }, (_, row) => values.slice(row * count, (row + 1) * count));
const neat = (value) => String(Math.round(100 * value) / 100).replace("-", "−");
const sign = (word) => make("span", { class: "sign", "aria-hidden": "true" }, word);

/** A grid of numbers: which are in the window, in the padding, the largest, or not known yet. */
function grid(title, rows, { chosen = () => false, faint = () => false, best = () => false, hidden = () => false, signed = false, cell = CELL, wide = cell } = {}) {
  const [height, width] = [rows.length, rows[0].length];
  const { bytes, name } = toBytes(rows.flat(), null, signed);
  const svg = draw("svg", {
    viewBox: `-2 -2 ${width * wide + 4} ${height * cell + 4}`, width: width * wide + 4, height: height * cell + 4, role: "img", "aria-label": title,
  });
  rows.forEach((row, y) => row.forEach((value, x) => {
    const shade = colour(bytes[y * width + x], name);
    const states = [["faint", faint], ["hidden-cell", hidden]].filter(([, is]) => is(y, x)).map(([word]) => word);
    const rect = draw("rect", { x: x * wide, y: y * cell, width: wide, height: cell, class: ["cell", ...states].join(" ") });
    if (!states.length) rect.style.fill = shade.css;
    svg.append(rect);
    if (cell < 11 || hidden(y, x)) return;
    const dark = !states.length && shade.dark;
    svg.append(draw("text", {
      x: (x + 0.5) * wide, y: (y + 0.5) * cell + Math.min(5, cell / 4), "text-anchor": "middle", "font-size": Math.min(14, cell * 0.6), class: dark ? "on-dark" : states.length ? "soft" : "on-light",
    }, neat(value)));
  }));
  rows.forEach((row, y) => row.forEach((_, x) => {
    if (best(y, x)) svg.append(draw("rect", { x: x * wide + 3, y: y * cell + 3, width: wide - 6, height: cell - 6, class: "best-cell" }));
  }));
  svg.append(outline(rows, chosen, cell, wide));
  return make("figure", { class: "matrix" }, svg, make("figcaption", {}, title));
}

/** A frame around the cells that are chosen, which form a rectangle. */
function outline(rows, chosen, cell, wide) {
  const cells = rows.flatMap((row, y) => row.map((_, x) => [y, x])).filter(([y, x]) => chosen(y, x));
  if (!cells.length) return draw("g");
  const [top, left] = cells[0];
  const [bottom, right] = cells.at(-1);
  return draw("rect", {
    x: left * wide, y: top * cell, width: (right - left + 1) * wide, height: (bottom - top + 1) * cell, class: "window",
  });
}
