// What is painted, at the picture's own size, in square tiles. A tile is never changed once its change has ended, so a version
// is a list of tiles: history keeps lists, unpainted tiles cost nothing, and a stroke touches only the tiles beneath it.
// Knows no pointer and no screen.

export const SIDE = 512;
const HALF = 128;

export class Tiles {
  constructor(width, height) {
    Object.assign(this, { width, height, columns: Math.ceil(width / SIDE), rows: Math.ceil(height / SIDE) });
    this.version = Array(this.columns * this.rows).fill(null); // a canvas of SIDE x SIDE, or null where nothing is painted
    this.alphas = new WeakMap(); // tile -> its alpha, a byte a pixel
    this.solids = new Map(); // colour -> the one tile that is full of it
  }

  /** [index, x, y] of the tiles that touch a rectangle of the picture. */
  *touching({ x, y, width, height }) {
    const [left, top] = [Math.max(0, Math.floor(x / SIDE)), Math.max(0, Math.floor(y / SIDE))];
    const right = Math.min(this.columns - 1, Math.floor((x + width) / SIDE));
    const bottom = Math.min(this.rows - 1, Math.floor((y + height) / SIDE));
    for (let row = top; row <= bottom; row += 1) {
      for (let column = left; column <= right; column += 1) yield [row * this.columns + column, column * SIDE, row * SIDE];
    }
  }

  get bounds() {
    return { x: 0, y: 0, width: this.width, height: this.height };
  }

  /** A change that is drawn piece by piece, at one opacity however often it crosses itself. */
  change(how) {
    return new Change(this, how);
  }

  /** Everything in one colour; null removes it all. */
  fill(colour, opacity = 1) {
    const tile = colour && this.solid(colour, opacity);
    this.version = this.version.map(() => tile);
  }

  solid(colour, opacity) {
    const key = `${colour} ${opacity}`;
    if (!this.solids.has(key)) {
      const tile = blank();
      const pen = tile.getContext("2d");
      pen.globalAlpha = opacity;
      pen.fillStyle = colour;
      pen.fillRect(0, 0, SIDE, SIDE);
      this.solids.set(key, tile);
    }
    return this.solids.get(key);
  }

  /** What was painted becomes free, and the other way round; grey keeps its distance. */
  invert(colour) {
    const full = this.solid(colour, 1);
    this.version = this.version.map((tile) => {
      if (!tile) return full;
      if (tile === full) return null;
      const inverted = copy(full);
      const pen = inverted.getContext("2d");
      pen.globalCompositeOperation = "destination-out";
      pen.drawImage(tile, 0, 0);
      return inverted;
    });
  }

  /** A mask from a picture, brought to this size: its lightness becomes how much is painted. */
  load(image, [red, green, blue]) {
    const drawn = blank();
    const pen = drawn.getContext("2d", { willReadFrequently: true });
    const version = [];
    for (const [index, x, y] of this.touching(this.bounds)) {
      pen.fillStyle = "#000";
      pen.fillRect(0, 0, SIDE, SIDE);
      pen.drawImage(image, -x, -y, this.width, this.height);
      const pixels = pen.getImageData(0, 0, SIDE, SIDE);
      const { data } = pixels;
      let any = 0;
      for (let at = 0; at < data.length; at += 4) {
        const light = (data[at] * 299 + data[at + 1] * 587 + data[at + 2] * 114 + 500) / 1000;
        [data[at], data[at + 1], data[at + 2], data[at + 3]] = [red, green, blue, light];
        any |= data[at + 3];
      }
      version[index] = any ? blank() : null;
      version[index]?.getContext("2d").putImageData(pixels, 0, 0);
    }
    this.version = version;
  }

  /** How much is painted, a byte a pixel, row by row. */
  coverage() {
    const bytes = new Uint8Array(this.width * this.height);
    for (const [index, x, y] of this.touching(this.bounds)) {
      const tile = this.version[index];
      if (!tile) continue;
      const alpha = this.alphaOf(tile);
      const [width, height] = [Math.min(SIDE, this.width - x), Math.min(SIDE, this.height - y)];
      for (let row = 0; row < height; row += 1) bytes.set(alpha.subarray(row * SIDE, row * SIDE + width), (y + row) * this.width + x);
    }
    return bytes;
  }

