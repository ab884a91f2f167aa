// The network as boxes: as high as the maps, as thick as there are channels. Layers that change no
// shape are written below the box that they work on. Each can be entered.

import { draw, shapeText } from "./dom.js";
import { on, state } from "./state.js";
import { goTo, kindWord } from "./strips.js";
import { t } from "./words.js";

const [PITCH, FACE, THICK, LEAST, SLANT] = [112, 84, 40, 5, 0.34];
const [TOP, LINE, LEVEL] = [20, 15, 9];

const COLOURS = {
  Conv2d: "blue",
  ConvTranspose2d: "blue",
  Linear: "green",
  MaxPool2d: "orange",
  AvgPool2d: "orange",
  GlobalAvgPool2d: "orange",
  GlobalMaxPool2d: "orange",
  Add: "purple",
  Multiply: "purple",
  Concat: "purple",
};

export function setUpDiagram(box) {
  const render = () => box.replaceChildren(picture());
  render();
  on("words layers", render);
}

/** Boxes: what each stands for, and the boxes that it takes from. */
function boxesOf(input, layers) {
  const boxes = [{ name: "input", kind: "Input", shape: input, inside: [], takes: [] }];
  const owner = new Map([["input", 0]]);
  const shapes = new Map([["input", input]]);
  for (const layer of layers) {
    const before = shapes.get(layer.inputs[0]);
    const same = String(before) === String(layer.shape);
    const flattens = layer.shape.length < before.length && !layer.parameters;
    shapes.set(layer.name, layer.shape);
    if (layer.inputs.length === 1 && !layer.weights && (same || flattens)) {
      const its = owner.get(layer.inputs[0]);
      boxes[its].inside.push(layer);
      owner.set(layer.name, its);
    } else {
      owner.set(layer.name, boxes.length);
      boxes.push({ ...layer, inside: [], takes: layer.inputs.map((name) => owner.get(name)) });
    }
  }
  return boxes;
}

function sizes(boxes) {
  const maps = boxes.filter(({ shape }) => shape.length === 3);
  const side = Math.max(1, ...maps.flatMap(({ shape }) => shape.slice(1)));
  const thick = Math.max(1, ...maps.map(({ shape }) => shape[0]));
  const long = Math.max(1, ...boxes.filter(({ shape }) => shape.length < 3).map(({ shape }) => shape[0]));
  const scale = (value, most, size) => Math.max(LEAST, size * Math.sqrt(value / most));
  return boxes.map(({ shape }) =>
    shape.length === 3
      ? {
          wide: scale(shape[0], thick, THICK),
          high: scale(shape[1], side, FACE),
          deep: SLANT * scale(shape[2], side, FACE),
        }
      : { wide: 2 * LEAST, high: scale(shape[0], long, FACE), deep: 3 },
  );
}

function picture() {
  const boxes = boxesOf(state.network.input, state.layers);
  const size = sizes(boxes);
  const long = boxes.flatMap(({ takes }, to) => takes.filter((from) => from < to - 1).map((from) => [from, to]));
  const levels = levelsOf(long);
  const ground = TOP + LEVEL * (1 + Math.max(0, ...levels)) + FACE * (1 + SLANT);
  const most = Math.max(...boxes.map(({ inside }) => inside.length));
  const [width, height] = [boxes.length * PITCH, ground + LINE * (3.6 + most)];
  // A group, because what is in a picture could not be entered.
  const svg = draw("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, class: "diagram", role: "group", "aria-label": t("architecture"),
  });
  boxes.forEach((box, index) => {
    const left = index * PITCH + 14;
    if (box.takes.includes(index - 1)) {
      const before = size[index - 1];
      svg.append(arrow([[left - PITCH + before.wide + before.deep + 4, ground - 8], [left - 5, ground - 8]]));
    }
    svg.append(boxOf(box, size[index], left, ground));
  });
  long.forEach(([from, to], index) => {
    const start = from * PITCH + 14 + size[from].wide + size[from].deep / 2;
    const [end, top] = [to * PITCH + 8, TOP + LEVEL * (Math.max(...levels) - levels[index])];
    const low = ground - size[from].high - size[from].deep * 0.5 - 3;
    svg.append(arrow([[start, low], [start, top], [end, top], [end, ground - 14], [end + 3, ground - 12]], "skip-line"));
  });
  return svg;
}

/** How high each line over the boxes runs, so that none runs upon another. */
function levelsOf(edges) {
  const levels = [];
  edges.forEach(([from, to], index) => {
    let level = 1;
    const crosses = (other) => edges[other][0] < to && from < edges[other][1];
    while (levels.some((used, other) => used === level && crosses(other))) level++;
    levels[index] = level;
  });
  return levels;
}

function arrow(points, name = "flow") {
  const path = points.map((point, index) => `${index ? "L" : "M"}${point.join(" ")}`).join("");
  const [x, y] = points.at(-1);
  return draw("g", { class: name },
    draw("path", { d: path, fill: "none" }),
    draw("path", { d: `M${x} ${y}l-6 -3.4v6.8z`, class: "head" }));
}

function boxOf(box, { wide, high, deep }, left, ground) {
  const [right, top] = [left + wide, ground - high];
  const faces = [
    [`M${left} ${ground}H${right}V${top}H${left}Z`, 1],
    [`M${left} ${top}H${right}l${deep} ${-deep}H${left + deep}Z`, 0.55],
    [`M${right} ${ground}l${deep} ${-deep}V${top - deep}L${right} ${top}Z`, 0.75],
  ];
  const link = entry(box.name, `${box.name}: ${shapeText(box.shape)}, ${kindWord(box.kind)}${windowText(box)}`,
    draw("rect", { x: left - 10, y: top - deep - 4, width: PITCH - 8, height: high + deep + 3 * LINE, class: "reach" }),
    ...faces.map(([d, opacity]) => draw("path", { d, opacity, class: `face ${COLOURS[box.kind] ?? "sky"}` })),
    text(left - 4, ground + LINE, clip(box.name, 15), "strong"),
    text(left - 4, ground + 2 * LINE, shapeText(box.shape)),
    text(left - 4, ground + 3 * LINE, clip(kindWord(box.kind) + windowText(box), 17), "soft"));
  const group = draw("g", {}, link);
  box.inside.forEach((layer, index) => {
    const word = `+ ${clip(kindWord(layer.kind), 15)}`;
    group.append(entry(layer.name, `${layer.name}: ${kindWord(layer.kind)}`,
      text(left - 4, ground + (4 + index) * LINE, word, "soft")));
  });
  return group;
}

const windowText = ({ window: size }) => (size ? ` ${size.join("×")}` : "");
const clip = (word, most) => (word.length > most ? `${word.slice(0, most - 1)}…` : word);
// The space keeps the words of a link apart for those who hear them.
const text = (x, y, words, name = "") => draw("text", { x, y, class: name }, `${words} `);

/** Something in the picture that leads to a layer's strip. */
function entry(name, label, ...parts) {
  const go = () => goTo(name);
  return draw("g", {
    class: "entry",
    tabindex: 0,
    role: "link",
    "aria-label": label,
    onclick: go,
    onkeydown: (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      go();
    },
  }, ...parts);
}
