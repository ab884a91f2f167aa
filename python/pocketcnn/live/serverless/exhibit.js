// A network that is looked at, mostly with one image at a time.

import { explain } from "./explaining.js";
import { shades, strip } from "./shades.js";

const PATCHES = 9;
const AT_ONCE = 50; // images that are computed together
const [LEAST_SEARCHED, MOST_SEARCHED, SUMS_SEARCHED] = [20, 500, 3e9]; // some seconds

export class Exhibit {
  /** `about` is the page's network.json, `own` the part of it that describes this network. */
  constructor(network, about, own) {
    Object.assign(this, { network, about, own });
    this.numbers = new Map([["input", 0], ...own.layers.map(({ name }, index) => [name, index + 1])]);
    this.shapes = [about.input, ...own.layers.map(({ shape }) => shape)];
    this.known = null; // the image whose values the network holds
    this.found = new Map(); // patches of layers
  }

  /** Exchange the weights: a Map of arrays by names. */
  setWeights(weights) {
    for (const [name, values] of weights) this.network.setArray(name, values);
    this.known = null;
    this.found.clear();
  }

  /** Pixels as the network takes them. */
  scaled(pixels) {
    const x = Float32Array.from(pixels);
    if (this.about.scale === "unit") x.forEach((value, at) => (x[at] = value / 255));
    return x;
  }

