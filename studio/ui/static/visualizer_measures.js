// What is measured of the noised picture: its histogram, its power at each frequency against the noise floor, and the chain of single
// steps against the closed form.

import { legend, Plot } from "./visualizer_plot.js";
import { TIMES } from "./visualizer_schedules.js";
import { chain, fourier, histogram, radialPower, radii } from "./visualizer_signal.js";
import { SIDE } from "./visualizer_source.js";
import { written } from "./visualizer_forward_cards.js";

const BINS = 60;
const REACH = 3; // of the histogram, in standard deviations of the noise
const CHAIN_EVERY = 4; // pixels each way: the chain draws new noise for each at every step
const NONE = { real: new Float64Array(SIDE * SIDE), imaginary: new Float64Array(SIDE * SIDE) };

export class Measures {
  constructor() {
    this.spread = new Plot("Histogram of x_t", ["x_t", "pure noise"], { range: [0, 1.2] });
    this.power = new Plot("Power by frequency", ["x_t", "the picture’s part", "noise floor"], { log: true, range: [1e-4, 1e3] });
    this.chained = new Plot("Chain and closed form", ["signal, chain", "noise, chain", "√ᾱ", "√(1 − ᾱ)"]);
    const roots = [this.spread.root, this.power.root, this.chained.root];
    [["x_t", "pure noise"], ["x_t", "the picture’s part", "noise floor"], ["signal, chain", "noise, chain", "√ᾱ", "√(1 − ᾱ)"]].forEach((names, at) => roots[at].append(legend(names)));
    this.roots = roots;
    this.rings = radii(SIDE);
  }

  /** Values of the picture and of the noise, three channels each. */
  read(x0, noise) {
    Object.assign(this, { x0, noise });
    const grey = (values, at) => (values[at] + values[at + 1] + values[at + 2]) / 3;
    const one = Float64Array.from({ length: SIDE * SIDE }, (_, pixel) => grey(x0, 3 * pixel));
    this.picture = fourier(one, SIDE);
    this.floor = fourier(Float64Array.from({ length: SIDE * SIDE }, (_, pixel) => noise[3 * pixel]), SIDE);
    this.small = Float64Array.from(x0).filter((_, at) => Math.floor(at / 3) % CHAIN_EVERY === 0 && Math.floor(at / 3 / SIDE) % CHAIN_EVERY === 0);
    this.clean = radialPower(this.picture, NONE, 1, 0, this.rings, SIDE);
    this.chainOf = null;
  }

  /** Runs the chain of this schedule, where it is one of single steps. */
  follow(schedule, seed) {
    const key = `${schedule.name} ${seed}`;
    if (this.chainOf === key) return;
    this.chainOf = key;
    this.walked = schedule.beta ? chain(this.small, schedule.beta, seed + 1) : null;
    this.apart = this.walked ? largest(this.walked, schedule) : null;
    this.drawChain(schedule);
  }

  drawChain(schedule) {
    this.schedule = schedule;
    const places = [...Array(TIMES).keys()].filter((at) => at % 8 === 0 || at === TIMES - 1);
    const pick = (row) => places.map((at) => row?.[at] ?? null);
    const { walked } = this;
    this.chained.draw([places.map((at) => (at + 1) / TIMES), ...(walked ? [walked.signal, walked.noise, schedule.alpha, schedule.sigma] : [null, null, null, null]).map(pick)]);
  }

  /** What does not move, once there is room to draw it in. */
  fit() {
    const centre = Array.from({ length: BINS }, (_, bin) => ((bin + 0.5) / BINS - 0.5) * 2 * REACH);
    const none = (row) => row.map(() => null);
    this.spread.draw([centre, none(centre), centre.map((x) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI))]);
    const cycles = Array.from({ length: SIDE / 2 }, (_, at) => at + 1);
    this.power.draw([cycles, none(cycles), none(cycles), none(cycles)]);
    if (this.schedule) this.drawChain(this.schedule);
  }

  draw({ alpha, sigma }, at) {
    const [a, b] = [alpha[at], sigma[at]];
    this.spread.move([histogram(this.x0, this.noise, a, b, BINS, REACH)]);
    const part = this.clean.map((value) => a * a * value);
    const floor = part.map(() => b * b);
    this.power.move([radialPower(this.picture, this.floor, a, b, this.rings, SIDE), part, floor].map((row) => row.map((value) => Math.max(1e-4, value))));
    this.chained.at((at + 1) / TIMES);
    this.seen = part.filter((value) => value > b * b).length;
  }

  /** The numbers of the cards. */
  values({ beta, alpha, sigma, alphaBar, ratio, logSnr, title }, at) {
    const numbers = { alpha: alpha[at], noise: sigma[at], alphaBar: alphaBar[at], sigma: ratio[at], logSnr: logSnr[at], beta: beta?.[at] ?? null, frequencies: this.seen ?? null, chainSignal: this.walked?.signal[at] ?? null, chainNoise: this.walked?.noise[at] ?? null, apart: this.apart, perPicture: 1 / ratio[at] ** 2, minSnr: Math.min(5, 1 / ratio[at] ** 2) };
    return { ...Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, written(value)])), schedule: title, t: ((at + 1) / TIMES).toFixed(3) };
  }
}

/** The largest difference between the chain and the closed form. */
function largest({ signal, noise }, { alpha, sigma }) {
  return signal.reduce((most, value, at) => Math.max(most, Math.abs(noise[at] - sigma[at]), Math.abs(value - alpha[at])), 0);
}
