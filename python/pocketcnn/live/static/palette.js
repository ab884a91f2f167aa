// Colours of numbers: one scale for what is never negative, one for what is; safe for the
// colour-blind, because brightness alone orders the first, and blue and orange the second.

const STOPS = {
  light: [[248, 246, 240], [186, 210, 224], [97, 165, 206], [22, 104, 168], [10, 40, 88]],
  dark: [[16, 19, 27], [24, 62, 106], [38, 126, 178], [122, 197, 232], [255, 250, 224]],
};
const ENDS = {
  light: { low: [[20, 90, 160], [120, 176, 220]], zero: [248, 246, 240], high: [[240, 178, 92], [196, 84, 0]] },
  dark: { low: [[110, 190, 245], [42, 94, 150]], zero: [24, 27, 36], high: [[150, 86, 14], [255, 184, 70]] },
};
const HEAT = [[0, 0, 0, 0], [86, 60, 160, 90], [213, 94, 0, 170], [255, 214, 90, 225]];

let tables = {};

/** Make the tables for "light" or "dark". */
export function setTheme(theme) {
  const { low, zero, high } = ENDS[theme];
  tables = {
    plain: table(STOPS[theme], 256),
    // Bytes are -high at 1, 0 at 128, high at 255.
    signed: join(table([low[0], low[1], zero], 129), table([zero, high[0], high[1]], 128)),
    heat: table(HEAT, 256),
    grey: table([[0, 0, 0], [255, 255, 255]], 256),
  };
}

function join(first, second) {
  const both = new Uint8ClampedArray(1024);
  both.set(first.subarray(0, 512));
  both.set(second, 512);
  return both;
}

function table(stops, count) {
  const colours = new Uint8ClampedArray(4 * count);
  for (let index = 0; index < count; index++) {
    const place = (index / (count - 1)) * (stops.length - 1);
    const left = Math.min(Math.floor(place), stops.length - 2);
    for (let part = 0; part < 4; part++) {
      const [a, b] = [stops[left][part] ?? 255, stops[left + 1][part] ?? 255];
      colours[4 * index + part] = a + (place - left) * (b - a);
    }
  }
  return colours;
}

/** Draw bytes (h, w) on a canvas of that size, in the colours of a table. */
export function paint(canvas, bytes, height, width, name) {
  const colours = tables[name];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let pixel = 0; pixel < height * width; pixel++) {
    const at = 4 * bytes[pixel];
    image.data[4 * pixel] = colours[at];
    image.data[4 * pixel + 1] = colours[at + 1];
    image.data[4 * pixel + 2] = colours[at + 2];
    image.data[4 * pixel + 3] = colours[at + 3];
  }
  context.putImageData(image, 0, 0);
}

/** Draw an image (C, H, W) of bytes as a picture: grey, or its first three channels. */
export function paintImage(canvas, bytes, [channels, height, width]) {
  if (channels < 3) {
    paint(canvas, bytes, height, width, "grey");
    return;
  }
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const plane = height * width;
  for (let pixel = 0; pixel < plane; pixel++) {
    for (let part = 0; part < 3; part++) image.data[4 * pixel + part] = bytes[part * plane + pixel];
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Bytes for numbers, and the table for them; `high` is the largest magnitude, if it is known. */
export function toBytes(values, high = null, signed = null) {
  let largest = high ?? 0;
  let negative = signed ?? false;
  if (high === null || signed === null) {
    for (const value of values) {
      if (high === null) largest = Math.max(largest, Math.abs(value));
      if (signed === null) negative ||= value < 0;
    }
  }
  const scale = (negative ? 127 : 255) / (largest || 1);
  const bytes = Uint8ClampedArray.from(values, (value) => value * scale + (negative ? 128 : 0));
  return { bytes, name: negative ? "signed" : "plain", high: largest };
}

// Relative luminance (WCAG) below which white has more contrast than black; both have at least 4.5.
const MIDDLE = 0.179;

/** The colour of a byte as CSS, and whether text on it should be white; else it should be black. */
export function colour(byte, name) {
  const [r, g, b] = tables[name].subarray(4 * byte, 4 * byte + 3);
  const light = (part) => (part <= 10 ? part / 3294 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  return { css: `rgb(${r} ${g} ${b})`, dark: luminance < MIDDLE };
}
