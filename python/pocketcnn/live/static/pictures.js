// Pictures that are not drawn: dropped, opened, taken by the camera, or at hand. The browser reads
// them, in its sandbox; the server only ever sees pixels of the network's size.

import { backend } from "./backend.js";
import { find, make, percent } from "./dom.js";
import { changed, paper, remember } from "./pad.js";
import { paintImage } from "./palette.js";
import { ground, pixelsOf, place } from "./prepare.js";
import { state } from "./state.js";
import { attempt } from "./trouble.js";
import { t } from "./words.js";

const MOST_BYTES = 40e6;
const MOST_PIXELS = 89e6; // as many as `pocketcnn predict` takes
const MOST_SECONDS = 15;
const FRAME = 100; // milliseconds between pictures of the camera

const video = find("video");
let stream = null;

export function setUpPictures() {
  find("open").addEventListener("click", () => find("file").click());
  find("file").addEventListener("change", (event) => {
    takeFiles([...event.target.files]);
    event.target.value = "";
  });
  find("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera()));
  find("sample").hidden = state.network.data === null;
  find("sample").addEventListener("click", attempt(takeSample));
  listenToDrops();
  addEventListener("paste", (event) => takeFiles([...event.clipboardData.files]));
}

async function takeSample() {
  const index = Math.floor(Math.random() * state.network.data.test);
  const { image, label } = await backend.sample(index);
  showPixels(image.data);
  tell(t("sample_told", { label: nameOf(label), index }));
}

/** Put pixels of the network's own size on the paper. */
export function showPixels(pixels) {
  const small = document.createElement("canvas");
  paintImage(small, pixels, state.network.input);
  remember();
  const context = paper.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, paper.width, paper.height);
  context.imageSmoothingEnabled = true;
  find("invert").checked = false;
  find("pad-hint").hidden = true;
  changed({ drawn: false });
}

const nameOf = (label) => state.network.classes?.[label] ?? label;

function tell(text) {
  find("told").textContent = text;
}

/** Whether a picture is the other way round, dark on light, than what the network was trained on. */
const looksInverted = (sheet) => {
  const known = state.network.data?.ground;
  return known !== undefined && known < 0.3 && state.network.input[0] < 3 && ground(sheet) > 0.6;
};

async function takeFiles(files) {
  const pictures = files.filter((file) => !file.name.startsWith("."));
  if (!pictures.length) return;
  stopCamera();
  tell(pictures.length > 1 ? t("reading", { count: pictures.length }) : "");
  const found = [];
  const refused = [];
  for (const file of pictures.slice(0, state.network.images)) {
    try {
      found.push({ name: file.name, sheet: await read(file) });
    } catch (error) {
      refused.push(`${file.name}: ${error.message}`);
    }
  }
  if (pictures.length > state.network.images) {
    refused.push(t("only_some", { count: state.network.images }));
  }
  tell(refused.slice(0, 3).join("; "));
  if (found.length) showSheet(found[0].sheet);
  find("gallery-box").hidden = found.length < 2;
  if (found.length > 1) await attempt(() => showGallery(found))();
}

/** Read a picture file onto a sheet; refuse what is no picture, or too large, before it is decoded. */
async function read(file) {
  if (file.size > MOST_BYTES) throw new Error(t("too_large", { size: MOST_BYTES / 1e6 }));
  const address = URL.createObjectURL(file);
  try {
    const picture = new Image();
    await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error(t("too_slow"))), 1000 * MOST_SECONDS);
      picture.onload = resolve;
      picture.onerror = () => reject(new Error(t("no_picture")));
      picture.src = address;
    });
    const [wide, high] = [picture.naturalWidth || 300, picture.naturalHeight || 300];
    if (wide * high > MOST_PIXELS) throw new Error(t("too_many", { wide, high }));
    const sheet = document.createElement("canvas");
    sheet.width = paper.width;
    sheet.height = paper.height;
    place(sheet, picture, [wide, high], state.network.resize);
    return sheet;
  } finally {
    URL.revokeObjectURL(address);
  }
}

function showSheet(sheet) {
  remember();
  paper.getContext("2d").drawImage(sheet, 0, 0);
  find("invert").checked = looksInverted(sheet);
  find("pad-hint").hidden = true;
  changed({ drawn: false });
}

async function showGallery(found) {
  const { input } = state.network;
  const size = input.reduce((product, one) => product * one, 1);
  const all = new Uint8Array(found.length * size);
  found.forEach(({ sheet }, index) => {
    all.set(pixelsOf(sheet, input, { centre: false, invert: looksInverted(sheet) }), index * size);
  });
  const answers = state.network.classes ? (await backend.predict(all, state.source)).probabilities : null;
  find("gallery").replaceChildren(
    ...found.map(({ name, sheet }, index) => {
      let told = "";
      if (answers) {
        const count = answers.shape[1];
        const row = [...answers.data.subarray(index * count, (index + 1) * count)];
        const best = row.indexOf(Math.max(...row));
        told = `${nameOf(best)} ${percent(row[best])}`;
      }
      sheet.className = "thumb";
      return make("li", {},
        make("button", { type: "button", title: name, onclick: () => showSheet(sheet) },
          sheet, make("span", {}, told)));
    }),
  );
}

function listenToDrops() {
  let depth = 0;
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    depth++;
    find("drop").hidden = false;
  });
  addEventListener("dragleave", () => {
    depth--;
    find("drop").hidden = depth > 0 ? false : true;
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    depth = 0;
    find("drop").hidden = true;
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    const files = [...event.dataTransfer.files];
    takeFiles(entries.some((entry) => entry?.isDirectory) ? await walk(entries) : files);
  });
}

/** The files of dropped folders, in the order of their names, no more than are shown. */
async function walk(entries) {
  const files = [];
  const waiting = entries.filter(Boolean);
  while (waiting.length && files.length <= state.network.images) {
    const entry = waiting.shift();
    if (entry.isFile) {
      files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      continue;
    }
    const reader = entry.createReader();
    let part;
    do {
      part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      waiting.push(...part);
    } while (part.length);
    waiting.sort((one, other) => one.fullPath.localeCompare(other.fullPath));
  }
  return files;
}

async function startCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    tell(t("no_camera"));
    return;
  }
  find("camera").setAttribute("aria-pressed", "true");
  find("camera").textContent = t("camera_stop");
  find("pad-hint").hidden = true;
  remember();
  video.srcObject = stream;
  await video.play();
  const mine = stream;
  let first = true;
  while (stream === mine) {
    place(paper, video, [video.videoWidth, video.videoHeight], "crop");
    if (first) find("invert").checked = looksInverted(paper);
    first = false;
    changed({ drawn: false });
    await new Promise((resolve) => setTimeout(resolve, FRAME));
  }
}

function stopCamera() {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  video.srcObject = null;
  find("camera").setAttribute("aria-pressed", "false");
  find("camera").textContent = t("camera");
}
