// The three views of the 2-D laboratory at one moment t: particles, the score field with its error, and paths from a point.

import { normal, stream } from "./lab_model.js";
import { grid, Plane, REACH } from "./lab_plane.js";
import { ancestral, deviation, distance, places, SOLVERS } from "./lab_solvers.js";

const PARTICLES = 400;
export const STEPS = 40; // of the motion
const CELLS = 24; // of the field's grid
const FINE = 200; // Heun steps of the reference
const DENSITY_CELLS = 48;
const WAYS = { forward: "x_t = alpha x0 + sigma eps", ddpm: "DDPM, with fresh noise at every step", quiet: "DDPM’s mean, without its noise" };
const STROKES = { euler: "--lab-euler", heun: "--lab-heun", dpmpp_2m: "--lab-dpm" };

/** Particles in motion: the ODE backwards with the learned or the exact score, or data forwards into noise. */
export class Particles {
  constructor() {
    this.plane = new Plane("Particles", "Particles at the moment t, over the density of x_t");
    this.motion = "learned";
  }

  use(lab) {
    this.lab = lab;
    this.path = null;
    this.draw();
  }

  /** The particles at step k; those before are computed once, and only as far as they are looked at. */
  at(k) {
    const { schedule, learned, mixture } = this.lab;
    const at = places(schedule, STEPS);
    const random = stream(7);
    if (this.motion === "forward") {
      const x0 = mixture.draw(PARTICLES, random);
      const eps = normal(2 * PARTICLES, random);
      return x0.map((value, i) => at[k].alpha * value + at[k].sigma * eps[i]);
    }
    this.path ??= [normal(2 * PARTICLES, random)];
    const predictor = this.motion === "exact" ? mixture : learned;
    const fresh = this.motion === "ddpm" ? 1 : 0;
    while (this.path.length <= k) {
      const here = this.path.length - 1;
      const x = this.path[here];
      const found = predictor.predict(x, at[here]);
      const noise = ["ddpm", "quiet"].includes(this.motion) ? deviation(at[here], at[here + 1]) : 0;
      this.path.push(ancestral(found, at[here + 1], noise, fresh && normal(2 * PARTICLES, stream(100 + here))));
    }
    return this.path[k];
  }

  draw() {
    if (!this.lab || !this.plane.begin()) return;
    const { plane, lab } = this;
    const scales = lab.place();
    plane.shade(this.shades(scales), DENSITY_CELLS, plane.colour("--accent"));
    const points = this.at(lab.step);
    plane.dots(points, plane.colour("--ink"));
    this.points = points;
    const far = farFrom(points, lab.mixture, scales);
    plane.note.textContent = `${PARTICLES} particles, ${WAYS[this.motion] ?? "DDIM, from noise to data"}; ${(100 * far).toFixed(1)} % are far from every component at this t.`;
    if (["ddpm", "quiet"].includes(this.motion)) plane.note.textContent += ` ${this.spread(points, scales)}`;
  }

  /** How wide the particles lie about the nearest component, against what they should. */
  spread(points, { alpha, sigma }) {
    const { mixture } = this.lab;
    const width = (each) => Math.sqrt(nearestSquares(each, mixture, alpha).reduce((sum, value) => sum + value, 0) / (each.length || 1));
    const random = stream(9);
    const noise = normal(2 * PARTICLES, random);
    const truth = mixture.draw(PARTICLES, random).map((value, k) => alpha * value + sigma * noise[k]);
    const share = width(points) / width(truth);
    this.collapse = share;
    return `They lie ${(100 * share).toFixed(0)} % as far from the components’ centres as x_t should.`;
  }

  shades(scales) {
    const points = grid(DENSITY_CELLS);
    const values = new Float64Array(points.length / 2);
    for (let k = 0; k < values.length; k += 1) values[k] = this.lab.mixture.posterior(points[2 * k], points[2 * k + 1], scales).log;
    const most = values.reduce((a, b) => Math.max(a, b));
    return values.map((value) => Math.exp(value - most) ** 0.6);
  }
}

function farFrom(points, mixture, { alpha, sigma }) {
  const limit = 16 * (alpha ** 2 * mixture.std ** 2 + sigma ** 2); // four standard deviations
  return (2 * nearestSquares(points, mixture, alpha).filter((square) => square > limit).length) / points.length;
}

/** The squared distance of each point to the nearest centre of the noised mixture. */
function nearestSquares(points, mixture, alpha) {
  return Float64Array.from({ length: points.length / 2 }, (_, k) => {
    let least = Infinity;
    for (let c = 0; c < mixture.centres.length; c += 2) least = Math.min(least, (points[2 * k] - alpha * mixture.centres[c]) ** 2 + (points[2 * k + 1] - alpha * mixture.centres[c + 1]) ** 2);
    return least;
  });
}

