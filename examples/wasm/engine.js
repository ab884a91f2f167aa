// The module in JavaScript's words: networks that are read from bytes, looked into and trained. The
// same in a browser, in its workers and under node.

import createModule from "./pocketcnn.js";

const PATH = "/model.safetensors"; // in the module's own memory

/** Start the module; `Engine.load` makes networks. */
export async function start() {
  const settings = {};
  if (typeof process === "object") {
    const { readFile } = await import("node:fs/promises");
    settings.wasmBinary = await readFile(new URL("pocketcnn.wasm", import.meta.url));
  }
  return new Engine(await createModule(settings));
}

class Engine {
  constructor(module) {
    this.module = module;
  }

  /** Read a model file of float32: Uint8Array. */
  load(bytes) {
    this.module.FS.writeFile(PATH, bytes);
    try {
      return new Network(this, this.must("load", ["string"], [PATH]));
    } finally {
      this.module.FS.unlink(PATH);
    }
  }

  call(name, types, values) {
    return this.module.ccall(`pocketcnn_${name}`, "number", types, values);
  }

  /** The call's result; an Error with the reason if there is none. */
  must(name, types, values) {
    const result = this.call(name, types, values);
    if (!result) throw new Error(this.module.ccall("pocketcnn_error", "string", [], []));
    return result;
  }

  /** `count` floats at an address, copied. */
  floats(address, count) {
    return new Float32Array(this.module.HEAPU8.buffer, address, count).slice();
  }

  /** Call `work` with the address of a copy of an array. */
  lend(array, work) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    const address = this.module._malloc(Math.max(1, bytes.length));
    if (!address) throw new Error("the browser has no more memory for the network");
    try {
      this.module.HEAPU8.set(bytes, address);
      return work(address);
    } finally {
      this.module._free(address);
    }
  }
}

class Network {
  constructor(engine, address) {
    this.engine = engine;
    this.address = address;
    const count = engine.call("values", ["number"], [address]);
    this.sizes = Array.from({ length: count }, (_, k) => engine.call("size", ["number", "number"], [address, k]));
    this.gradients = 0;
    this.learner = 0;
  }

  /** Give its memory back; nothing may be asked of it any more. */
  close() {
    const { engine } = this;
    if (this.learner) engine.call("dismiss", ["number"], [this.learner]);
    if (this.gradients) engine.call("forget_gradients", ["number"], [this.gradients]);
    engine.call("unload", ["number"], [this.address]);
  }

  /** Compute all values of images, Float32Array of some after another; gives the scores. */
  forward(images) {
    const n = images.length / this.sizes[0];
    this.engine.lend(images, (at) =>
      this.engine.must("forward", ["number", "number", "number"], [this.address, at, n]));
    return this.value(this.sizes.length - 1, n);
  }

  /** What layer k - 1 gave for n images, or for k = 0 the images. */
  value(k, n = 1) {
    const at = this.engine.call("value", ["number", "number"], [this.address, k]);
    return this.engine.floats(at, n * this.sizes[k]);
  }

  /** A copy of an array; null if there is none of the name. */
  array(name) {
    const at = this.engine.call("array", ["number", "string"], [this.address, name]);
    return at ? this.engine.floats(at, this.#sizeOf(name)) : null;
  }

  /** Exchange an array's elements. */
  setArray(name, values) {
    if (values.length !== this.#sizeOf(name)) throw new Error(`${name} has not ${values.length} elements`);
    const at = this.engine.call("array", ["number", "string"], [this.address, name]);
    new Float32Array(this.engine.module.HEAPU8.buffer, at, values.length).set(values);
  }

  /** For one image, the gradients of one score by values of the given numbers. */
  differentiate(image, score, numbers) {
    const { engine } = this;
    this.gradients ||= engine.must("gradients", ["number"], [this.address]);
    engine.lend(image, (at) =>
      engine.must("differentiate", Array(4).fill("number"), [this.gradients, at, score, this.sizes.at(-1)]));
    return numbers.map((k) =>
      engine.floats(engine.call("by_value", ["number", "number"], [this.gradients, k]), this.sizes[k]));
  }

  /** Get ready to be trained by "SGD", "AdaGrad", "RMSprop", "Adam" or "AdamW". */
  prepare(optimizer, seed = 0) {
    this.learner = this.engine.must("learner", ["number", "string", "number"], [this.address, optimizer, seed]);
  }

  /** One update by images and their labels (Int32Array): { loss, hits } before it. */
  learn(images, labels, rate) {
    const { engine } = this;
    return engine.lend(images, (images_at) =>
      engine.lend(labels, (labels_at) =>
        engine.lend(new Float64Array(2), (at) => {
          const values = [this.learner, images_at, labels_at, labels.length, rate, at];
          engine.must("learn", Array(6).fill("number"), values);
          const [loss, hits] = new Float64Array(engine.module.HEAPU8.buffer, at, 2);
          return { loss, hits };
        })));
  }

  #sizeOf(name) {
    return this.engine.call("array_size", ["number", "string"], [this.address, name]);
  }
}