  predict(pixels) {
    const scores = this.scores(this.scaled(pixels));
    const count = this.network.sizes.at(-1);
    const rows = scores.length / count;
    const data = new Float32Array(scores.length);
    for (let row = 0; row < rows; row++) {
      data.set(this.#probabilities(scores.subarray(row * count, (row + 1) * count)), row * count);
    }
    return { shape: [rows, count], data };
  }

  /** Scores of many images, some at a time. */
  scores(images) {
    this.known = null;
    const [size, count] = [this.network.sizes[0], this.network.sizes.at(-1)];
    const scores = new Float32Array((images.length / size) * count);
    for (let first = 0; first * size < images.length; first += AT_ONCE) {
      scores.set(this.network.forward(images.subarray(first * size, (first + AT_ONCE) * size)), first * count);
    }
    return scores;
  }

  look(image, layers, maps) {
    const begun = performance.now();
    this.#compute(image);
    const strips = {};
    for (const name of layers) strips[name] = strip(this.#value(name), this.#shape(name), maps);
    const scores = this.network.value(this.network.sizes.length - 1);
    const probabilities = this.about.classes && [...this.#probabilities(scores)];
    return { probabilities, strips, ms: performance.now() - begun };
  }

  plane(image, layer, channel) {
    this.#compute(image);
    const shape = this.#shape(layer);
    if (shape.length !== 3 || !(channel < shape[0])) throw new Error(`${layer} gives ${shape}, and no map ${channel}`);
    const area = shape[1] * shape[2];
    return { shape: shape.slice(1), data: this.#value(layer).slice(channel * area, (channel + 1) * area) };
  }

  value(image, layer, place) {
    this.#compute(image);
    return explain({
      layer: this.own.layers[this.#number(layer) - 1],
      place,
      shape: (name) => this.#shape(name),
      value: (name) => this.#value(name),
      array: (name) => this.network.array(name),
    });
  }

  /** What speaks for a class, on the scale of its largest number; docs/look-inside.md has the formulas. */
  attribute(image, chosen, kind) {
    this.known = null;
    const x = this.scaled(image);
    const { shape, data } = kind === "cam" ? this.#gradCam(x, chosen) : this.#saliency(x, chosen);
    return { shape, data: shades(data, 0, data.reduce((most, value) => Math.max(most, value), 0)) };
  }

  #saliency(x, chosen) {
    const [gradient] = this.network.differentiate(x, chosen, [0]);
    const shape = this.about.input.slice(1);
    const data = new Float32Array(shape[0] * shape[1]);
    gradient.forEach((value, index) => {
      const pixel = index % data.length;
      data[pixel] = Math.max(data[pixel], Math.abs(value));
    });
    return { shape, data };
  }

  #gradCam(x, chosen) {
    if (this.own.cam === null) throw new Error("the network has no maps");
    const [gradient] = this.network.differentiate(x, chosen, [this.own.cam]);
    const [channels, ...shape] = this.shapes[this.own.cam];
    const maps = this.network.value(this.own.cam);
    const data = new Float32Array(shape[0] * shape[1]);
    for (let first = 0; first < channels * data.length; first += data.length) {
      const weight = gradient.subarray(first, first + data.length).reduce((sum, value) => sum + value, 0) / data.length;
      for (let pixel = 0; pixel < data.length; pixel++) data[pixel] += weight * maps[first + pixel];
    }
    return { shape, data: data.map((value) => Math.max(0, value)) };
  }

  /** The rows of unit length, of all training images, that have nearly the image's direction. */
  nearest(image, rows, count) {
    this.#compute(image);
    const own = this.network.value(this.own.features);
    const length = Math.hypot(...own) || 1;
    const found = [];
    for (let index = 0; index * own.length < rows.length; index++) {
      let product = 0;
      for (let at = 0; at < own.length; at++) product += own[at] * rows[index * own.length + at];
      found.push({ index, cosine: product / length });
    }
    return found.sort((one, other) => other.cosine - one.cosine).slice(0, count);
  }

  /** The patches of test images that excite a channel of a layer most, the first first. */
  excite(layer, channel, { pixels, labels, size }) {
    const searched = Math.min(labels.length, Math.max(LEAST_SEARCHED, Math.min(MOST_SEARCHED, Math.floor(SUMS_SEARCHED / this.own.sums))));
    if (!this.found.has(layer)) this.found.set(layer, this.#peaks(layer, pixels.subarray(0, searched * size)));
    const best = this.found.get(layer)[channel].slice().sort((one, other) => other.value - one.value).slice(0, PATCHES);
    const cuts = best.map(({ image, row, column }) =>
      this.#patch(pixels.subarray(image * size, (image + 1) * size), layer, row, column));
    const data = new Uint8Array(cuts.length * cuts[0].data.length);
    cuts.forEach((one, index) => data.set(one.data, index * one.data.length));
    return {
      searched,
      values: best.map(({ value }) => value),
      images: best.map(({ image }) => image),
      positions: best.map(({ row, column }) => [row, column]),
      labels: best.map(({ image }) => labels[image]),
      patches: { shape: [cuts.length, ...cuts[0].shape], data },
    };
  }

  /** For each channel of a layer, its largest value in each image and where it is. */
  #peaks(layer, pixels) {
    this.known = null;
    const number = this.#number(layer);
    const [channels, height = 1, width = 1] = this.#shape(layer);
    const [area, size] = [height * width, this.network.sizes[0]];
    const peaks = Array.from({ length: channels }, () => []);
    for (let first = 0; first * size < pixels.length; first += AT_ONCE) {
      const some = pixels.subarray(first * size, (first + AT_ONCE) * size);
      const count = some.length / size;
      this.network.forward(this.scaled(some));
      const maps = this.network.value(number, count);
      for (let map = 0; map < count * channels; map++) {
        let best = map * area;
        for (let at = best; at < (map + 1) * area; at++) if (maps[at] > maps[best]) best = at;
        const place = best - map * area;
        peaks[map % channels].push({
          image: first + Math.floor(map / channels), value: maps[best], row: Math.floor(place / width), column: place % width,
        });
      }
    }
    return peaks;
  }

  /** What a number of a layer sees of an image, black past its edges; all along an axis that it sees whole. */
  #patch(image, layer, row, column) {
    const { size, stride, start } = this.own.layers[this.#number(layer) - 1].field;
    const [channels, ...sides] = this.about.input;
    const pixels = size.map((one) => Math.floor(one));
    const [high, wide] = pixels.map((one, axis) => Math.min(one, sides[axis]));
    const [top, left] = [row, column].map((at, axis) =>
      pixels[axis] > sides[axis] ? 0 : Math.ceil(start[axis] + at * stride[axis]));
    const data = new Uint8Array(channels * high * wide);
    for (let channel = 0; channel < channels; channel++) {
      for (let y = Math.max(0, -top); y < high && top + y < sides[0]; y++) {
        for (let x = Math.max(0, -left); x < wide && left + x < sides[1]; x++) {
          data[(channel * high + y) * wide + x] = image[(channel * sides[0] + top + y) * sides[1] + left + x];
        }
      }
    }
    return { shape: [channels, high, wide], data };
  }

  /** Compute all values of an image, unless they are there. */
  #compute(image) {
    const key = image.join();
    if (this.known === key) return;
    this.network.forward(this.scaled(image));
    this.known = key;
  }

  #number(name) {
    if (!this.numbers.has(name)) throw new Error(`the network has no layer ${name}`);
    return this.numbers.get(name);
  }

  #shape(name) {
    return this.shapes[this.#number(name)];
  }

  #value(name) {
    return this.network.value(this.#number(name));
  }

  #probabilities(scores) {
    if (this.own.layers.at(-1).kind === "Softmax") return scores;
    const most = scores.reduce((one, other) => Math.max(one, other), -Infinity);
    const shares = Float64Array.from(scores, (score) => Math.exp(score - most));
    const sum = shares.reduce((one, other) => one + other, 0);
    return shares.map((share) => share / sum);
  }
}
