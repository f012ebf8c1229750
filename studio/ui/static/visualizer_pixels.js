// Pixels of frames, the differences between them, and the colours that numbers are drawn in. Knows nothing of runs.

const SIDE = 192; // frames are compared at this size at most
const KEPT = 160;

const HEAT = [[8, 10, 20], [66, 24, 94], [150, 36, 96], [222, 84, 58], [250, 170, 60], [252, 246, 200]];
const SIGNED = [[33, 92, 170], [125, 172, 214], [240, 240, 236], [232, 150, 112], [178, 34, 42]];

const LEVELS = 256;

/** For values from 0 to 1, dark to light; for values from -1 to 1, blue below zero and red above. */
export const heat = { least: 0, table: tableOf(HEAT) };
export const signed = { least: -1, table: tableOf(SIGNED) };

/** The colours between these, as canvases keep them: 0xAABBGGRR. */
function tableOf(colours) {
  return Uint32Array.from({ length: LEVELS }, (_, level) => {
    const at = (level / (LEVELS - 1)) * (colours.length - 1);
    const low = Math.min(Math.floor(at), colours.length - 2);
    const [red, green, blue] = colours[low].map((from, channel) => Math.round(from + (at - low) * (colours[low + 1][channel] - from)));
    return (255 << 24) | (blue << 16) | (green << 8) | red;
  });
}

/** Draws the values (height rows of width) into a canvas of that size. */
export function drawMap(canvas, values, width, height, { least, table }) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  const scale = (LEVELS - 1) / (1 - least);
  for (let at = 0; at < words.length; at += 1) words[at] = table[Math.max(0, Math.min(LEVELS - 1, Math.round((values[at] - least) * scale)))];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Reads pictures' pixels once, the latest KEPT of them. */
export class Pixels {
  constructor() {
    this.known = new Map();
    this.canvas = document.createElement("canvas");
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
  }

  of(picture) {
    const found = this.known.get(picture);
    if (found) return found;
    const scale = Math.min(1, SIDE / Math.max(picture.naturalWidth, picture.naturalHeight));
    const [width, height] = [Math.round(picture.naturalWidth * scale), Math.round(picture.naturalHeight * scale)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.pen.drawImage(picture, 0, 0, width, height);
    const pixels = { width, height, data: this.pen.getImageData(0, 0, width, height).data };
    this.known.set(picture, pixels);
    if (this.known.size > KEPT) this.known.delete(this.known.keys().next().value);
    return pixels;
  }
}

/** The root mean square difference of two pictures over all channels, of 255; null where their sizes differ. */
export function distance(first, second) {
  if (first.data.length !== second.data.length) return null;
  let sum = 0;
  for (let at = 0; at < first.data.length; at += 4) {
    for (let channel = at; channel < at + 3; channel += 1) sum += (first.data[channel] - second.data[channel]) ** 2;
  }
  return Math.sqrt(sum / (0.75 * first.data.length));
}

/** { values, most }: the mean absolute difference of the channels at each pixel, as a share of the largest, which is `most` of 255. */
export function difference(first, second) {
  const [one, other] = [first.data, second.data];
  const count = one.length / 4;
  const values = new Float32Array(count);
  let most = 0;
  for (let pixel = 0, at = 0; pixel < count; pixel += 1, at += 4) {
    const value = (Math.abs(one[at] - other[at]) + Math.abs(one[at + 1] - other[at + 1]) + Math.abs(one[at + 2] - other[at + 2])) / 3;
    values[pixel] = value;
    if (value > most) most = value;
  }
  if (most > 0) for (let pixel = 0; pixel < count; pixel += 1) values[pixel] /= most;
  return { values, most };
}
