// The latent channels one by one: the state as the model is shown it, and the predicted picture, at the cursor's step.

import { make } from "./workbench.js";
import { figure } from "./words.js";
import { Card, live } from "./visualizer_math.js";
import { drawMap, signed } from "./visualizer_pixels.js";
import { legend, Plot } from "./visualizer_plot.js";
import { largest, mapPanel, pixelsOf, Traced } from "./visualizer_traced.js";

const REACH = 3; // standard deviations of a state that is shown at the size of noise
const CURVES = 7; // channels that have a curve each

export class Latents {
  name = "latents";
  title = "Latent channels";
  unit = "step";

  constructor({ cursor }) {
    this.cursor = cursor;
    this.grid = make("div", { class: "vis-channels" });
    this.curves = make("div", { class: "vis-plots" });
    this.drawn = make("div", { class: "vis-view" }, this.grid, this.curves);
    this.root = make("div", { class: "vis-view" }, this.drawn);
    this.traced = new Traced(this.root, this.drawn, (trace) => this.ready(trace));
  }

  show(run) {
    this.traced.follow(run);
  }

  ready(trace) {
    this.rows = [...Array(trace.channels).keys()].map((channel) => {
      const [state, guess] = [mapPanel(`x_t, channel ${channel + 1}`, `xt-${channel}`, "x_t"), mapPanel(`x̂₀, channel ${channel + 1}`, `x0-${channel}`, "x0")];
      return { channel, state, guess, root: make("div", { class: "vis-channel" }, state.root, guess.root) };
    });
    this.grid.replaceChildren(...this.rows.map(({ root }) => root));
    this.scale = trace.column("scale");
    const shown = Math.min(trace.channels, CURVES);
    this.means = Array.from({ length: shown }, () => []);
    this.reach = 1e-9;
    for (let step = 0; step < trace.steps; step += 1) {
      const x0 = trace.at("x0", step);
      if (!x0) continue;
      if (step === trace.steps - 1) this.reach = Math.max(largest(x0), this.reach);
      for (let channel = 0; channel < shown; channel += 1) this.means[channel][step] = mean(pixelsOf(x0, trace.channels, channel));
    }
    const names = this.means.map((_, channel) => `channel ${channel + 1}`);
    this.plot = new Plot("Mean of x̂₀ in each channel", names, { seek: (x) => this.cursor.go(x - 1), term: "x0" });
    this.plot.root.append(legend(names));
    this.curves.replaceChildren(this.plot.root);
    this.plot.draw([[...Array(trace.steps).keys()].map((step) => step + 1), ...this.means.map((row) => Array.from({ length: trace.steps }, (_, step) => row[step] ?? null))]);
    this.draw();
  }

  draw() {
    const { trace } = this.traced;
    if (!trace || !this.rows || !this.root.isConnected) return;
    const step = Math.min(this.cursor.step, trace.steps - 1);
    const [xt, x0] = [trace.at("x_t", step), trace.at("x0", step)];
    const scale = Number.isFinite(this.scale?.[step]) ? this.scale[step] : 1;
    for (const { channel, state, guess } of this.rows) {
      this.paint(state, pixelsOf(xt, trace.channels, channel).map((value) => value * scale), REACH);
      guess.root.hidden = !x0;
      if (x0) this.paint(guess, pixelsOf(x0, trace.channels, channel), this.reach);
    }
    this.plot.at(step + 1);
  }

  paint({ canvas, words }, values, reach) {
    const { width, height } = this.traced.trace;
    drawMap(canvas, values.map((value) => value / reach), width, height, signed);
    words.textContent = `mean ${figure(mean(values))}, deviation ${figure(deviation(values))}`;
  }

  cards() {
    return [
      new Card({
        title: "What the model really sees",
        says: [["This model works on ", live("shape"), " numbers, not on pixels. Each channel is drawn by itself, blue below zero and red above; the decoder turns them into the picture at the end."], "In the first steps the predicted channels show only where large areas are; edges come late. A channel often carries one thing, such as brightness or one contrast of colour."],
        paper: "Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models",
      }),
    ];
  }

  values() {
    const { trace } = this.traced;
    return { shape: trace ? `${trace.channels} × ${trace.height} × ${trace.width}` : "–" };
  }
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function deviation(values) {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}
