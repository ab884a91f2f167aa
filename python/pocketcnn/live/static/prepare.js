// From a sheet of paper, drawn on or with a picture, to the pixels that the network takes.

/** How many pixels of paper there are to one of the network, along a side. */
export const paperScale = ([, height, width]) => Math.max(1, Math.ceil(280 / Math.max(height, width)));

/**
 * Pixels (C, H, W) of a paper: means of squares; grey by the eye's weights where one channel is
 * wanted. `centre` puts the ink where MNIST's digits have it.
 */
export function pixelsOf(paper, shape, { centre, invert }) {
  const [channels, height, width] = shape;
  const scale = paper.width / width;
  const sheet = centre ? centred(paper) : paper;
  const { data } = sheet.getContext("2d").getImageData(0, 0, paper.width, paper.height);
  const pixels = new Uint8Array(channels * height * width);
  const plane = height * width;
  const area = scale * scale;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      let [red, green, blue] = [0, 0, 0];
      for (let y = row * scale; y < (row + 1) * scale; y++) {
        const end = 4 * (y * paper.width + (column + 1) * scale);
        for (let at = 4 * (y * paper.width + column * scale); at < end; at += 4) {
          red += data[at];
          green += data[at + 1];
          blue += data[at + 2];
        }
      }
      const mean = [red / area, green / area, blue / area];
      if (invert) for (let part = 0; part < 3; part++) mean[part] = 255 - mean[part];
      const at = row * width + column;
      if (channels === 3 || channels === 4) {
        for (let part = 0; part < 3; part++) pixels[part * plane + at] = Math.round(mean[part]);
        if (channels === 4) pixels[3 * plane + at] = 255;
      } else {
        const grey = Math.round(0.299 * mean[0] + 0.587 * mean[1] + 0.114 * mean[2]);
        for (let part = 0; part < channels; part++) pixels[part * plane + at] = grey;
      }
    }
  }
  return pixels;
}

// MNIST's digits were scaled to fit into 20 of 28 pixels, and their centre of mass was put in the
// middle (LeCun, Cortes, Burges).
const MNIST_SHARE = 20 / 28;

function centred(paper) {
  const { width, height } = paper;
  const { data } = paper.getContext("2d").getImageData(0, 0, width, height);
  let [left, top, right, bottom] = [width, height, -1, -1];
  let [mass, across, down] = [0, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const ink = data[4 * (y * width + x)];
      if (ink < 16) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
      mass += ink;
      across += ink * (x + 0.5);
      down += ink * (y + 0.5);
    }
  }
  if (right < 0) return paper;
  const grow = (MNIST_SHARE * Math.min(width, height)) / Math.max(right - left + 1, bottom - top + 1);
  const sheet = new OffscreenCanvas(width, height);
  const context = sheet.getContext("2d");
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.setTransform(
    grow, 0, 0, grow, width / 2 - (grow * across) / mass, height / 2 - (grow * down) / mass,
  );
  context.drawImage(paper, 0, 0);
  return sheet;
}

/** Draw a picture on paper by the model's rule: "stretch", "crop" or "pad". */
export function place(paper, picture, [wide, high], rule) {
  const context = paper.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, paper.width, paper.height);
  let [width, height] = [paper.width, paper.height];
  if (rule !== "stretch") {
    const factors = [paper.width / wide, paper.height / high];
    const factor = rule === "crop" ? Math.max(...factors) : Math.min(...factors);
    [width, height] = [wide * factor, high * factor];
  }
  // A picture that is smaller than the paper keeps its pixels: those of the network's size are exact.
  context.imageSmoothingEnabled = width < wide || height < high;
  context.imageSmoothingQuality = "high";
  context.drawImage(
    picture, (paper.width - width) / 2, (paper.height - height) / 2, width, height,
  );
}

/** Mean brightness at the edges of a paper, from 0 to 1. */
export function ground(paper) {
  const { width, height } = paper;
  const context = paper.getContext("2d");
  const parts = [
    [0, 0, width, 1], [0, height - 1, width, 1], [0, 0, 1, height], [width - 1, 0, 1, height],
  ];
  let [sum, count] = [0, 0];
  for (const part of parts) {
    const { data } = context.getImageData(...part);
    for (let at = 0; at < data.length; at += 4) sum += data[at] + data[at + 1] + data[at + 2];
    count += (3 * data.length) / 4;
  }
  return sum / count / 255;
}
