// The page: asks for the network, sets up its parts, and keeps them in step.

import { backend } from "./backend.js";
import { setUpDiagram } from "./diagram.js";
import { find } from "./dom.js";
import { setUpInspector } from "./inspector.js";
import { setUpPad } from "./pad.js";
import { setTheme } from "./palette.js";
import { setUpPictures } from "./pictures.js";
import { setUpScores } from "./scores.js";
import { setUpSource } from "./source.js";
import { change, latest, on, state, tell } from "./state.js";
import { setUpStrips, showStrips, wanted } from "./strips.js";
import { setUpTraining } from "./training.js";
import { attempt } from "./trouble.js";
import { setUpWindows } from "./windows.js";
import { preferred, speak, t } from "./words.js";

const VIEWS = ["see", "train", "learn"];
// Where the views are below what one draws on; see page.css.
const isNarrow = matchMedia("(max-width: 759px)");
const KEPT_THEME = "pocketcnn-theme";

const look = latest(attempt(async () => {
  const { image, source, network } = state;
  if (!image) return;
  const begun = performance.now();
  const { names, maps } = find("see").hidden ? { names: [], maps: 0 } : wanted();
  const found = await backend.look(image, source, names, maps);
  if (network.classes) change({ scores: found.probabilities });
  showStrips(found.strips);
  find("latency").textContent = t("latency", { ms: Math.max(1, Math.round(performance.now() - begun)) });
}));

function setUpTheme() {
  let theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  try {
    theme = localStorage.getItem(KEPT_THEME) ?? theme;
  } catch {
    // A browser that keeps nothing follows its own setting.
  }
  const use = (next) => {
    theme = next;
    document.documentElement.dataset.theme = theme;
    setTheme(theme);
    tell("theme");
    tell("image");
    tell("runs");
  };
  use(theme);
  find("theme").addEventListener("click", () => {
    use(theme === "dark" ? "light" : "dark");
    try {
      localStorage.setItem(KEPT_THEME, theme);
    } catch {
      // Nothing is kept.
    }
  });
}

/** Bring a view onto a narrow screen: for the first, what one draws on is the beginning. */
function show(view) {
  if (view === VIEWS[0]) scrollTo(0, 0);
  else find("stage").scrollIntoView();
}

function setUpTabs() {
  const tabs = VIEWS.map((name) => find(`tab-${name}`));
  const open = (index) => {
    tabs.forEach((tab, other) => {
      tab.setAttribute("aria-selected", String(other === index));
      tab.tabIndex = other === index ? 0 : -1;
      find(VIEWS[other]).hidden = other !== index;
    });
    find("layout").dataset.view = VIEWS[index];
    tell("visible");
    tell("source");
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => {
      open(index);
      if (isNarrow.matches) show(VIEWS[index]);
    });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (index + step + tabs.length) % tabs.length;
      tabs[next].focus();
      open(next);
    });
  });
  find("layout").dataset.view = "see";
}

const begin = attempt(async () => {
  const network = await backend.network();
  change({ network, layers: network.layers });
  const count = network.layers.reduce((sum, { parameters }) => sum + parameters, 0);
  const title = () => {
    find("model").textContent = `${network.title} · ${t("numbers", { count: count.toLocaleString() })}`;
    document.title = `${network.title} · pocketcnn live`;
  };
  title();
  setUpStrips(find("strips"));
  setUpDiagram(find("diagram"));
  setUpInspector();
  setUpScores();
  setUpPictures();
  setUpSource();
  setUpTabs();
  setUpWindows();
  on("image source visible back", look);
  on("words", title);
  setUpPad();
  setUpTraining();
  document.documentElement.dataset.ready = "yes";
});

setUpTheme();
const language = find("language");
language.value = preferred();
speak(language.value);
language.addEventListener("change", () => speak(language.value));
await begin();
if (!state.network) on("back", () => state.network || begin());
