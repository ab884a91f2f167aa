// A network that is trained, and what it was after each epoch.

const KEPT_BYTES = 2 ** 27; // weights of past epochs are kept up to so many; then every other one is let go
const POINTS = 300;
const BETWEEN_FILTERS = 100; // milliseconds: filters are copied not oftener than anyone can see

export class Run {
  /** `recipe` is what the page asked for, `exhibit` a network of its own to be trained. */
  constructor(number, { optimizer, rate, batch_size, epochs, begin, paused = false }, exhibit, { training, test }) {
    this.number = number;
    this.recipe = { optimizer, rate, batch_size, epochs, begin, paused };
    Object.assign(this, { rate, training, test, exhibit });
    this.state = paused ? "paused" : "running";
    this.error = "";
    this.version = 0;
    this.epoch = 0;
    this.points = []; // [place in epochs, loss, accuracy] of updates
    this.records = [];
    this.snapshots = new Map(); // Maps of arrays, by epochs
    this.stepsAllowed = 0;
    this.wake = () => {};
    this.random = generator(number);
    const filtered = exhibit.own.layers.find(({ kind }) => kind === "Conv2d");
    this.filtersName = filtered ? `${filtered.name}.weight` : "";
    this.filtersShape = filtered && [filtered.shape[0], filtered.filterChannels, ...filtered.window];
    this.kept = null; // the filters as they were last seen
  }

  pause() {
    this.#become("paused", ["running"]);
  }

  resume() {
    this.#become("running", ["paused"]);
  }

  /** Make one update, and pause. */
  step() {
    this.#become("paused", ["running"]);
    this.stepsAllowed++;
    this.wake();
  }

  stop() {
    this.#become("stopped", ["running", "paused"]);
  }

  setRate(rate) {
    this.rate = rate;
    this.version++;
  }

  /** The weights as they were after an epoch, 0 for those at the beginning. */
  snapshot(epoch) {
    const found = this.snapshots.get(epoch);
    if (!found) throw new Error(`epoch is ${epoch}, but there are ${[...this.snapshots.keys()].join(", ")}`);
    return found;
  }

  filters(epoch = null) {
    if (!this.filtersName) return { shape: [0, 0, 0, 0], data: new Float32Array() };
    const data = epoch === null ? this.kept : this.snapshot(epoch).get(this.filtersName);
    return { shape: this.filtersShape, data };
  }

  report() {
    return {
      number: this.number,
      recipe: this.recipe,
      state: this.state,
      error: this.error,
      rate: this.rate,
      epoch: this.epoch,
      step: this.points.length,
      epochs: [...this.snapshots.keys()],
      points: thinned(this.points),
      records: this.records,
      filters: this.filtersName,
    };
  }

  /** Train to the end; others are answered between two updates. */
  async train() {
    const { network } = this.exhibit;
    try {
      network.prepare(this.recipe.optimizer, this.number);
      this.#keepWeights();
      await this.#turn();
      while (this.epoch < this.recipe.epochs && this.state !== "stopped") {
        this.epoch++;
        await this.#trainEpoch();
        if (this.state !== "stopped") this.records.push(this.#measured());
        this.#keepWeights();
      }
      this.#become("done", ["running", "paused"]);
    } catch (error) {
      // Whatever it is, the page has to tell it.
      this.error = error.message;
      this.#become("failed", ["running", "paused", "stopped"]);
    } finally {
      network.close();
    }
  }

  async #trainEpoch() {
    const { pixels, labels, size } = this.training;
    const order = shuffled(labels.length, this.random);
    let seen = Date.now();
    for (let first = 0; first < order.length && this.state !== "stopped"; first += this.recipe.batch_size) {
      const chosen = order.slice(first, first + this.recipe.batch_size);
      const batch = new Uint8Array(chosen.length * size);
      chosen.forEach((index, at) => batch.set(pixels.subarray(index * size, (index + 1) * size), at * size));
      const { loss, hits } = this.exhibit.network.learn(
        this.exhibit.scaled(batch), Int32Array.from(chosen, (index) => labels[index]), this.rate);
      if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss}; a smaller learning rate may help`);
      this.points.push([this.epoch - 1 + (first + chosen.length) / order.length, loss, hits / chosen.length]);
      this.version++;
      if (Date.now() - seen > BETWEEN_FILTERS || this.state === "paused") {
        seen = Date.now();
        this.#keepFilters();
      }
      await this.#turn();
    }
  }

  /** Let others be answered; while the run is paused, wait for a step or for its end. */
  async #turn() {
    await new Promise((resolve) => setTimeout(resolve, 0));
    while (this.state === "paused" && !this.stepsAllowed) {
      await new Promise((resolve) => (this.wake = resolve));
    }
    this.stepsAllowed = Math.max(0, this.stepsAllowed - 1);
  }

  /** Loss and accuracy on the test images. */
  #measured() {
    const { pixels, labels } = this.test;
    const scores = this.exhibit.scores(this.exhibit.scaled(pixels));
    const count = scores.length / labels.length;
    let [loss, hits] = [0, 0];
    labels.forEach((label, index) => {
      const row = scores.subarray(index * count, (index + 1) * count);
      const most = row.reduce((one, other) => Math.max(one, other));
      loss += most + Math.log(row.reduce((sum, score) => sum + Math.exp(score - most), 0)) - row[label];
      hits += row.indexOf(most) === label ? 1 : 0;
    });
    return { epoch: this.epoch, val_loss: loss / labels.length, val_accuracy: hits / labels.length };
  }

  #keepWeights() {
    const { network, own } = this.exhibit;
    const weights = new Map(own.arrays.map((name) => [name, network.array(name)]));
    const bytes = [...weights.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    this.snapshots.set(this.epoch, weights);
    while (this.snapshots.size > 2 && this.snapshots.size * bytes > KEPT_BYTES) {
      [...this.snapshots.keys()].slice(1, -1).forEach((epoch, at) => at % 2 || this.snapshots.delete(epoch));
    }
    this.#keepFilters();
  }

  #keepFilters() {
    if (this.filtersName) this.kept = this.exhibit.network.array(this.filtersName);
    this.version++;
  }

  #become(state, from) {
    if (!from.includes(this.state)) return;
    this.state = state;
    this.version++;
    this.wake();
  }
}

/** A few hundred points at most, means of as many neighbours each. */
function thinned(points) {
  const step = Math.ceil(points.length / POINTS) || 1;
  const groups = Array.from({ length: Math.ceil(points.length / step) }, (_, at) => points.slice(at * step, (at + 1) * step));
  return groups.map((group) => [0, 1, 2].map((column) => group.reduce((sum, point) => sum + point[column], 0) / group.length));
}

/** Numbers below n in an order by chance (Fisher and Yates). */
function shuffled(n, random) {
  const order = Array.from({ length: n }, (_, index) => index);
  for (let at = n - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [order[at], order[other]] = [order[other], order[at]];
  }
  return order;
}

/** Numbers from 0 to 1 that a seed repeats: a Weyl sequence through the mixing of MurmurHash3. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}
