// The curves of a run: loss with its smoothed line and validation, loss against t through training, gradient norm, learning rate.

import { make } from "./workbench.js";
import uPlot from "./uplot.js";

const SMOOTH = 0.9; // share of the former value in the smoothed loss
const HEIGHT = 180;
const HEAT_ROWS = 190; // px

export class Plots {
  constructor() {
    this.rows = []; // reports of training steps
    this.validation = [];
    this.loss = new Curve("Loss", ["loss", "smoothed", "validation"], { log: true });
    this.heat = new Heat();
    this.distance = new Curve("Sliced Wasserstein distance from held-out points", ["samples", "floor"], { log: true });
    this.offMode = new Curve("Share of samples off the modes", ["samples", "floor"]);
    this.norm = new Curve("Gradient norm", ["norm"], { log: true });
    this.rate = new Curve("Learning rate, share of its peak", ["rate"]);
    this.root = make("section", { class: "train-plots", "aria-label": "Curves" }, this.loss.root, this.heat.root, this.distance.root, this.offMode.root, this.norm.root, this.rate.root);
    new ResizeObserver(() => this.draw()).observe(this.root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(true));
  }

  add(rows) {
    if (!rows.length) return;
    for (const row of rows) {
      const kept = row.figures.loss === undefined ? this.validation : this.rows;
      while (kept.length && kept.at(-1).step >= row.step) kept.pop(); // a resumed run does steps again
      kept.push(row);
    }
    this.draw();
  }

  /** A metric of samples beside its floor: what another draw of the data itself gets. */
  drawMetric(curve, name, anew) {
    const rows = this.validation.filter(({ figures }) => figures[name] !== undefined);
    curve.root.hidden = !rows.length;
    if (rows.length) curve.draw([rows.map(({ step }) => step), rows.map(({ figures }) => figures[name]), rows.map(({ figures }) => figures[`${name}_floor`])], anew);
  }

  draw(anew = false) {
    this.root.hidden = this.rows.length === 0;
    if (this.root.hidden || !this.root.clientWidth) return; // without a width while the tab is hidden
    const steps = this.rows.map(({ step }) => step);
    const of = (name) => this.rows.map(({ figures }) => figures[name] ?? null);
    const checked = new Map(this.validation.filter(({ figures }) => figures.validation !== undefined).map(({ step, figures }) => [step, figures.validation]));
    const loss = of("loss");
    this.loss.draw([steps, loss, smoothed(loss), steps.map((step) => checked.get(step) ?? null)], anew);
    this.heat.draw(this.rows);
    this.drawMetric(this.distance, "sliced_wasserstein", anew);
    this.drawMetric(this.offMode, "off_mode", anew);
    this.norm.draw([steps, of("norm")], anew);
    this.rate.draw([steps, this.rows.map(({ rate }) => rate)], anew);
  }
}

export function smoothed(values) {
  let last = null;
  return values.map((value) => (last = value === null ? last : last === null ? value : SMOOTH * last + (1 - SMOOTH) * value));
}

/** Lines over steps. `strokes`: the colour and width of each, where the names do not say. */
export class Curve {
  constructor(title, names, { log = false, strokes = [] } = {}) {
    Object.assign(this, { names, log, strokes });
    this.holder = make("div", { class: "train-curve" });
    this.root = make("figure", { class: "train-plot" }, make("figcaption", { text: title }), this.holder);
  }

  draw(data, anew) {
    const width = this.holder.clientWidth;
    if (anew) {
      this.plot?.destroy();
      this.plot = null;
    }
    if (!width || !data[0].length) return;
    if (this.plot) {
      if (this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
      this.plot.setData(data);
      return;
    }
    this.plot = new uPlot(this.options(width), data, this.holder);
  }

  options(width) {
    const style = getComputedStyle(this.root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const strokes = { loss: [colour("--edge-soft"), 1], smoothed: [colour("--accent"), 2], validation: [colour("--ink"), 1.5], floor: [colour("--ink-2"), 1.5] };
    const axis = { stroke: colour("--ink-2"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px sans-serif", size: 34 };
    const figure = (value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(3)).toString());
    const series = this.names.map((name, k) => {
      const [stroke, thick] = this.strokes[k] ?? strokes[name] ?? [colour("--accent"), 1.5];
      const points = { show: name === "validation", size: 5 };
      return { label: name, stroke, width: thick, spanGaps: true, points, value: (_, value) => figure(value) };
    });
    return {
      width,
      height: HEIGHT,
      legend: { live: true },
      cursor: { drag: { x: true, y: false } },
      scales: { x: { time: false }, y: { distr: this.log ? 3 : 1 } },
      axes: [axis, { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : figure(tick))) }],
      series: [{ label: "step" }, ...series],
    };
  }
}

/** Loss by t (upwards: from clean to noise) through training (to the right), each row against its own first value. */
class Heat {
  constructor() {
    this.canvas = make("canvas", { class: "train-heat", height: HEAT_ROWS, role: "img", "aria-label": "Loss against t through training: dark is low" });
    this.root = make("figure", { class: "train-plot" }, make("figcaption", { text: "Loss against t" }),
      make("div", { class: "train-heat-holder" }, make("span", { text: "noise" }), this.canvas, make("span", { text: "clean" })));
  }

  draw(rows) {
    const bins = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures).filter((name) => /^t\d+$/.test(name))))].sort((a, b) => b.slice(1) - a.slice(1));
    this.root.hidden = !bins.length;
    if (!bins.length) return;
    const pen = this.canvas.getContext("2d");
    const width = (this.canvas.width = Math.max(1, this.canvas.clientWidth));
    const most = Math.max(...rows.flatMap(({ figures }) => bins.map((bin) => figures[bin] ?? 0)));
    const least = Math.min(...rows.flatMap(({ figures }) => bins.map((bin) => figures[bin] ?? most)));
    const share = (value) => (Math.log(value) - Math.log(least)) / Math.max(1e-6, Math.log(most) - Math.log(least));
    const accent = getComputedStyle(this.root).getPropertyValue("--accent").trim();
    const high = HEAT_ROWS / bins.length;
    const wide = width / rows.length;
    rows.forEach(({ figures }, x) => bins.forEach((bin, y) => {
      if (!(figures[bin] > 0)) return;
      pen.fillStyle = `color-mix(in oklab, ${accent} ${Math.round(100 * (1 - share(figures[bin])))}%, #f2c14e)`;
      pen.fillRect(x * wide, y * high, wide + 1, high + 0.5);
    }));
  }
}
