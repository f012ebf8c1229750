// One figure of curves with the cursor's mark on it. A press on it moves the cursor there.

import { make } from "./workbench.js";
import { figure } from "./words.js";
import uPlot from "./uplot.js";

const HEIGHT = 150;
export const INKS = ["--accent", "--vis-second", "--vis-third", "--ink-3", "--vis-fourth", "--vis-fifth", "--vis-sixth"];

export class Plot {
  /** `names`: of the curves; `seek(x)`: a person pressed there; `term`: what formulas call it; `wide`: marks for each curve. */
  constructor(title, names, { seek, log = false, term = null, height = HEIGHT, falls = false, range = null } = {}) {
    Object.assign(this, { names, seek, log, height, falls, range, x: null });
    this.holder = make("div", { class: "vis-curve" });
    this.now = make("span", { class: "vis-plot-now" });
    this.root = make("figure", { class: "vis-plot", "data-term": term }, make("figcaption", {}, make("span", { text: title }), this.now), this.holder);
    this.mark = make("div", { class: "vis-mark" });
    this.moving = make("canvas", { class: "vis-moving" });
    this.dots = names.map((_, index) => make("i", { class: "vis-dot", style: `background: var(${INKS[index]})` }));
    new ResizeObserver(() => this.fit()).observe(this.holder);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(this.data, true));
  }

  /** `data`: x, then a row of values for each curve; null is a gap. */
  draw(data, anew = false) {
    this.data = data;
    const known = data && (this.range || data.slice(1).some((row) => row.some((value) => value !== null)));
    this.root.hidden = !known;
    if (!known || (!this.plot && !this.holder.clientWidth)) return; // a width asked for costs a layout of the page
    if (anew || !this.plot) {
      this.plot?.destroy();
      this.plot = new uPlot(this.options(), data, this.holder);
      this.plot.over.append(this.moving, this.mark, ...this.dots);
      this.plot.over.addEventListener("pointerdown", (event) => this.press(event));
      this.plot.over.addEventListener("pointermove", (event) => event.buttons && this.press(event));
    } else this.plot.setData(data);
    this.at(this.x, this.each);
  }

  fit() {
    if (!this.data || !this.holder.clientWidth) return;
    if (!this.plot) return void this.draw(this.data);
    if (this.plot.width !== this.holder.clientWidth) this.plot.setSize({ width: this.holder.clientWidth, height: this.height });
    this.at(this.x, this.each);
  }

  press({ clientX }) {
    const { left } = this.plot.over.getBoundingClientRect();
    this.seek?.(this.plot.posToVal(clientX - left, "x"));
  }

  /** The mark at this x, a dot on each curve (at an x of its own, where they are given), and the values there in words. */
  at(x, each = null) {
    Object.assign(this, { x, each });
    this.mark.hidden = x === null || x === undefined;
    if (this.mark.hidden) for (const dot of this.dots) dot.hidden = true;
    if (!this.plot || this.mark.hidden) return;
    const { plot } = this;
    const left = plot.valToPos(x, "x");
    this.mark.style.transform = `translateX(${left}px)`;
    const words = [];
    this.dots.forEach((dot, row) => {
      const own = each?.[row] ?? x;
      const value = this.data[row + 1]?.[plot.valToIdx(own)];
      dot.hidden = value === null || value === undefined || (this.log && value <= 0);
      if (dot.hidden) return;
      dot.style.transform = `translate(${plot.valToPos(own, "x")}px, ${plot.valToPos(value, "y")}px)`;
      words.push(this.names.length > 1 ? `${this.names[row]} ${figure(value)}` : figure(value));
    });
    const text = this.names.length > 2 ? "" : words.join(" · ");
    if (this.now.textContent !== text) this.now.textContent = text;
  }

  /** Rows that change with the cursor, over a figure of fixed `range`: its axes, which are slow to draw, stay as they are. */
  move(rows) {
    if (!this.plot) return;
    const { plot, moving } = this;
    const [width, height] = [plot.bbox.width, plot.bbox.height];
    if (moving.width !== width || moving.height !== height) Object.assign(moving, { width, height });
    const pen = moving.getContext("2d");
    const style = getComputedStyle(this.root);
    pen.clearRect(0, 0, width, height);
    pen.lineWidth = 1.75 * devicePixelRatio;
    const across = this.data[0].map((x) => plot.valToPos(x, "x") * devicePixelRatio);
    rows.forEach((row, index) => {
      pen.strokeStyle = style.getPropertyValue(INKS[index]);
      pen.beginPath();
      row?.forEach((value, at) => pen.lineTo(across[at], plot.valToPos(value, "y") * devicePixelRatio));
      pen.stroke();
    });
  }

  options() {
    const style = getComputedStyle(this.root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--ink-2"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px sans-serif", size: 26, gap: 4 };
    const short = (value) => (value === null ? "" : String(Number(value.toPrecision(3))));
    const tens = (_, ticks) => ticks.map((tick) => (!this.log || Number.isInteger(Number(Math.log10(tick).toFixed(6))) ? tick : null));
    return {
      width: this.holder.clientWidth,
      height: this.height,
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 10, 0, 0],
      scales: { x: { time: false, dir: this.falls ? -1 : 1 }, y: { distr: this.log ? 3 : 1, ...(this.range && { range: this.range }) } },
      axes: [axis, { ...axis, size: 48, filter: tens, grid: { ...axis.grid, filter: tens }, values: (_, ticks) => ticks.map(short) }],
      series: [{}, ...this.names.map((label, index) => ({ label, stroke: colour(INKS[index]), width: 1.75, points: { show: false }, spanGaps: true }))],
    };
  }
}

/** The names of curves with their inks, once for all figures that share them. */
export function legend(names) {
  return make("ul", { class: "vis-legend" }, ...names.map((name, index) => make("li", {}, make("i", { style: `background: var(${INKS[index]})` }), name)));
}
