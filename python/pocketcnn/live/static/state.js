// What the parts of the page have in common, and who wants to know when it changes.

export const state = {
  network: null, // what backend.network gave for the model
  layers: [], // those of the network whose weights are shown
  image: null, // pixels as the network's input takes them: Uint8Array of C * H * W
  source: null, // whose weights are shown: null for the model, or { run, epoch }
  scores: null, // probabilities of the classes
  chosen: null, // the class that is asked about; null: the most probable
  selected: null, // what the inspector shows: { layer, place }
  runs: [], // trainings, as backend.progress reports them
};

const listeners = new Map();

export function on(names, listener) {
  for (const name of names.split(" ")) {
    if (!listeners.has(name)) listeners.set(name, []);
    listeners.get(name).push(listener);
  }
}

export function change(values) {
  Object.assign(state, values);
  for (const name of Object.keys(values)) tell(name);
}

export function tell(name) {
  for (const listener of listeners.get(name) || []) listener();
}

/** Run `work` again and again as it is asked for, but never twice at once: the last request counts. */
export function latest(work) {
  let busy = false;
  let asked = false;
  return async function again() {
    if (busy) {
      asked = true;
      return;
    }
    busy = true;
    try {
      do {
        asked = false;
        await work();
      } while (asked);
    } finally {
      busy = false;
    }
  };
}
