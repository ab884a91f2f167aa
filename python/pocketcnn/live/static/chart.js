// Curves over epochs: each a colour and, for what was measured on unseen images, points.

import { draw, percent, short } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [520, 240, 46, 12, 12, 26];

/**
 * Draw curves: [{ name, points: [[x, y]...], dots: [[x, y]...], colour }]; `share` is true for
 * accuracies, `mark` an epoch to be marked.
 */
export function chart(title, curves, { share = false, mark = null } = {}) {
  const every = curves.flatMap(({ points, dots }) => [...points, ...dots]).filter(([, y]) => y !== null);
  const right = Math.max(1, Math.ceil(Math.max(0, ...every.map(([x]) => x)) - 1e-9));
  const values = every.map(([, y]) => y);
  const [low, high] = share ? [0, 1] : [0, Math.max(0.1, ...values) * 1.05];
  const x = (value) => LEFT + (value / right) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const svg = draw("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": spoken(title, curves, share),
  });
  for (const value of [0, 0.25, 0.5, 0.75, 1]) {
    const at = low + value * (high - low);
    svg.append(draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(at), y2: y(at), class: "grid" }),
      draw("text", { x: LEFT - 6, y: y(at) + 4, "text-anchor": "end" }, share ? `${100 * at}%` : short(at, 2)));
  }
  const step = Math.max(1, Math.ceil(right / 10));
  for (let epoch = 0; epoch <= right; epoch += step) {
    svg.append(draw("text", { x: x(epoch), y: HEIGHT - 8, "text-anchor": "middle" }, String(epoch)));
  }
  if (mark !== null && mark <= right) {
    svg.append(draw("line", { x1: x(mark), x2: x(mark), y1: TOP, y2: HEIGHT - BOTTOM, class: "mark" }));
  }
  for (const { points, dots, colour } of curves) {
    const known = points.filter(([, value]) => value !== null);
    const path = known.map(([a, b], index) => `${index ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
    if (path) svg.append(draw("path", { d: path, class: `curve ${colour}` }));
    for (const [a, b] of dots.filter(([, value]) => value !== null)) {
      svg.append(draw("circle", { cx: x(a), cy: y(b), r: 4, class: `dot ${colour}` }));
    }
  }
  return svg;
}

function spoken(title, curves, share) {
  const told = curves.map(({ name, points, dots }) => {
    const last = (dots.at(-1) ?? points.at(-1) ?? [0, null])[1];
    return `${name}: ${last === null ? "–" : share ? percent(last) : short(last)}`;
  });
  return `${title}. ${told.join(", ")}`;
}
