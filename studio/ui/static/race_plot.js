// Error against evaluations, both axes logarithmic: a sampler of order p falls along a line of slope -p.

import { make } from "./workbench.js";
import uPlot from "./uplot.js";

const HEIGHT = 300;

export class RacePlot {
  /** `choose(budget)`: a person pressed there. */
  constructor(choose) {
    this.choose = choose;
    this.holder = make("div", { class: "race-curve" });
    this.root = make("figure", { class: "race-plot" }, make("figcaption", { text: "Error against evaluations" }), this.holder);
    new ResizeObserver(() => this.fit()).observe(this.holder);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.again());
    new MutationObserver(() => this.again()).observe(document.body, { attributeFilter: ["class"] });
  }

  draw(race, budget) {
    Object.assign(this, { race, budget });
    this.again();
  }

  again() {
    const { race } = this;
    if (!race || !this.holder.clientWidth) return;
    const legs = race.results.legs.filter(({ error }) => error > 0);
    const lanes = [...new Set(legs.map(({ lane }) => lane))].sort((one, other) => one - other);
    const x = [...new Set(legs.map(({ evaluations }) => evaluations))].sort((one, other) => one - other);
    const of = (lane) => x.map((n) => legs.find((leg) => leg.lane === lane && leg.evaluations === n)?.error ?? null);
    this.plot?.destroy();
    this.plot = x.length ? new uPlot(this.options(lanes, x, legs.map(({ error }) => error)), [x, ...lanes.map(of)], this.holder) : null;
    this.plot?.over.addEventListener("click", ({ offsetX }) => this.press(this.plot.posToVal(offsetX, "x")));
  }

  fit() {
    if (!this.race || !this.holder.clientWidth) return;
    if (!this.plot) this.again();
    else if (this.plot.width !== this.holder.clientWidth) this.plot.setSize({ width: this.holder.clientWidth, height: HEIGHT });
  }

  press(x) {
    const away = (budget) => Math.abs(Math.log(budget / x));
    this.choose(this.race.race.evaluations.toSorted((one, other) => away(one) - away(other))[0]);
  }

  options(lanes, x, errors) {
    const style = getComputedStyle(this.root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--ink-2"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px sans-serif" };
    const range = [Math.min(...errors) / 1.4, Math.max(...errors) * 1.4];
    const budgets = this.race.race.evaluations;
    const ends = [Math.min(x[0], budgets[0]) / 1.15, Math.max(x.at(-1), budgets.at(-1)) * 1.15];
    return {
      width: this.holder.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      scales: { x: { time: false, distr: 3, range: () => ends }, y: { distr: 3, range: () => range } },
      axes: [
        { ...axis, label: "evaluations", labelSize: 20, labelFont: "12px sans-serif", size: 30, splits: () => budgets, filter: (_, splits) => splits, values: (_, splits) => splits.map(String) },
        { ...axis, size: 58, splits: () => decades(range), filter: (_, splits) => splits, values: (_, splits) => splits.map((value) => `${Number((100 * value).toPrecision(2))} %`) },
      ],
      series: [{}, ...lanes.map((lane) => {
        const stroke = colour(`--race-${(lane % 8) + 1}`);
        return { label: this.race.lanes[lane].title, stroke, width: 2, spanGaps: true, points: { show: true, size: 7, stroke, fill: stroke }, dash: lane >= 8 ? [6, 4] : undefined };
      })],
      hooks: { drawClear: [(plot) => this.mark(plot, colour("--accent-soft"))] },
    };
  }

  /** A band at the chosen number. */
  mark(plot, fill) {
    const x = plot.valToPos(this.budget, "x", true);
    const { top, height } = plot.bbox;
    const wide = 14 * devicePixelRatio;
    plot.ctx.fillStyle = fill;
    plot.ctx.fillRect(x - wide / 2, top, wide, height);
  }
}

/** 1, 2 and 5 times powers of ten within the range; over many powers these alone. */
function decades([least, most]) {
  const [first, last] = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))];
  const steps = last - first > 3 ? [1] : [1, 2, 5];
  const all = Array.from({ length: last - first + 1 }, (_, k) => steps.map((step) => step * 10 ** (first + k))).flat();
  return all.filter((value) => value >= least && value <= most);
}
