// The sheet one draws on: with a mouse, a finger, a pen, or the keys.

import { find } from "./dom.js";
import { paperScale, pixelsOf } from "./prepare.js";
import { change, on, state } from "./state.js";
import { t } from "./words.js";

const MOST_NAMES = 40; // characters of the names of all classes that the hint has room for
const KEPT = 30; // steps that can be undone
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const pad = find("pad");
const paper = document.createElement("canvas");
paper.getContext("2d", { willReadFrequently: true });
const past = [];
let scale = 1;
let hand = null; // where the keys' pen is, in pixels of paper
let penDown = false;
let drawing = false;

export { paper };

export function setUpPad() {
  const [channels, height, width] = state.network.input;
  scale = paperScale(state.network.input);
  paper.width = width * scale;
  paper.height = height * scale;
  pad.width = paper.width;
  pad.height = paper.height;
  find("pad-box").style.aspectRatio = `${width} / ${height}`;
  const grey = channels < 3;
  find("ink-box").hidden = grey;
  find("ink").value = grey ? "#ffffff" : "#101010";
  find("pen").value = Math.max(1, Math.min(width, height) / 28) * (grey ? 2.4 : 1.6);
  find("pen").max = Math.max(6, Math.min(width, height) / 6);
  find("centre").checked = grey;
  find("centre").closest("label").hidden = !grey;
  empty();
  listen();
  changed();
  on("words", hint);
  hint();
}

/** Say what the network knows, if it is little. */
function hint() {
  const names = state.network.classes?.join("\u00a0") ?? ""; // on one line
  const few = names.length > 0 && names.length <= MOST_NAMES;
  find("pad-hint").textContent = few ? t("draw_hint_of", { names }) : t("draw_hint");
}

/** Whether there is anything on the paper. */
export const isTouched = () => find("pad-hint").hidden;

/** Note the state before a change, so that it can be undone. */
export function remember() {
  past.push({
    pixels: paper.getContext("2d").getImageData(0, 0, paper.width, paper.height),
    touched: isTouched(),
    drawn: pad.dataset.drawn,
    invert: find("invert").checked,
  });
  if (past.length > KEPT) past.shift();
}

/** The paper is no longer as it was: show it, and let everybody know its pixels. */
export function changed({ drawn = true } = {}) {
  if (drawn !== null) pad.dataset.drawn = drawn ? "drawn" : "picture";
  show();
  const drawnByHand = pad.dataset.drawn === "drawn";
  const centre = find("centre").checked && drawnByHand;
  change({
    image: pixelsOf(paper, state.network.input, { centre, invert: find("invert").checked }),
  });
}

/** Give the paper one brightness: dark for light ink and the other way round. */
function empty() {
  const context = paper.getContext("2d");
  context.fillStyle = state.network.input[0] < 3 ? "#000" : "#fff";
  context.fillRect(0, 0, paper.width, paper.height);
}

export function clearPad() {
  remember();
  empty();
  find("invert").checked = false;
  find("pad-hint").hidden = false;
  changed();
}

export function undo() {
  const before = past.pop();
  if (!before) return;
  paper.getContext("2d").putImageData(before.pixels, 0, 0);
  find("pad-hint").hidden = before.touched;
  find("invert").checked = before.invert;
  pad.dataset.drawn = before.drawn;
  changed({ drawn: null });
}

function show() {
  const context = pad.getContext("2d");
  context.drawImage(paper, 0, 0);
  if (!hand || document.activeElement !== pad) return;
  context.lineWidth = Math.max(1.5, scale / 4);
  context.strokeStyle = penDown ? "#f0a830" : "#56b4e9";
  context.beginPath();
  context.arc(...hand, Math.max(4, penWidth() / 2), 0, 7);
  context.stroke();
}

const penWidth = () => Number(find("pen").value) * scale;

function line(from, to) {
  find("pad-hint").hidden = true;
  const context = paper.getContext("2d");
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = penWidth();
  context.strokeStyle = find("ink").value;
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
}

function pointOf(event) {
  const box = pad.getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * paper.width,
    ((event.clientY - box.top) / box.height) * paper.height,
  ];
}

function listen() {
  let last = null;
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pad.setPointerCapture(event.pointerId);
    drawing = true;
    hand = null;
    remember();
    last = pointOf(event);
    line(last, last);
    changed();
  });
  pad.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    const several = event.getCoalescedEvents?.() ?? [];
    for (const one of several.length ? several : [event]) {
      const next = pointOf(one);
      line(last, next);
      last = next;
    }
    changed();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    pad.addEventListener(name, () => {
      drawing = false;
    });
  }
  pad.addEventListener("keydown", key);
  pad.addEventListener("focus", show);
  pad.addEventListener("blur", show);
  find("pen").addEventListener("input", show);
  find("clear").addEventListener("click", clearPad);
  find("undo").addEventListener("click", undo);
  for (const name of ["centre", "invert"]) {
    find(name).addEventListener("change", () => changed({ drawn: null }));
  }
}

function key(event) {
  if ((event.ctrlKey || event.metaKey) && event.key === "z") {
    undo();
  } else if (event.ctrlKey || event.metaKey || event.altKey) {
    return;
  } else if (event.key in MOVES) {
    hand ??= [paper.width / 2, paper.height / 2];
    const step = scale * Math.max(1, paper.width / scale / 28) * (event.shiftKey ? 3 : 1);
    const [across, down] = MOVES[event.key];
    const next = [
      Math.min(paper.width, Math.max(0, hand[0] + across * step)),
      Math.min(paper.height, Math.max(0, hand[1] + down * step)),
    ];
    if (penDown) line(hand, next);
    hand = next;
    if (penDown) changed();
    else show();
  } else if (event.key === " " || event.key === "Enter") {
    hand ??= [paper.width / 2, paper.height / 2];
    penDown = !penDown;
    if (penDown) {
      remember();
      line(hand, hand);
      changed();
    } else show();
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clearPad();
  } else return;
  event.preventDefault();
}
