// A model of points in the plane, evaluated in the browser: its file, its network, and the closed form that it should have learned.
// No page and no server in here; a test compares each function with torch.

const STEPS = 1000; // of the time that the network reads
const PLACE = [1, 2, 4, 8].map((k) => (Math.PI / 4) * k);
const TIME = [1, 2, 4, 8, 16, 32].map((k) => (Math.PI / 2) * k);

/** A safetensors file of fp32 tensors as { settings, tensors: name -> { shape, data } }. */
export function readModel(buffer) {
  const view = new DataView(buffer);
  const length = buffer.byteLength > 8 ? Number(view.getBigUint64(0, true)) : Infinity;
  if (length > buffer.byteLength - 8) throw new Error("This file is no model of the 2-D laboratory, or it is cut short.");
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  } catch {
    throw new Error("This file is no model of the 2-D laboratory.");
  }
  const { __metadata__: metadata = {}, ...entries } = header;
  if (!metadata.unnoise) throw new Error("This safetensors file is of another kind: it names no density.");
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(entries)) {
    if (dtype !== "F32" || 8 + length + to > buffer.byteLength) throw new Error("This model is cut short, or its numbers are not fp32.");
    tensors[name] = { shape, data: new Float32Array(buffer.slice(8 + length + from, 8 + length + to)) };
  }
  const settings = JSON.parse(metadata.unnoise);
  if (!READ[settings.objective] && !settings.classifier) throw new Error("This model predicts something that this version does not know.");
  return { settings, tensors };
}

const silu = (x) => x / (1 + Math.exp(-x));

/** out = bias + weight [rows, columns]x. */
function linear({ weight, bias, rows, columns }, x, out) {
  for (let row = 0, at = 0; row < rows; row += 1) {
    let sum = bias ? bias[row] : 0;
    for (let column = 0; column < columns; column += 1, at += 1) sum += weight[at] * x[column];
    out[row] = sum;
  }
}

function waves(values, frequencies) {
  const parts = [...values];
  for (const frequency of frequencies) parts.push(...values.map((value) => Math.sin(frequency * value)), ...values.map((value) => Math.cos(frequency * value)));
  return parts;
}

/** `PointMLP` of training/backbones/mlp.py. */
export class PointMLP {
  constructor(tensors, { layers, classes }) {
    const layer = (name) => {
      const { shape: [rows, columns], data } = tensors[`mlp.${name}.weight`];
      return { rows, columns, weight: data, bias: tensors[`mlp.${name}.bias`]?.data };
    };
    this.classes = classes;
    [this.place, this.time, this.out] = ["place", "time", "out"].map(layer);
    this.label = tensors["mlp.label.weight"]?.data;
    this.blocks = Array.from({ length: layers }, (_, k) => Object.fromEntries(["inner", "time", "outer"].map((part) => [part, layer(`blocks.${k}.${part}`)])));
    this.hidden = this.place.rows;
    if (tensors["mlp.guidance.weight"]) Object.assign(this, { guidance: { ...layer("guidance"), bias: null }, scale: 1 }); // a student that reads w
  }

  /** Points [2 n], all at time t and of one class (null: no class) -> [2 n]; of a classifier its logits [classes n]. */
  forward(points, t, label = null) {
    const { hidden } = this;
    const time = new Float64Array(hidden);
    linear(this.time, waves([t / STEPS], TIME), time);
    if (this.guidance) {
      const more = new Float64Array(hidden);
      linear(this.guidance, waves([this.scale / 8], PLACE), more);
      for (let k = 0; k < hidden; k += 1) time[k] += more[k];
    }
    if (this.label) for (let k = 0; k < hidden; k += 1) time[k] += this.label[(label ?? this.classes) * hidden + k];
    for (let k = 0; k < hidden; k += 1) time[k] = silu(time[k]);
    const shifts = this.blocks.map((block) => {
      const shift = new Float64Array(hidden);
      linear(block.time, time, shift);
      return shift;
    });
    const { rows } = this.out;
    const [h, inner, outer, out] = [hidden, hidden, hidden, rows].map((size) => new Float64Array(size));
    const result = new Float64Array((points.length / 2) * rows);
    for (let i = 0; i < points.length; i += 2) {
      linear(this.place, waves([points[i], points[i + 1]], PLACE), h);
      this.blocks.forEach((block, number) => {
        linear(block.inner, h, inner);
        for (let k = 0; k < hidden; k += 1) inner[k] = silu(inner[k] + shifts[number][k]);
        linear(block.outer, inner, outer);
        for (let k = 0; k < hidden; k += 1) h[k] += outer[k];
      });
      for (let k = 0; k < hidden; k += 1) h[k] = silu(h[k]);
      linear(this.out, h, out);
      result.set(out, (i / 2) * rows);
    }
    return result;
  }
}

/** Signal and noise scales by time; between whole times they are interpolated, which is exact for the straight path. */
export class Schedule {
  constructor(tensors, name) {
    this.alphas = tensors.alpha.data;
    this.sigmas = tensors.sigma.data;
    this.straight = name.startsWith("flow");
    this.last = this.straight ? STEPS : STEPS - 1; // the time of pure noise
  }

