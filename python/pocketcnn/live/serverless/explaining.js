// How one number of a layer came about: the numbers that it was made of; as ../explaining.py has it.

/** { value, kind, source, field, ... }: see `Explanation` there. `value(name)`, `shape(name)` and
 * `array(name)` give what a layer gave, its shape, and an array of the network. */
export function explain({ layer, place, shape, value, array }) {
  const own = layer.shape;
  if (place.length !== own.length || place.some((index, axis) => !(index < own[axis]))) {
    throw new Error(`place is ${place}, but the layer gives ${own}`);
  }
  const at = own.reduce((sum, size, axis) => sum * size + place[axis], 0);
  const [source] = layer.inputs;
  const before = { data: value(source), shape: shape(source) };
  const found = explanation(layer, place, { at, before, shape, value, array });
  return { value: value(layer.name)[at], source, field: box(layer.field, place), ...found };
}

function explanation(layer, place, { at, before, shape, value, array }) {
  switch (layer.kind) {
    case "Conv2d":
      return convolution(layer, place, before, array);
    case "Linear":
      return rowOfWeights(layer, place, before, array);
    case "MaxPool2d":
      return { kind: "largest", ...pooled(layer, place, before) };
    case "AvgPool2d":
      return { kind: "mean", ...pooled(layer, place, before) };
    case "GlobalMaxPool2d":
      return { kind: "largest", ...wholeMap(place, before) };
    case "GlobalAvgPool2d":
      return { kind: "mean", ...wholeMap(place, before) };
    default:
  }
  if (layer.inputs.length > 1) return { kind: "merge", parts: parts(layer, place, shape, value) };
  if (layer.pointwise) return { kind: "point", before: before.data[at] };
  return { kind: "other" };
}

/** The pixels (top, left, bottom, right) of the image that a number depends on. */
function box({ size, stride, start }, place) {
  const corner = [0, 1].map((axis) => start[axis] + (place.length === 3 ? place[axis + 1] : 0) * stride[axis]);
  return [...corner.map(Math.ceil), ...corner.map((first, axis) => Math.floor(first + size[axis]))];
}

function convolution({ name, shape, geometry }, [channel, row, column], before, array) {
  const taken = before.shape[0] / geometry.groups;
  const first = Math.floor(channel / (shape[0] / geometry.groups)) * taken;
  const found = cut(before, first, taken, geometry, row, column);
  const size = found.patch.data.length;
  const weight = { shape: found.patch.shape, data: array(`${name}.weight`).subarray(channel * size, (channel + 1) * size) };
  return { kind: "product", bias: array(`${name}.bias`)?.[channel] ?? 0, first, weight, ...found };
}

function rowOfWeights({ name, maps }, [index], before, array) {
  const size = before.data.length;
  const weight = array(`${name}.weight`).subarray(index * size, (index + 1) * size);
  return {
    kind: "product",
    bias: array(`${name}.bias`)?.[index] ?? 0,
    first: 0,
    corner: [0, 0],
    weight: { shape: maps, data: weight },
    patch: { shape: maps, data: before.data },
    inside: { shape: maps.slice(1), data: new Uint8Array(maps[1] * maps[2]).fill(1) },
  };
}

function pooled({ geometry }, [channel, row, column], before) {
  return { first: channel, ...cut(before, channel, 1, geometry, row, column) };
}

function wholeMap([channel], before) {
  const [, height, width] = before.shape;
  const area = height * width;
  return {
    first: channel,
    corner: [0, 0],
    patch: { shape: [1, height, width], data: before.data.subarray(channel * area, (channel + 1) * area) },
    inside: { shape: [height, width], data: new Uint8Array(area).fill(1) },
  };
}

/** What a window sees at a place of some channels, which of it is inside, and where it begins. */
function cut({ data, shape }, first, count, { kernel, stride, dilation, padding }, row, column) {
  const [, height, width] = shape;
  const [high, wide] = kernel;
  const corner = [row * stride[0] - padding[0], column * stride[1] - padding[2]];
  const patch = new Float32Array(count * high * wide);
  const inside = new Uint8Array(high * wide);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      const [at, along] = [corner[0] + y * dilation[0], corner[1] + x * dilation[1]];
      if (at < 0 || at >= height || along < 0 || along >= width) continue;
      inside[y * wide + x] = 1;
      for (let channel = 0; channel < count; channel++) {
        patch[(channel * high + y) * wide + x] = data[((first + channel) * height + at) * width + along];
      }
    }
  }
  return { corner, patch: { shape: [count, high, wide], data: patch }, inside: { shape: [high, wide], data: inside } };
}

/** The numbers that are added or multiplied; of layers that are joined, the one that it is. */
function parts({ kind, inputs, shape: own }, place, shape, value) {
  if (kind === "Concat") {
    let channel = place[0];
    const name = inputs.find((one) => channel < shape(one)[0] || ((channel -= shape(one)[0]), false));
    return [{ name, value: element(value(name), shape(name), [channel, ...place.slice(1)]) }];
  }
  return inputs.map((name) => {
    // A number for each channel counts for its whole map.
    const sizes = shape(name);
    const at = sizes.map((size, axis) => (size === 1 ? 0 : place[axis + own.length - sizes.length]));
    return { name, value: element(value(name), sizes, at) };
  });
}

const element = (values, shape, place) => values[shape.reduce((sum, size, axis) => sum * size + place[axis], 0)];
