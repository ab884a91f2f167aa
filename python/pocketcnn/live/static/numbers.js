// Small matrices with their numbers: coloured, and readable as tables.

import { make, short } from "./dom.js";
import { colour, paint, toBytes } from "./palette.js";

const MOST_CELLS = 60; // more are drawn without their numbers

/**
 * A matrix (h, w) with a title. `high` and `signed` are the scale, by default its own; `outside` is
 * true for cells of the padding; `chosen` a cell that is marked.
 */
export function matrix(title, values, height, width, { high = null, signed = null, outside = null, chosen = -1 } = {}) {
  const figure = make("figure", { class: width > 3 ? "matrix" : "matrix roomy" });
  const { bytes, name } = toBytes(values, high, signed);
  if (height * width > MOST_CELLS) {
    const canvas = make("canvas", { role: "img", "aria-label": title });
    paint(canvas, bytes, height, width, name);
    figure.append(canvas);
  } else {
    const table = make("table", { "aria-label": title });
    for (let row = 0; row < height; row++) {
      const line = make("tr");
      for (let column = 0; column < width; column++) {
        const at = row * width + column;
        const { css, dark } = colour(bytes[at], name);
        const cell = make("td", {}, short(values[at], 2));
        if (outside?.(at)) cell.classList.add("outside");
        else {
          cell.style.background = css;
          cell.classList.toggle("on-dark", dark);
        }
        cell.classList.toggle("chosen", at === chosen);
        line.append(cell);
      }
      table.append(line);
    }
    figure.append(table);
  }
  figure.append(make("figcaption", {}, title));
  return figure;
}

export const sign = (word) => make("span", { class: "sign", "aria-hidden": "true" }, word);

export const sum = (values) => values.reduce((total, value) => total + value, 0);
