// What layers give, as bytes that the page draws; the scales of ../strips.py.

const LARGEST_SIDE = 64; // larger maps are drawn smaller
const MOST_MAPS = 512;
const MOST_NUMBERS = 4096;

/** Numbers between `low` and `high` as bytes: from 0, or where some are negative around 128. */
export function shades(values, low, high) {
  const largest = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const [zero, scale] = low < 0 ? [128, 127 / largest] : [0, 255 / largest];
  return Uint8ClampedArray.from(values, (value) => value * scale + zero);
}

/** A layer's first maps or numbers, ready to be drawn: { signed, low, high, finite, shape, data }. */
export function strip(values, shape, count) {
  const isMaps = shape.length === 3;
  const finite = values.every(Number.isFinite);
  if (!finite) values = values.map((value) => (Number.isFinite(value) ? value : 0));
  let [low, high] = values.length ? [Infinity, -Infinity] : [0, 0];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const [maps, height, width] = isMaps
    ? [Math.min(count, MOST_MAPS, shape[0]), shape[1], shape[2]]
    : [Math.min(values.length, MOST_NUMBERS), 1, 1];
  const small = smaller(values.subarray(0, maps * height * width), [maps, height, width]);
  return { signed: low < 0, low, high, finite, shape: small.shape, data: shades(small.data, low, high) };
}

/** Means of squares of pixels, if a map has more along a side than is drawn. */
function smaller(data, [maps, height, width]) {
  const step = Math.ceil(Math.max(height, width) / LARGEST_SIDE);
  if (step <= 1) return { shape: [maps, height, width], data };
  const [high, wide] = [Math.ceil(height / step), Math.ceil(width / step)];
  const means = new Float32Array(maps * high * wide);
  for (let map = 0; map < maps; map++) {
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        let [sum, count] = [0, 0];
        for (let row = y * step; row < Math.min(height, (y + 1) * step); row++) {
          for (let column = x * step; column < Math.min(width, (x + 1) * step); column++, count++) {
            sum += data[(map * height + row) * width + column];
          }
        }
        means[(map * high + y) * wide + x] = sum / count;
      }
    }
  }
  return { shape: [maps, high, wide], data: means };
}
