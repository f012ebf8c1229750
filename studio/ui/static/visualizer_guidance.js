// Guidance taken apart: what the model predicts with the prompt and without, where the two differ, and how far w carries them.

import { make } from "./workbench.js";
import { figure } from "./words.js";
import { Card, hat, live, math, parts, slot, sub, term } from "./visualizer_math.js";
import { drawMap, heat, signed } from "./visualizer_pixels.js";
import { legend, Plot } from "./visualizer_plot.js";
import { largest, mapPanel, pixelsOf, Traced } from "./visualizer_traced.js";

const UNGUIDED = "This run used no guidance: the model predicted once a step.";
const SIZES = ["conditional", "unconditional", "guided", "difference"];
const MAPS = [["cond", "With the prompt"], ["uncond", "Without it"], ["difference", "Their difference"], ["guided", "Guided"]];

export class Guidance {
  name = "guidance";
  title = "Guidance";
  unit = "step";

  constructor({ cursor }) {
    this.cursor = cursor;
    this.panels = new Map(MAPS.map(([name, title]) => [name, mapPanel(title, name, name === "difference" ? "w" : null)]));
    this.channel = make("select", { "aria-label": "Channel", onchange: () => this.draw() });
    const seek = (x) => cursor.go(x - 1);
    this.angle = new Plot("Angle to “with”, degrees", ["unconditional", "guided"], { seek });
    this.size = new Plot("Size of the predictions (RMS)", SIZES, { seek, term: "w" });
    this.size.root.append(legend(SIZES));
    this.angle.root.append(legend(["unconditional", "guided"]));
    const note = make("p", { class: "vis-note", text: "Light is large. A single channel is blue below zero and red above." });
    this.drawn = make("div", { class: "vis-view" }, make("div", { class: "vis-controls" }, make("label", { class: "vis-choice" }, "Channel ", this.channel), note),
      make("div", { class: "vis-maps" }, ...[...this.panels.values()].map(({ root }) => root)), make("div", { class: "vis-plots" }, this.angle.root, this.size.root));
    this.root = make("div", { class: "vis-view" }, this.drawn);
    this.traced = new Traced(this.root, this.drawn, (trace) => this.ready(trace));
  }

  show(run) {
    this.run = run;
    this.traced.follow(run);
  }

  ready(trace) {
    if (trace.info.uncond_row === null && !trace.file.tensors.has("uncond")) return this.traced.lack(UNGUIDED, this.traced.of);
    const channels = [...Array(trace.channels).keys()];
    this.channel.replaceChildren(make("option", { value: "", text: "all, by size" }), ...channels.map((at) => make("option", { value: at, text: String(at + 1) })));
    const x = [...Array(trace.steps).keys()].map((step) => step + 1);
    const column = (name) => (trace.column(name) ?? x.map(() => null)).map((value) => (Number.isFinite(value) ? value : null));
    this.angle.draw([x, column("angle_uncond"), column("angle_guided")]);
    this.size.draw([x, column("norm_cond"), column("norm_uncond"), column("norm_guided"), column("norm_difference")]);
    this.numbers = Object.fromEntries(["angle_uncond", "angle_guided", "norm_cond", "norm_guided", "norm_difference"].map((name) => [name, column(name)]));
    this.noise = this.run.levels.map(({ noise }) => noise);
    this.draw();
    return undefined;
  }

  draw() {
    const { trace } = this.traced;
    if (!trace || !this.root.isConnected) return;
    const step = Math.min(this.cursor.step, trace.steps - 1);
    const values = Object.fromEntries(["cond", "uncond", "guided"].map((name) => [name, trace.at(name, step)]));
    if (values.cond && values.uncond) values.difference = values.cond.map((value, at) => value - values.uncond[at]);
    const channel = this.channel.value === "" ? null : Number(this.channel.value);
    const maps = Object.fromEntries(Object.entries(values).filter(([, found]) => found).map(([name, found]) => [name, pixelsOf(found, trace.channels, channel)]));
    const common = Math.max(...["cond", "uncond", "guided"].map((name) => (maps[name] ? largest(maps[name]) : 0)), 1e-9);
    for (const [name, { root, canvas, words }] of this.panels) {
      root.hidden = !maps[name];
      if (!maps[name]) continue;
      const most = name === "difference" ? Math.max(largest(maps[name]), 1e-9) : common; // small, and with colours of its own
      drawMap(canvas, maps[name].map((value) => value / most), trace.width, trace.height, channel === null ? heat : signed);
      words.textContent = `brightest: ${figure(most)}`;
    }
    this.angle.at(step + 1);
    this.size.at(step + 1);
  }

  cards(run) {
    const p = () => (["flow_prediction", "v_prediction"].includes(run?.facts.prediction) ? hat("v") : hat("ε"));
    return [
      new Card({
        title: "Two predictions",
        term: "w",
        says: [["The same state is shown to the model with the prompt and without it. At this step the two lie ", live("angle"), "° apart; the difference has a size of ", live("difference"), " against ", live("cond"), " of the prediction itself. It is large where the prompt has something to say."]],
        formulas: [math(term("w", p()), "=", sub(p(), "uncond"), "+", "w", parts(sub(p(), "cond"), "−", sub(p(), "uncond"))), math("w", "=", slot("w", "w"))],
        paper: "Ho and Salimans 2022, Classifier-Free Diffusion Guidance, equation 6",
      }),
      new Card({
        title: "Guided by a classifier",
        says: [["Before there was this, a classifier of noisy pictures gave the direction: its gradient, times σ = ", live("sigma", "sigma"), ", is taken from the predicted noise. Both directions stand for the same thing, what makes the prompt more likely; the difference here, of size ", live("difference"), ", is the gradient of a classifier that the model itself implies. The 2-D lab draws both beside the closed form."]],
        formulas: [math(term("w", hat("ε")), "=", sub(hat("ε"), "uncond"), "−", "w", term("sigma", "σ"), "∇", "log", "p", parts("c", "|", sub("x", "t")))],
        paper: "Dhariwal and Nichol 2021, Diffusion Models Beat GANs, algorithm 2",
      }),
      new Card({
        title: "Too much of it",
        says: [["The guided prediction is ", live("grown", "w"), " times as large as the conditional one and points ", live("turned"), "° away from it. The further it is from 1, the more a high w burns out colours and contrast; guidance rescale brings it back."]],
        formulas: [math("‖", p(), "‖", "/", "‖", sub(p(), "cond"), "‖", "=", slot("grown", "w"))],
        paper: "Lin et al. 2024, Common Diffusion Noise Schedules and Sample Steps are Flawed, section 3.4",
      }),
    ];
  }

  values() {
    const { numbers, cursor } = this;
    const of = (name) => numbers?.[name]?.[cursor.step] ?? null;
    const grown = of("norm_cond") ? of("norm_guided") / of("norm_cond") : null;
    const w = this.traced.trace?.info.recipe.request.guidance_scale ?? null;
    return { sigma: figure(this.noise?.[cursor.step] ?? null), angle: figure(of("angle_uncond")), turned: figure(of("angle_guided")), difference: figure(of("norm_difference")), cond: figure(of("norm_cond")), grown: figure(grown), w: w === null ? "–" : String(w) };
  }
}
