// Answers what the page asks its backend, in a thread of its own: a page never waits for a sum.

import { start } from "./engine.js";
import { Exhibit } from "./exhibit.js";
import { Workshop } from "./workshop.js";

const NEIGHBOURS = 8;

const file = async (name) => {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  return answer;
};
const bytes = async (name) => new Uint8Array(await (await file(name)).arrayBuffer());

/** Images at hand, { pixels, labels, size }; a part is fetched when it is first asked for. */
function collection(labels, size) {
  const parts = {};
  return (part) => {
    parts[part] ??= bytes(`${part}.u8`).then((pixels) => ({ pixels, labels: labels[part], size }));
    return parts[part];
  };
}

async function begin() {
  const [engine, about] = await Promise.all([start(), file("network.json").then((found) => found.json())]);
  const size = about.input.reduce((product, one) => product * one, 1);
  const part = about.data && collection(about.labels, size);
  const make = async (name) => new Exhibit(engine.load(await bytes(`${name}.safetensors`)), about, about.networks[name]);
  return { about, part, model: await make("model"), workshop: new Workshop(about, part, make) };
}

const ready = begin();

/** The images of a part, where there are some. */
async function images(part) {
  const page = await ready;
  if (!page.part) throw new Error("there are no images at hand");
  return page.part(part);
}

/** The exhibit of a source: the model, or a run with the weights of an epoch. */
async function showing(source) {
  const { model, workshop } = await ready;
  return source ? workshop.exhibit(source.run, source.epoch) : model;
}

let features = null; // a row for each training image, fetched when they are first asked for

const cut = ({ pixels, size }, index) => pixels.slice(index * size, (index + 1) * size);

const answers = {
  async network(run) {
    const { about, workshop } = await ready;
    return run === undefined ? { ...about, layers: about.networks.model.layers } : { layers: workshop.network(run).layers };
  },

  async sample(index, part = "test") {
    const found = await images(part);
    index %= found.labels.length;
    const { about } = await ready;
    return { index, label: found.labels[index], image: { shape: about.input, data: cut(found, index) } };
  },

  predict: async (pixels, source) => ({ probabilities: (await showing(source)).predict(pixels) }),
  look: async (image, source, layers, maps) => (await showing(source)).look(image, layers, maps),
  plane: async (image, source, layer, channel) => ({ plane: (await showing(source)).plane(image, layer, channel) }),
  value: async (image, source, layer, place) => (await showing(source)).value(image, layer, place),
  attribute: async (image, source, chosen, kind) => ({ shares: (await showing(source)).attribute(image, chosen, kind) }),

  async neighbours(image) {
    const { about, model } = await ready;
    const found = await images("training");
    features ??= bytes("features.f32").then(({ buffer }) => new Float32Array(buffer));
    const near = model.nearest(image, await features, NEIGHBOURS);
    const pixels = new Uint8Array(near.length * found.size);
    near.forEach(({ index }, place) => pixels.set(cut(found, index), place * found.size));
    return {
      labels: near.map(({ index }) => found.labels[index]),
      cosines: near.map(({ cosine }) => cosine),
      images: { shape: [near.length, ...about.input], data: pixels },
    };
  },

  excite: async (source, layer, channel) => (await showing(source)).excite(layer, channel, await images("test")),
  train: async (command) => ({ run: await (await ready).workshop.command(command) }),
  progress: async (version) => (await ready).workshop.progress(version),
  filters: async (run, epoch) => ({ filters: (await ready).workshop.filters(run, epoch) }),
};

addEventListener("message", async ({ data: { number, name, values } }) => {
  try {
    postMessage({ number, answer: await answers[name](...values) });
  } catch (error) {
    postMessage({ number, error: error.message });
  }
});
