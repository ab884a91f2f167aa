// Training that the page can watch, pause and go back in: one run at a time, between two answers.

import { Run } from "./run.js";

const MOST_RUNS = 6; // older ones are forgotten, as every run keeps the weights of its epochs

export class Workshop {
  /** `part(name)` gives labelled images, and `make(name)` an Exhibit of one of the networks. */
  constructor(about, part, make) {
    Object.assign(this, { about, part, make });
    this.rooms = new Map(); // { run, exhibit, shown } by the runs' numbers
    this.made = 0;
  }

  /** Do what the page asks for; gives the number of the run. */
  async command({ action, ...values }) {
    if (action === "start") return this.#start(values);
    const { run } = this.#room(values.run);
    if (action === "rate") run.setRate(values.rate);
    else if (["pause", "resume", "step", "stop"].includes(action)) run[action]();
    else throw new Error(`action is ${action}: wanted start, rate, pause, resume, step or stop`);
    return run.number;
  }

  /** All runs, or the version alone if nothing has changed since that one. */
  progress(known) {
    const runs = [...this.rooms.values()].map(({ run }) => run);
    const version = runs.map((run) => `${run.number}:${run.version}`).join(" ");
    return known === version ? { version } : { version, runs: runs.map((run) => run.report()) };
  }

  /** The first filters of a run: now, or after an epoch. */
  filters(number, epoch) {
    return this.#room(number).run.filters(epoch);
  }

  /** What describes the network of a run. */
  network(number) {
    return this.#room(number).exhibit.own;
  }

  /** The exhibit of a run, with the weights of an epoch. */
  exhibit(number, epoch) {
    const room = this.#room(number);
    if (room.shown !== epoch) {
      room.exhibit.setWeights(room.run.snapshot(epoch));
      room.shown = epoch;
    }
    return room.exhibit;
  }

  async #start(recipe) {
    if (!this.part) throw new Error("there are no labelled images to train on");
    if (!this.about.begins.includes(recipe.begin)) {
      throw new Error(`begin is ${recipe.begin}: wanted one of ${this.about.begins.join(", ")}`);
    }
    const [trained, exhibit, training, test] = await Promise.all([
      this.make(recipe.begin), this.make(recipe.begin), this.part("training"), this.part("test"),
    ]);
    for (const { run } of this.rooms.values()) run.stop();
    const run = new Run(++this.made, recipe, trained, { training, test });
    this.rooms.set(run.number, { run, exhibit, shown: null });
    for (const [number, old] of [...this.rooms].slice(0, -MOST_RUNS)) {
      old.exhibit.network.close();
      this.rooms.delete(number);
    }
    run.train();
    return run.number;
  }

  #room(number) {
    const room = this.rooms.get(number);
    if (!room) throw new Error(`run is ${number}, but there are ${[...this.rooms.keys()].join(", ") || "none"}`);
    return room;
  }
}
