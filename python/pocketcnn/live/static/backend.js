// The page's only way to the model: here by requests to the server it came from. Another build of the
// page replaces this file; the names and what they give stay.

/** The model cannot be asked: `reason` is "away" (no answer) or "renewed" (another server answers). */
export class Gone extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** The model was asked, and refused: the message says why. */
export class Refused extends Error {}

const TYPES = {
  uint8: Uint8Array,
  int64: BigInt64Array,
  float32: Float32Array,
  float64: Float64Array,
};

/** Ask, and read the answer as "json" or as an "arrayBuffer". */
async function ask(form, name, query = {}, body = undefined, seconds = 60) {
  const url = new URL(`api/${name}`, document.baseURI);
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) url.searchParams.set(key, value);
  }
  const settings = { signal: AbortSignal.timeout(1000 * seconds), cache: "no-store" };
  if (body !== undefined) Object.assign(settings, { method: "POST", body });
  let answer;
  let content;
  try {
    answer = await fetch(url, settings);
    content = answer.ok ? await answer[form]() : await answer.text();
  } catch {
    throw new Gone("away");
  }
  if (answer.status === 403) throw new Gone("renewed");
  if (!answer.ok) throw new Refused(reason(content) ?? `${answer.status}`);
  return content;
}

function reason(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return undefined;
  }
}

const json = (...request) => ask("json", ...request);

/** An answer with arrays: {...values, name: {shape, data}}. See wire.py. */
async function arrays(...request) {
  const buffer = await ask("arrayBuffer", ...request);
  const length = new DataView(buffer).getUint32(0, true);
  const { arrays: table, ...values } = JSON.parse(
    new TextDecoder().decode(new Uint8Array(buffer, 4, length)),
  );
  for (const [name, { dtype, shape, offset }] of Object.entries(table)) {
    const count = shape.reduce((product, size) => product * size, 1);
    values[name] = { shape, data: new TYPES[dtype](buffer, 4 + length + offset, count) };
  }
  return values;
}

// `source` is null for the model itself, or { run, epoch } for a network that was trained here.
export const backend = {
  /** What the network is: input, classes, layers; of the model also which images are at hand. */
  network: (run) => json("network", { run }),

  /** An image at hand: { image, label, index }. */
  sample: (index, part = "test") => arrays("sample", { index, part }),

  /** Probabilities (N, K) of images that lie one behind another. */
  predict: (images, source) => arrays("predict", { ...source }, images),

  /** Probabilities of an image, and the first maps of some layers, as bytes to be drawn. */
  async look(image, source, layers, maps) {
    const found = await arrays("look", { ...source, layers: layers.join(","), maps }, image);
    for (const name of layers) Object.assign(found.strips[name], found[name]);
    return found;
  },

  /** One whole map (H, W). */
  plane: (image, source, layer, channel) =>
    arrays("plane", { ...source, layer, channel }, image),

  /** How one number came about: the patch, the weights, and what is made of them. */
  value: (image, source, layer, place) =>
    arrays("value", { ...source, layer, place: place.join(",") }, image),

  /** What speaks for a class, as bytes: `kind` is "cam" (Grad-CAM) or "saliency". */
  attribute: (image, source, chosen, kind) =>
    arrays("attribute", { ...source, class: chosen, kind }, image),

  /** The training images that the model takes for alike. */
  neighbours: (image) => arrays("neighbours", {}, image),

  /** The patches of test images that excite a channel most. */
  excite: (source, layer, channel) => arrays("excite", { ...source, layer, channel }),

  /** Start, pause, resume, step or stop a training, or change its rate; gives its number. */
  train: (command) => json("train", {}, JSON.stringify(command)),

  /** All runs, or the version alone if nothing has changed since that one. */
  progress: (version) => json("progress", { version }, undefined, 5),

  /** The first filters (FN, C, KH, KW) of a run: now, or after an epoch. */
  filters: (run, epoch) => arrays("filters", { run, epoch }),
};
