// From noise to picture: what each step of the run worked on, what the model took the picture to be, and what changed.

import { make } from "./workbench.js";
import { figure } from "./words.js";
import { reverseCards } from "./visualizer_formulas.js";
import { difference, distance, drawMap, heat, Pixels } from "./visualizer_pixels.js";
import { Plot } from "./visualizer_plot.js";
import { Strip } from "./visualizer_strip.js";

const AXES = { step: "step", t: "t", logSnr: "log-SNR" };
const AT_ONCE = 12; // distances between frames worked out in one go

export class Reverse {
  name = "reverse";
  title = "Reverse";
  unit = "step";

  constructor({ cursor }) {
    this.cursor = cursor;
    this.pixels = new Pixels();
    this.pinned = null;
    this.xt = panel("x_t", "The noisy state", "The state that this step starts from", "xt");
    this.x0 = panel("x0", "Predicted picture", "What the model takes the finished picture to be", "x0");
    this.change = panel("change", "Change", "Where the predicted picture differs", "change");
    this.pin = make("button", { type: "button", class: "browser-button", onclick: () => this.togglePin() });
    this.change.root.querySelector("figcaption").append(this.pin);
    this.strip = new Strip(["xt", "x0"], (step) => cursor.go(step));
    this.axis = make("select", { "aria-label": "Curves over", onchange: () => this.plot() }, ...Object.entries(AXES).map(([value, text]) => make("option", { value, text })));
    this.curves = this.makeCurves();
    const head = make("div", { class: "vis-section-head" }, make("h3", { text: "Curves" }), make("label", { class: "vis-choice" }, "over ", this.axis));
    this.figures = make("section", { "aria-label": "Curves" }, head, make("div", { class: "vis-plots" }, ...this.curves.map(({ plot }) => plot.root)));
    this.root = make("div", { class: "vis-view" }, make("div", { class: "vis-pictures" }, this.xt.root, this.x0.root, this.change.root), this.strip.root, this.figures);
  }

  makeCurves() {
    const seek = (x) => this.cursor.go(this.nearest(x));
    const norms = (name) => (run) => run.steps.map((step) => step?.norms[run.steps[0].images.indexOf(run.image)]?.[name] ?? step?.norms[0]?.[name] ?? null);
    const curve = (title, rows, options = {}) => ({ rows: Object.values(rows), plot: new Plot(title, Object.keys(rows), { seek, ...options }) });
    return [
      curve("Noise level σ", { "σ": (run) => run.levels.map(({ sigma }) => (Number.isFinite(sigma) ? sigma : null)) }, { log: true, term: "sigma" }),
      curve("Change of x̂₀ in a step, of 255", { change: () => this.distances }, { term: "change" }),
      curve("Size of x_t and x̂₀ (RMS)", { "x_t": norms("x_t"), "x̂₀": norms("x0") }, { term: "x_t" }),
      curve("Conditional − unconditional (RMS)", { difference: norms("difference") }, { term: "w" }),
      curve("Seconds of each step", { seconds: (run) => run.steps.map((step) => step?.seconds ?? null) }),
    ];
  }

  cards(run) {
    return reverseCards(run);
  }

  /** Another run, or more of the same one. */
  show(run, { anew = false } = {}) {
    this.run = run;
    if (anew) Object.assign(this, { pinned: null, distances: [], pairs: [] });
    this.strip.render(run);
    this.measure();
    this.plot();
    this.draw();
  }

  /** The distances between each two predicted pictures, a few at a time so that the page stays awake. */
  measure() {
    const { run } = this;
    clearTimeout(this.later);
    let left = AT_ONCE;
    for (let step = 0; step < run.steps.length; step += 1) {
      const [before, now] = [step > 0 && run.picture(step - 1, "x0"), run.picture(step, "x0")];
      this.distances[step] ??= null;
      if (!before || !now || before === now || (this.pairs[step]?.[0] === before && this.pairs[step][1] === now)) continue;
      if (left-- === 0) {
        this.later = setTimeout(() => this.run === run && (this.measure(), this.plot()), 30);
        return;
      }
      this.pairs[step] = [before, now];
      this.distances[step] = distance(this.pixels.of(before), this.pixels.of(now));
    }
  }

  /** x of every step, ascending where the axis rises and descending where it falls. */
  get xs() {
    const { levels } = this.run;
    if (this.axis.value === "step") return levels.map((_, step) => step + 1);
    if (this.axis.value === "t") return levels.map(({ t }) => t);
    const known = levels.map(({ logSnr }) => logSnr);
    return known.map((value, step) => (Number.isFinite(value) ? value : (known[step + 1] ?? 0) - 2));
  }

  nearest(x) {
    return this.xs.reduce((best, value, step, all) => (Math.abs(value - x) < Math.abs(all[best] - x) ? step : best), 0);
  }

  plot() {
    const { run, xs } = this;
    const falls = this.axis.value === "t"; // a plot needs ascending values; it is drawn from right to left
    const turned = (row) => (falls ? [...row].reverse() : row);
    const other = this.plotted !== this.axis.value;
    this.plotted = this.axis.value;
    this.figures.hidden = run.levels.length < 2;
    for (const { rows, plot } of this.curves) {
      plot.falls = falls;
      plot.draw([turned(xs), ...rows.map((row) => turned(row(run)).slice(0, xs.length))], other);
    }
    this.mark();
  }

  mark() {
    const x = this.xs[this.cursor.step];
    for (const { plot } of this.curves) plot.at(x);
  }

  draw() {
    const { run, cursor } = this;
    if (!run) return;
    const { step } = cursor;
    paint(this.xt, run.picture(step, "xt"));
    paint(this.x0, run.picture(step, "x0"));
    this.drawChange();
    this.strip.at(step);
    this.mark();
  }

  togglePin() {
    this.pinned = this.pinned === null ? this.cursor.step : null;
    this.draw();
  }

  drawChange() {
    const { run, cursor, pinned } = this;
    const other = pinned ?? Math.max(0, cursor.step - 1);
    const [first, second] = [run.picture(other, "x0"), run.picture(cursor.step, "x0")];
    const words = pinned === null ? (cursor.step ? "since the step before" : "no step before") : `against step ${pinned + 1}`;
    put(this.pin, pinned === null ? "Hold this step" : "Release");
    this.pin.title = pinned === null ? "Compare with this step while you move on" : "Compare with the step before again";
    this.change.root.hidden = !second;
    if (!first || !second) return;
    const [a, b] = [this.pixels.of(first), this.pixels.of(second)];
    const { values, most } = difference(a, b);
    drawMap(this.change.canvas, values, b.width, b.height, heat);
    put(this.change.words, `${words}${first === second ? "" : `: ${figure(distance(a, b))} of 255, at most ${figure(most)}`}`);
  }
}

function panel(term, title, help, name) {
  const canvas = make("canvas", { "data-testid": `vis-${name}`, role: "img", "aria-label": help });
  const words = make("span", { class: "vis-note", text: help });
  const root = make("figure", { class: "vis-picture", "data-term": term }, canvas, make("figcaption", {}, make("b", { text: title }), words));
  return { root, canvas, words };
}

function paint({ root, canvas }, picture) {
  root.hidden = !picture;
  if (!picture) return;
  const { naturalWidth: width, naturalHeight: height } = picture;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
