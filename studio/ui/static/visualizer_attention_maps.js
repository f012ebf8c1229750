// The attention in a trace: of each step, layer and head, the share of each word at each place. Pure arithmetic on a parsed trace.

import { row } from "./visualizer_trace.js";

const KEPT = 64; // steps whose maps are kept

export class AttentionMaps {
  /** `trace.info.attention` says which words and layers there are; the tensors are (steps, heads, words, height, width). */
  constructor(trace) {
    const { words, marks, layers } = trace.info.attention;
    Object.assign(this, { file: trace.file, steps: trace.steps, words, marks: new Set(marks), layers, known: new Map() });
    this.height = Math.max(...layers.map(({ height }) => height));
    this.width = Math.max(...layers.map(({ width }) => width));
  }

  /** { values, width, height }: (words, height, width) in a row, of the mean over all layers and heads where `layer` and `head` are
   * null; null at a step that was played back. */
  at(step, layer = null, head = null) {
    const key = `${step} ${layer} ${head}`;
    if (!this.known.has(key)) {
      if (this.known.size >= KEPT) this.known.delete(this.known.keys().next().value);
      this.known.set(key, layer === null ? this.average(step) : this.ofLayer(step, layer, head));
    }
    return this.known.get(key);
  }

  ofLayer(step, layer, head) {
    const { height, width, heads } = this.layers[layer];
    const all = row(this.file, `attention.${layer}`, step);
    const size = this.words.length * height * width;
    if (!all || Number.isNaN(all[0])) return null;
    if (head !== null || heads === 1) return { values: all.subarray((head ?? 0) * size, ((head ?? 0) + 1) * size), width, height };
    const values = new Float32Array(size);
    for (let at = 0; at < all.length; at += 1) values[at % size] += all[at] / heads;
    return { values, width, height };
  }

  average(step) {
    const { width, height } = this;
    const values = new Float32Array(this.words.length * height * width);
    for (let layer = 0; layer < this.layers.length; layer += 1) {
      const found = this.ofLayer(step, layer, null);
      if (!found) return null;
      const enlarged = enlarge(found, this.words.length, width, height);
      for (let at = 0; at < values.length; at += 1) values[at] += enlarged[at] / this.layers.length;
    }
    return { values, width, height };
  }

  /** The share of each word over the whole picture, at each step: steps rows, null where there is none. */
  overall(layer, head) {
    return Array.from({ length: this.steps }, (_, step) => {
      const found = layer === null ? this.mean(step) : this.ofLayer(step, layer, head);
      return found && shares(found, this.words.length);
    });
  }

  /** As `average`, over the whole picture alone: no map is enlarged for it. */
  mean(step) {
    const rows = this.layers.map((_, layer) => this.ofLayer(step, layer, null)).map((found) => found && shares(found, this.words.length));
    if (rows.includes(null)) return null;
    return { values: this.words.map((_, word) => rows.reduce((sum, each) => sum + each[word], 0) / rows.length), width: 1, height: 1 };
  }
}

/** The map of one word. */
export function mapOf({ values, width, height }, word) {
  return values.slice(word * width * height, (word + 1) * width * height);
}

/** The share of each word at a cell. */
export function wordsAt({ values, width, height }, count, cell) {
  return Array.from({ length: count }, (_, word) => values[word * width * height + cell]);
}

/** By how much the shares of all words at a place differ from 1, at most. */
export function excess(found, count) {
  let most = 0;
  for (let cell = 0; cell < found.width * found.height; cell += 1) {
    most = Math.max(most, Math.abs(wordsAt(found, count, cell).reduce((sum, share) => sum + share, 0) - 1));
  }
  return most;
}

function shares({ values, width, height }, count) {
  const cells = width * height;
  return Array.from({ length: count }, (_, word) => {
    let sum = 0;
    for (let at = word * cells; at < (word + 1) * cells; at += 1) sum += values[at];
    return sum / cells;
  });
}

/** Bilinear, from cell centre to cell centre: what sums to one still does. */
function enlarge({ values, width, height }, count, wide, high) {
  if (width === wide && height === high) return values;
  const [across, down] = [places(width, wide), places(height, high)];
  const made = new Float32Array(count * wide * high);
  let at = 0;
  for (let word = 0; word < count; word += 1) {
    const from = word * width * height;
    for (const [top, bottom, low] of down) {
      for (const [left, right, near] of across) {
        const above = values[from + top * width + left] * (1 - near) + values[from + top * width + right] * near;
        const below = values[from + bottom * width + left] * (1 - near) + values[from + bottom * width + right] * near;
        made[at] = above * (1 - low) + below * low;
        at += 1;
      }
    }
  }
  return made;
}

/** Of each new cell along an axis: [the cell before, the cell after, the weight of that]. */
function places(from, to) {
  return Array.from({ length: to }, (_, at) => {
    const place = Math.max(0, Math.min(from - 1, ((at + 0.5) * from) / to - 0.5));
    const before = Math.floor(place);
    return [before, Math.min(from - 1, before + 1), place - before];
  });
}
