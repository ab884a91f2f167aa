// The page's only way to the model, without a server: a worker of this browser computes everything
// from the files beside this one. The same names as where a server answers.

/** The model cannot be asked: the worker could not begin. */
export class Gone extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** The model was asked, and refused: the message says why. */
export class Refused extends Error {}

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const waiting = new Map(); // requests that are not answered yet, by their numbers
let asked = 0;
let broken = false;

worker.addEventListener("message", ({ data: { number, answer, error } }) => {
  const { resolve, reject } = waiting.get(number);
  waiting.delete(number);
  if (error === undefined) resolve(answer);
  else reject(new Refused(error));
});
worker.addEventListener("error", () => {
  broken = true;
  for (const { reject } of waiting.values()) reject(new Gone("away"));
  waiting.clear();
});

function ask(name, ...values) {
  if (broken) return Promise.reject(new Gone("away"));
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject });
    worker.postMessage({ number: asked, name, values });
  });
}

const names = [
  "network", "sample", "predict", "look", "plane", "value", "attribute", "neighbours", "excite",
  "train", "progress", "filters",
];
export const backend = Object.fromEntries(names.map((name) => [name, (...values) => ask(name, ...values)]));