/** sigma times the score, exact and learned, with the length of their difference as a shade. */
export class Field {
  constructor() {
    this.plane = new Plane("Score, exact and learned", "The closed-form score beside the learned one, and the error between them");
  }

  use(lab) {
    this.lab = lab;
    this.draw();
  }

  draw() {
    if (!this.lab || !this.plane.begin()) return;
    const { plane, lab } = this;
    const scales = lab.place();
    const points = grid(CELLS);
    const [exact, learned] = [lab.mixture.predict(points, scales).eps, lab.learned.predict(points, scales).eps];
    const errors = new Float64Array(points.length / 2);
    for (let k = 0; k < errors.length; k += 1) errors[k] = Math.hypot(exact[2 * k] - learned[2 * k], exact[2 * k + 1] - learned[2 * k + 1]);
    plane.shade(errors, CELLS, plane.colour("--alarm"), 0.55);
    const shown = (0.8 * REACH) / CELLS;
    for (let k = 0; k < errors.length; k += 1) {
      if ((k + Math.floor(k / CELLS)) % 2) continue; // every other cell, or they are too close
      for (const [eps, colour] of [[exact, "--ink"], [learned, "--accent"]]) {
        const length = Math.hypot(eps[2 * k], eps[2 * k + 1]);
        const size = (2 * shown * Math.min(1, length / 2)) / Math.max(length, 1e-9);
        plane.arrow(points[2 * k], points[2 * k + 1], -eps[2 * k] * size, -eps[2 * k + 1] * size, plane.colour(colour));
      }
    }
    plane.note.textContent = `Root mean square of the difference in eps where the data is: ${rms(lab, scales).toFixed(3)}. The network has seen nothing away from the data.`;
  }
}

/** The difference of the predicted noise at points of x_t itself. */
function rms(lab, scales) {
  const random = stream(11);
  const x0 = lab.mixture.draw(200, random);
  const noise = normal(400, random);
  const x = x0.map((value, k) => scales.alpha * value + scales.sigma * noise[k]);
  const [exact, learned] = [lab.mixture.predict(x, scales).eps, lab.learned.predict(x, scales).eps];
  return Math.sqrt(exact.reduce((sum, value, k) => sum + (value - learned[k]) ** 2, 0) / 200);
}

/** Paths of the ODE from a point that can be dragged, by three solvers in n steps and by a fine reference. */
export class Paths {
  constructor() {
    this.plane = new Plane("Paths from a point", "Paths of the ODE from a start point: drag it, or move it with the arrow keys");
    this.start = [1.1, -1.3];
    this.steps = 8;
    const { canvas } = this.plane;
    canvas.tabIndex = 0;
    canvas.classList.add("is-dragged");
    const move = (event) => this.move(this.plane.place(event));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      move(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && move(event));
    canvas.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!by) return;
      event.preventDefault();
      this.move(this.start.map((value, axis) => value + 0.1 * by[axis]));
    });
  }

  move(start) {
    this.start = start;
    this.draw();
  }

  use(lab) {
    this.lab = lab;
    this.draw();
  }

  draw() {
    if (!this.lab || !this.plane.begin()) return;
    const { plane, lab, steps } = this;
    const began = performance.now();
    const x = Float64Array.from(this.start);
    plane.dots(lab.data, plane.colour("--ink-3"), 1.1, 0.45);
    const fine = SOLVERS.heun.path(lab.learned, lab.schedule, x, FINE);
    const exact = SOLVERS.heun.path(lab.mixture, lab.schedule, x, FINE / 4);
    plane.line(exact, plane.colour("--ink-2"), 1.5, [2, 4]);
    plane.line(fine, plane.colour("--ink"), 3.5);
    this.errors = {};
    for (const [name, solver] of Object.entries(SOLVERS)) {
      const path = solver.path(lab.learned, lab.schedule, x, steps);
      plane.line(path, plane.colour(STROKES[name]), 1.8);
      for (const each of path) plane.dots(each, plane.colour(STROKES[name]), 2.4, 1);
      this.errors[name] = distance(path.at(-1), fine.at(-1));
    }
    plane.dots(this.start, plane.colour("--accent"), 6, 1);
    this.seconds = (performance.now() - began) / 1000;
    plane.canvas.dataset.drawn = String(Number(plane.canvas.dataset.drawn ?? 0) + 1);
    this.onErrors?.(this.errors, distance(exact.at(-1), fine.at(-1)));
  }
}
