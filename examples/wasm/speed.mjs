// How long a network takes for an image, and for an update by 100 images:
//
//     node speed.mjs MODULE model.safetensors
//
// MODULE is the folder of the module. The fastest of some rounds counts.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, file] = process.argv.slice(2);
const { start } = await import(pathToFileURL(resolve(folder, "engine.js")));
const engine = await start();
const network = engine.load(await readFile(file));
const [size, classes] = [network.sizes[0], network.sizes.at(-1)];
const images = Float32Array.from({ length: 100 * size }, () => Math.random());
const labels = Int32Array.from({ length: 100 }, (_, index) => index % classes);

function fastest(rounds, work) {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now();
    work();
    best = Math.min(best, performance.now() - begun);
  }
  return best.toFixed(3);
}

console.log(`one image: ${fastest(300, () => network.forward(images.subarray(0, size)))} ms`);
network.prepare("Adam");
console.log(`update by 100 images: ${fastest(20, () => network.learn(images, labels, 0.001))} ms`);
