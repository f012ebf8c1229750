// Guidance in the plane: the gradient of log p(class | x_t) of a trained classifier, of the model itself, and in closed form.

import { PointMLP } from "./lab_model.js";
import { grid, Plane, REACH } from "./lab_plane.js";

const CELLS = 20;
const REACHES = 1e-4; // of the central differences
const LEAST_SIGNAL = 1e-3; // under it a state says nothing of its class

/** A classifier of noisy points (training/classifier.py). No page in here. */
export class Classifier {
  constructor({ settings, tensors }) {
    this.network = new PointMLP(tensors, settings);
    this.classes = settings.classifier;
  }

  /** log p(label | x_t) at each point of [2 n]. */
  logs(points, t, label) {
    const { classes } = this;
    const logits = this.network.forward(points, t);
    return Float64Array.from({ length: points.length / 2 }, (_, k) => {
      const own = logits.subarray(k * classes, (k + 1) * classes);
      const most = Math.max(...own);
      return own[label] - most - Math.log(own.reduce((sum, value) => sum + Math.exp(value - most), 0));
    });
  }

  /** Its gradient [2 n], by central differences. */
  gradient(points, t, label) {
    const out = new Float64Array(points.length);
    for (const axis of [0, 1]) {
      const [ahead, behind] = [1, -1].map((sign) => this.logs(points.map((value, k) => value + (k % 2 === axis ? sign * REACHES : 0)), t, label));
      ahead.forEach((value, k) => (out[2 * k + axis] = (value - behind[k]) / (2 * REACHES)));
    }
    return out;
  }
}

/** A model guided by a classifier, as a predictor: eps - w sigma grad log p(class | x_t) (Dhariwal & Nichol 2021, algorithm 2). */
export class Guided {
  constructor(learned, classifier, label, weight) {
    Object.assign(this, { learned, classifier, label, weight });
  }

  predict(points, scales) {
    const found = this.learned.predict(points, scales);
    const { alpha, sigma, t } = scales;
    if (alpha < LEAST_SIGNAL) return found;
    const gradient = this.classifier.gradient(points, t, this.label);
    const eps = found.eps.map((value, k) => value - this.weight * sigma * gradient[k]);
    return { eps, x0: eps.map((value, k) => (points[k] - sigma * value) / alpha) };
  }
}

/** sigma grad log p(class | x_t), in closed form: what the class alone adds to the score. */
export function exactGuidance(mixture, points, scales, label) {
  const [all, own] = [null, label].map((each) => mixture.of(each).predict(points, scales).eps);
  return all.map((value, k) => value - own[k]);
}

/** The arrows of all three over the plane, with p(class | x_t) as the shade. */
export class GuidanceField {
  constructor() {
    this.plane = new Plane("Where guidance pushes", "The gradient of log p(class given x_t): closed form, a trained classifier, and the model’s own difference");
  }

  use(lab) {
    this.lab = lab;
    this.draw();
  }

  draw() {
    const { plane, lab } = this;
    if (!lab || plane.root.hidden || !plane.begin()) return;
    const scales = lab.place();
    const label = lab.target ?? 0;
    const points = grid(CELLS);
    const { share, density } = posterior(lab.mixture, points, scales, label);
    const exact = exactGuidance(lab.mixture, points, scales, label);
    const learned = [];
    if (lab.classifier && scales.alpha >= LEAST_SIGNAL) learned.push(["the classifier", "--lab-euler", lab.classifier.gradient(points, scales.t, label).map((value) => value * scales.sigma)]);
    if (lab.model.settings.classes) learned.push(["the model’s own difference", "--lab-heun", implied(lab.plain, points, scales, label)]);
    plane.shade(share, CELLS, plane.colour("--accent"), 0.4);
    this.arrows(points, exact, "--ink");
    for (const [, colour, field] of learned) this.arrows(points, field, colour);
    this.errors = learned.map(([name, , field]) => [name, apart(field, exact, density)]);
    const words = this.errors.map(([name, error]) => `${name} is ${error.toFixed(3)} away from it`);
    plane.note.textContent = `Class ${label + 1}, shaded by its probability. ${words.length ? `Where the data is, ${words.join(", ")} (RMS).` : "Nothing that was learned is here to compare."}`;
  }

  arrows(points, field, colour) {
    const { plane } = this;
    const shown = (0.8 * REACH) / CELLS;
    for (let k = 0; k < field.length / 2; k += 1) {
      if ((k + Math.floor(k / CELLS)) % 2) continue;
      const length = Math.hypot(field[2 * k], field[2 * k + 1]);
      const size = (2 * shown * Math.min(1, length)) / Math.max(length, 1e-9);
      plane.arrow(points[2 * k], points[2 * k + 1], field[2 * k] * size, field[2 * k + 1] * size, plane.colour(colour));
    }
  }
}

/** The implicit classifier of classifier-free guidance: the difference that the class makes to the prediction (Ho & Salimans 2022). */
function implied(learned, points, scales, label) {
  const one = (value) => {
    learned.label = value;
    return learned.predict(points, scales).eps;
  };
  const [plain, own] = [one(null), one(label)];
  return plain.map((value, k) => value - own[k]);
}

/** { share: p(class | x_t), density } at each point. */
function posterior(mixture, points, scales, label) {
  const all = mixture.of(null);
  const found = Array.from({ length: points.length / 2 }, (_, k) => all.posterior(points[2 * k], points[2 * k + 1], scales));
  return { share: found.map(({ shares }) => shares.reduce((sum, value, c) => sum + (mixture.labels[c] === label ? value : 0), 0)), density: found.map(({ log }) => Math.exp(log)) };
}

/** The root mean square difference, each cell weighted by the density there. */
function apart(one, other, weights) {
  let [sum, total] = [0, 0];
  weights.forEach((weight, k) => {
    sum += weight * ((one[2 * k] - other[2 * k]) ** 2 + (one[2 * k + 1] - other[2 * k + 1]) ** 2);
    total += weight;
  });
  return Math.sqrt(sum / total);
}