  alphaOf(tile) {
    if (!this.alphas.has(tile)) {
      const { data } = tile.getContext("2d").getImageData(0, 0, SIDE, SIDE);
      const alpha = new Uint8Array(SIDE * SIDE);
      for (let at = 0; at < alpha.length; at += 1) alpha[at] = data[4 * at + 3];
      this.alphas.set(tile, alpha);
    }
    return this.alphas.get(tile);
  }

  get isEmpty() {
    return this.version.every((tile) => !tile) || !this.coverage().some(Boolean);
  }

  /** The layer over a ground, as one canvas. */
  over(ground) {
    const whole = new OffscreenCanvas(this.width, this.height);
    const pen = whole.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, this.width, this.height);
    if (ground) pen.drawImage(ground, 0, 0, this.width, this.height);
    for (const [index, x, y] of this.touching(this.bounds)) if (this.version[index]) pen.drawImage(this.version[index], x, y);
    return whole;
  }

  /** A test whether a pixel, by its number, belongs with the one at (x, y): equally masked, or of nearly its colour. */
  likeness(x, y, ground, tolerance = 60) {
    const start = y * this.width + x;
    if (ground === undefined) {
      const bytes = this.coverage();
      const painted = bytes[start] >= HALF;
      return (at) => bytes[at] >= HALF === painted;
    }
    const { data } = this.over(ground).getContext("2d").getImageData(0, 0, this.width, this.height);
    const [red, green, blue] = data.subarray(4 * start, 4 * start + 3);
    return (at) => Math.abs(data[4 * at] - red) + Math.abs(data[4 * at + 1] - green) + Math.abs(data[4 * at + 2] - blue) <= tolerance;
  }
}

class Change {
  constructor(tiles, { colour, opacity = 1, erase = false }) {
    Object.assign(this, { tiles, colour, opacity, erase, before: tiles.version, strokes: new Map() });
    tiles.version = [...this.before];
  }

  /** `draw(pen)` draws within `area`, in the picture's pixels. */
  draw(area, draw) {
    for (const [index, x, y] of this.tiles.touching(area)) {
      if (!this.strokes.has(index)) {
        this.strokes.set(index, blank());
        this.tiles.version[index] = copy(this.before[index]);
      }
      const stroke = this.strokes.get(index);
      const pen = stroke.getContext("2d");
      pen.setTransform(1, 0, 0, 1, -x, -y);
      pen.fillStyle = pen.strokeStyle = this.colour;
      draw(pen);
      this.compose(index, stroke, { x: area.x - x, y: area.y - y, width: area.width, height: area.height });
    }
  }

  compose(index, stroke, area) {
    const [x, y] = [Math.max(0, Math.floor(area.x)), Math.max(0, Math.floor(area.y))];
    const width = Math.min(SIDE, Math.ceil(area.x + area.width)) - x;
    const height = Math.min(SIDE, Math.ceil(area.y + area.height)) - y;
    if (width <= 0 || height <= 0) return;
    const part = [x, y, width, height];
    const pen = this.tiles.version[index].getContext("2d");
    pen.globalAlpha = 1;
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(...part);
    if (this.before[index]) pen.drawImage(this.before[index], ...part, ...part);
    pen.globalAlpha = this.opacity;
    if (this.erase) pen.globalCompositeOperation = "destination-out";
    pen.drawImage(stroke, ...part, ...part);
  }

  undo() {
    this.tiles.version = this.before;
  }
}

/** Rows [y, from, to] of the area around (x, y) whose pixels are alike. */
export function flood(width, height, x, y, alike) {
  const seen = new Uint8Array(width * height);
  const rows = [];
  const waiting = [[x, y]];
  const free = (column, row) => !seen[row * width + column] && alike(row * width + column);
  while (waiting.length) {
    const [column, row] = waiting.pop();
    if (!free(column, row)) continue;
    let [from, to] = [column, column];
    while (from > 0 && free(from - 1, row)) from -= 1;
    while (to < width - 1 && free(to + 1, row)) to += 1;
    seen.fill(1, row * width + from, row * width + to + 1);
    rows.push([row, from, to]);
    for (const next of [row - 1, row + 1]) {
      if (next < 0 || next >= height) continue;
      let inside = false;
      for (let at = from; at <= to; at += 1) {
        const now = free(at, next);
        if (now && !inside) waiting.push([at, next]);
        inside = now;
      }
    }
  }
  return rows;
}

function blank() {
  return new OffscreenCanvas(SIDE, SIDE);
}

function copy(tile) {
  const copied = blank();
  if (tile) copied.getContext("2d").drawImage(tile, 0, 0);
  return copied;
}
