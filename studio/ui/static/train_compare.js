// Several runs on one plot: a figure of each against the step.

import { ask } from "./ask.js";
import { make } from "./workbench.js";
import { Curve, smoothed } from "./train_plots.js";
import { stateTitle } from "./train_words.js";
import uPlot from "./uplot.js";

const COLOURS = ["#0b7a75", "#c2571a", "#6b57c9", "#b3324f", "#4f7d1f", "#2f6fb3"];
const TITLES = { loss: "Loss, smoothed", validation: "Validation loss", sliced_wasserstein: "Sliced Wasserstein distance", off_mode: "Share of samples off the modes", norm: "Gradient norm" };
const EACH_MS = 3000;

export class ComparePage {
  constructor(runs) {
    this.key = "compare";
    this.runs = runs;
    this.rows = new Map(); // run -> { after, rows }
    this.chosen = new Set(runs.slice(0, 2).map(({ id }) => id));
    this.figure = make("select", { id: "train-compare-figure", onchange: () => this.draw(true) });
    this.list = make("fieldset", { class: "train-compare-runs" }, make("legend", { text: `Runs, at most ${COLOURS.length}` }), ...runs.map((run) => this.choice(run)));
    this.note = make("p", { class: "train-note", role: "status" });
    this.holder = make("div");
    this.table = make("table", { class: "train-compare-table" });
    this.root = make("article", { class: "train-run" }, make("h2", { text: "Compare runs" }), this.list,
      make("div", { class: "train-field train-compare-figure" }, make("label", { for: this.figure.id, text: "Figure" }), this.figure), this.note, this.holder, this.table);
  }

  choice(run) {
    const box = make("input", { type: "checkbox", id: `train-compare-${run.id}`, checked: this.chosen.has(run.id) });
    box.addEventListener("change", () => {
      if (box.checked) this.chosen.add(run.id);
      else this.chosen.delete(run.id);
      for (const each of this.list.querySelectorAll("input")) each.disabled = !each.checked && this.chosen.size >= COLOURS.length;
      this.look(true);
    });
    return make("label", { for: box.id }, box, make("span", { text: run.title }), make("span", { class: "train-note", text: `${run.id.slice(-16)}, ${stateTitle(run).toLowerCase()}` }));
  }

  turn(seen) {
    this.seen = seen;
    clearTimeout(this.timer);
    if (seen) this.look(true);
  }

  async look(anew = false) {
    clearTimeout(this.timer);
    await Promise.all([...this.chosen].map((id) => this.read(id)));
    this.draw(anew);
    if (this.seen) this.timer = setTimeout(() => this.look(), EACH_MS);
  }

  async read(id) {
    const kept = this.rows.get(id) ?? { after: 0, rows: [] };
    try {
      const { after, rows } = await ask(`runs/${id}/metrics?after=${kept.after}`);
      for (const row of rows) {
        const same = (other) => (other.figures.loss === undefined) === (row.figures.loss === undefined);
        if (rows.length && kept.rows.some((other) => same(other) && other.step >= row.step)) kept.rows = kept.rows.filter((other) => !same(other) || other.step < row.step);
        kept.rows.push(row);
      }
      this.rows.set(id, { after, rows: kept.rows });
    } catch {
      this.rows.delete(id); // it was deleted
    }
  }

  draw(anew = false) {
    const shown = this.runs.filter(({ id }) => this.chosen.has(id) && this.rows.has(id));
    const there = Object.keys(TITLES).filter((name) => shown.some(({ id }) => this.rows.get(id).rows.some(({ figures }) => figures[name] !== undefined)));
    if (there.join() !== [...this.figure.options].map(({ value }) => value).join()) {
      const before = this.figure.value;
      this.figure.replaceChildren(...there.map((name) => make("option", { value: name, text: TITLES[name] })));
      if (there.includes(before)) this.figure.value = before;
      anew = true;
    }
    const name = this.figure.value;
    const found = shown.map((run, k) => ({ run, colour: COLOURS[k], series: this.series(run.id, name) })).filter(({ series }) => series[0].length > 1);
    this.note.textContent = found.length ? "" : "Choose runs that have begun; they appear here as they learn.";
    this.holder.hidden = this.table.hidden = !found.length;
    if (!found.length || !this.holder.clientWidth) return;
    if (anew || !this.curve) {
      const ink = getComputedStyle(this.root).getPropertyValue("--ink").trim();
      const strokes = found.map(({ colour }) => [`color-mix(in oklab, ${colour} 75%, ${ink})`, 2]);
      this.curve = new Curve(TITLES[name], found.map(({ run }) => `${run.title} ${run.id.slice(-4)}`), { log: name !== "off_mode", strokes });
      this.holder.replaceChildren(this.curve.root);
    }
    this.curve.draw(uPlot.join(found.map(({ series }) => series)), false);
    this.table.replaceChildren(make("thead", {}, row("th", ["Run", "Steps", "Last", "Best", "At step"])), make("tbody", {}, ...found.map(({ run, series: [steps, values] }) => {
      const best = values.reduce((at, value, k) => (value < values[at] ? k : at), 0);
      return row("td", [`${run.title} ${run.id.slice(-4)}`, steps.at(-1).toLocaleString("en"), figure(values.at(-1)), figure(values[best]), steps[best].toLocaleString("en")]);
    })));
  }

  series(id, name) {
    const rows = this.rows.get(id).rows.filter(({ figures }) => Number.isFinite(figures[name]) && (figures[name] > 0 || name === "off_mode"));
    const values = rows.map(({ figures }) => figures[name]);
    return [rows.map(({ step }) => step), name === "loss" ? smoothed(values) : values];
  }
}

function figure(value) {
  return Number(value.toPrecision(3)).toString();
}

function row(tag, cells) {
  return make("tr", {}, ...cells.map((text) => make(tag, { text })));
}