  at(t) {
    const low = Math.min(Math.floor(t), STEPS - 2);
    const of = (table) => table[low] + (t - low) * (table[low + 1] - table[low]);
    return { t, alpha: of(this.alphas), sigma: of(this.sigmas) };
  }
}

// What the network gives -> [x0, eps] of one coordinate, for each objective (training/objectives.py).
const READ = {
  epsilon: (out, x, alpha, sigma) => [(x - sigma * out) / alpha, out],
  x0: (out, x, alpha, sigma) => [out, (x - alpha * out) / sigma],
  v: (out, x, alpha, sigma) => [alpha * x - sigma * out, sigma * x + alpha * out],
  flow: (out, x, alpha, sigma) => [x - sigma * out, x + alpha * out],
};

/** The network as a predictor: predict(points [2 n], { t, alpha, sigma }) -> { x0 [2 n], eps [2 n] }. */
export class Learned {
  constructor({ settings, tensors }) {
    this.network = new PointMLP(tensors, settings);
    this.read = READ[settings.objective];
    this.label = null;
    this.guidance = 1;
  }

  predict(points, { t, alpha, sigma }) {
    const { label, guidance } = this;
    const out = this.network.forward(points, t, label);
    if (label !== null && guidance !== 1) {
      const plain = this.network.forward(points, t); // classifier-free guidance (Ho & Salimans 2022)
      for (let k = 0; k < out.length; k += 1) out[k] = plain[k] + guidance * (out[k] - plain[k]);
    }
    const [x0, eps] = [new Float64Array(out.length), new Float64Array(out.length)];
    for (let k = 0; k < out.length; k += 1) [x0[k], eps[k]] = this.read(out[k], points[k], alpha, sigma);
    return { x0, eps };
  }
}

/** The closed form for a mixture of round Gaussians, as a predictor: E[x0 | x_t], and eps = -sigma times the score. */
export class Mixture {
  constructor({ settings, tensors }) {
    this.all = tensors.centres.data;
    this.labels = tensors.labels.data;
    this.std = settings.std;
    this.choose(null);
  }

  /** All components, or those of a class. */
  choose(label) {
    this.centres = label === null ? this.all : this.all.filter((_, k) => this.labels[k >> 1] === label);
  }

  /** The same mixture, or that of a class alone. */
  of(label) {
    const own = Object.create(Mixture.prototype, Object.getOwnPropertyDescriptors(this));
    own.choose(label);
    return own;
  }

  /** Shares of the components at a point, and the log of the density there. */
  posterior(x, y, { alpha, sigma }) {
    const { centres, std } = this;
    const variance = alpha ** 2 * std ** 2 + sigma ** 2;
    const shares = new Float64Array(centres.length / 2);
    let most = -Infinity;
    for (let k = 0; k < shares.length; k += 1) {
      shares[k] = (-0.5 * ((x - alpha * centres[2 * k]) ** 2 + (y - alpha * centres[2 * k + 1]) ** 2)) / variance;
      most = Math.max(most, shares[k]);
    }
    let sum = 0;
    for (let k = 0; k < shares.length; k += 1) sum += shares[k] = Math.exp(shares[k] - most);
    for (let k = 0; k < shares.length; k += 1) shares[k] /= sum;
    return { shares, variance, log: most + Math.log(sum / shares.length / (2 * Math.PI * variance)) };
  }

  predict(points, scales) {
    const { alpha, sigma } = scales;
    const [x0, eps] = [new Float64Array(points.length), new Float64Array(points.length)];
    for (let i = 0; i < points.length; i += 2) {
      const { shares, variance } = this.posterior(points[i], points[i + 1], scales);
      for (let axis = 0; axis < 2; axis += 1) {
        let mean = 0;
        for (let k = 0; k < shares.length; k += 1) mean += shares[k] * this.centres[2 * k + axis];
        const x = points[i + axis];
        x0[i + axis] = (mean * sigma ** 2 + alpha * this.std ** 2 * x) / variance;
        eps[i + axis] = (sigma * (x - alpha * mean)) / variance;
      }
    }
    return { x0, eps };
  }

  /** Points [2 n] of the density itself; `random` gives numbers in [0, 1). */
  draw(n, random) {
    const points = normal(2 * n, random);
    for (let i = 0; i < points.length; i += 2) {
      const pick = 2 * Math.floor((random() * this.centres.length) / 2);
      for (let axis = 0; axis < 2; axis += 1) points[i + axis] = this.centres[pick + axis] + this.std * points[i + axis];
    }
    return points;
  }
}

/** A reproducible stream of numbers in [0, 1) (mulberry32). */
export function stream(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** n normal variates (Box & Muller 1958). */
export function normal(n, random) {
  const out = new Float64Array(n);
  for (let k = 0; k < n; k += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    out[k] = radius * Math.cos(angle);
    if (k + 1 < n) out[k + 1] = radius * Math.sin(angle);
  }
  return out;
}
