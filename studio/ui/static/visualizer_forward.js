// From picture to noise: the same picture and the same noise under several schedules, at equal t or at equal signal-to-noise ratio.

import { make } from "./workbench.js";
import { icon } from "./icons.js";
import { figure } from "./words.js";
import { forwardCards, written } from "./visualizer_forward_cards.js";
import { Measures } from "./visualizer_measures.js";
import { INKS, Plot } from "./visualizer_plot.js";
import { placeOf, placeOfSnr, SCHEDULES, TIMES } from "./visualizer_schedules.js";
import { gaussian } from "./visualizer_signal.js";
import { SIDE, Source } from "./visualizer_source.js";

const AT_FIRST = ["linear", "scaled_linear", "cosine", "flow"];
const MODES = { t: "equal t", snr: "equal signal-to-noise" };
const FIGURES = [
  ["ᾱ, signal’s share", "alphaBar", {}],
  ["β, noise of one step", "beta", { log: true }],
  ["σ, noise over signal", "ratio", { log: true, term: "sigma" }],
  ["log-SNR", "logSnr", {}],
];
const DRAWN_EVERY = 8; // of a thousand times, in the curves

export class Forward {
  name = "forward";
  title = "Forward";
  unit = "time";
  needsRun = false;

  constructor({ cursor }) {
    Object.assign(this, { cursor, seed: 0, chosen: new Set(AT_FIRST), lead: "scaled_linear", mode: "t" });
    this.alarm = make("p", { class: "train-problem", role: "alert" });
    this.source = new Source({ changed: () => this.reread(), say: (sentence) => (this.alarm.textContent = sentence) });
    this.panels = SCHEDULES.map((schedule, index) => this.panel(schedule, index));
    this.plots = FIGURES.map(([title, values, options]) => {
      const plot = new Plot(title, SCHEDULES.map(({ title: name }) => name), { seek: (x) => cursor.goTime(x), ...options });
      return { plot, values };
    });
    this.measures = new Measures();
    const plots = make("div", { class: "vis-plots" }, ...this.plots.map(({ plot }) => plot.root), ...this.measures.roots);
    this.root = make("div", { class: "vis-view" }, this.controls(), this.alarm, make("div", { class: "vis-schedules" }, ...this.panels.map(({ root }) => root)), plots);
    this.reread();
  }

  controls() {
    const seed = make("input", { type: "number", min: 0, step: 1, value: this.seed, "aria-label": "Seed of the noise", oninput: () => this.reseed(Number(seed.value)) });
    const die = make("button", { type: "button", class: "tool", title: "Other noise", "aria-label": "Other noise", onclick: () => ((seed.value = String(Math.floor(Math.random() * 1e6))), this.reseed(Number(seed.value))) }, icon("die"));
    const mode = make("select", { "aria-label": "Compare at", onchange: () => ((this.mode = mode.value), this.draw()) }, ...Object.entries(MODES).map(([value, text]) => make("option", { value, text })));
    const chips = SCHEDULES.map((schedule, index) => this.chip(schedule, index));
    return make("div", { class: "vis-controls" }, this.source.root,
      make("label", { class: "vis-choice" }, "Compare at ", mode), make("span", { class: "vis-choice" }, "Seed ", seed, die),
      make("div", { class: "vis-chips", role: "group", "aria-label": "Schedules" }, ...chips));
  }

  chip({ name, title, paper }, index) {
    const button = make("button", { type: "button", class: "vis-chip", title: paper, "aria-pressed": String(this.chosen.has(name)), onclick: () => {
      if (this.chosen.has(name) && this.chosen.size > 1) this.chosen.delete(name);
      else this.chosen.add(name);
      if (!this.chosen.has(this.lead)) [this.lead] = this.chosen;
      button.setAttribute("aria-pressed", String(this.chosen.has(name)));
      this.relay();
    } }, make("i", { style: `background: var(${INKS[index]})` }), title);
    return button;
  }

  panel(schedule, index) {
    const canvas = make("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": `x_t, ${schedule.title}`, "data-testid": `vis-forward-${schedule.name}` });
    const words = make("span", { class: "vis-note" });
    const name = make("b", {}, make("i", { class: "vis-ink", style: `background: var(${INKS[index]})` }), schedule.title);
    const button = make("button", { type: "button", class: "vis-lead", title: "Explain and measure this schedule", onclick: () => ((this.lead = schedule.name), this.relay()) }, canvas);
    const root = make("figure", { class: "vis-picture" }, button, make("figcaption", {}, name, words));
    return { schedule, canvas, words, root, button };
  }

  reseed(seed) {
    if (!Number.isFinite(seed)) return;
    this.seed = seed;
    this.reread();
  }

  /** Another picture, or other noise. */
  reread() {
    this.x0 = this.source.values();
    this.noise = gaussian(this.x0.length, this.seed);
    this.measures?.read(this.x0, this.noise);
    this.relay();
  }

  /** Other schedules are shown, or another leads. */
  relay() {
    if (!this.measures) return;
    for (const { schedule, root, button } of this.panels) {
      root.hidden = !this.chosen.has(schedule.name);
      button.setAttribute("aria-pressed", String(schedule.name === this.lead));
    }
    this.measures.follow(this.leading, this.seed);
    this.plot();
    this.draw();
  }

  get leading() {
    return SCHEDULES.find(({ name }) => name === this.lead);
  }

  show(run) {
    this.source.follow(run);
    this.plot();
    this.measures.fit();
  }

  cards() {
    return forwardCards();
  }

  /** The curves of all chosen schedules over t, which only the mark moves on. */
  plot() {
    const places = [...Array(TIMES).keys()].filter((at) => at % DRAWN_EVERY === 0 || at === TIMES - 1);
    const x = places.map((at) => (at + 1) / TIMES);
    for (const { plot, values } of this.plots) {
      const rows = SCHEDULES.map((schedule) => places.map((at) => {
        const value = this.chosen.has(schedule.name) ? schedule[values]?.[at] : null;
        return value !== null && Number.isFinite(value) && Math.abs(value) < 1e4 ? value : null;
      }));
      plot.draw([x, ...rows]);
    }
  }

  /** Where each schedule is looked at: at the cursor's t, or where its ratio is that of the leading one there. */
  placesNow() {
    const at = placeOf(this.cursor.time);
    const wanted = this.leading.logSnr[at];
    return SCHEDULES.map((schedule) => (this.mode === "t" ? at : placeOfSnr(schedule, wanted)));
  }

  readout() {
    const at = placeOf(this.cursor.time);
    const { ratio, logSnr } = this.leading;
    return { step: ["", null], t: ["t", ((at + 1) / TIMES).toFixed(3)], sigma: ["σ", written(ratio[at])], logSnr: ["log-SNR", written(logSnr[at])] };
  }

  values() {
    const at = placeOf(this.cursor.time);
    return this.measures.values(this.leading, at);
  }

  draw() {
    if (!this.measures || !this.root.isConnected) return;
    const places = this.placesNow();
    this.panels.forEach(({ schedule, canvas, words }, index) => {
      if (!this.chosen.has(schedule.name)) return;
      const at = places[index];
      paint(canvas, this.x0, this.noise, schedule.alpha[at], schedule.sigma[at]);
      const text = `t ${((at + 1) / TIMES).toFixed(3)} · σ ${figure(schedule.ratio[at])}`;
      if (words.textContent !== text) words.textContent = text;
    });
    for (const { plot } of this.plots) plot.at(this.cursor.time, places.map((at) => (at + 1) / TIMES));
    this.measures.draw(this.leading, placeOf(this.cursor.time));
  }
}

/** x_t at about the picture's own contrast: noise past twice its standard deviation is cut off. */
function paint(canvas, x0, noise, alpha, sigma) {
  const image = (canvas.image ??= opaque());
  const { data } = image;
  const scale = 127.5 / (1 + sigma);
  const [signal, grain] = [scale * alpha, scale * sigma];
  for (let to = 0, at = 0; to < data.length; to += 4, at += 3) {
    data[to] = 127.5 + signal * x0[at] + grain * noise[at];
    data[to + 1] = 127.5 + signal * x0[at + 1] + grain * noise[at + 1];
    data[to + 2] = 127.5 + signal * x0[at + 2] + grain * noise[at + 2];
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Pixels that a panel draws into again and again. */
function opaque() {
  const image = new ImageData(SIDE, SIDE);
  image.data.fill(255);
  return image;
}
