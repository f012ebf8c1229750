// Memorised or not: at each step of the run, what the network predicts beside what the ideal denoiser of its training set does.

import { address, make } from "./workbench.js";
import { figure } from "./words.js";
import { Ideal, READ, rms } from "./visualizer_ideal.js";
import { Card, live, math, parts, row as mathRow, slot, square, sub, term, frac } from "./visualizer_math.js";
import { drawMap, heat } from "./visualizer_pixels.js";
import { legend, Plot } from "./visualizer_plot.js";
import { parse, whole } from "./visualizer_trace.js";
import { mapPanel, pixelsOf, Traced } from "./visualizer_traced.js";

const MOST = 100; // steps of a long run that are measured; those between are drawn when the cursor is there
const SAME = 0.1; // of the pictures' deviation: closer than this the two agree
const COPY = 0.5; // of the distance between neighbours in the training set: closer than this to one of them is a copy
const DRAWING = "Reading the training pictures; the first time they are drawn and encoded, which takes up to a minute or two…";
const sets = new Map(); // model -> promise of its training set

export class Memorised {
  name = "memorised";
  title = "Memorised?";
  unit = "step";

  constructor({ cursor }) {
    this.cursor = cursor;
    const panel = (title, name, about = null) => mapPanel(title, `memorised-${name}`, about);
    this.panels = { network: panel("The network", "network", "x0"), ideal: panel("The ideal denoiser", "ideal"), apart: panel("Their difference", "apart"), nearest: panel("Nearest training picture", "nearest") };
    for (const name of ["network", "ideal", "nearest"]) this.panels[name].canvas.classList.add("is-smooth");
    const seek = (x) => cursor.go(x - 1);
    const names = ["apart", "network to nearest"];
    this.distance = new Plot("Distance", names, { seek });
    this.distance.root.append(legend(names));
    this.effective = new Plot("Training pictures with a say", ["pictures"], { seek, log: true, range: [0.9, 3000] });
    this.says = make("p", { class: "vis-verdict", role: "status", "data-testid": "vis-memorised-says" });
    this.wait = make("p", { class: "vis-notice", role: "status", hidden: true });
    this.inner = make("div", { class: "vis-view" }, make("div", { class: "vis-maps" }, ...Object.values(this.panels).map(({ root }) => root)), this.says, make("div", { class: "vis-plots" }, this.distance.root, this.effective.root));
    this.drawn = make("div", { class: "vis-view" }, this.wait, this.inner);
    this.root = make("div", { class: "vis-view" }, this.drawn);
    this.traced = new Traced(this.root, this.drawn, (trace) => this.ready(trace), () => (this.ideal = null));
  }

  show(run) {
    this.run = run;
    this.traced.follow(run);
  }

  async ready(trace) {
    this.ideal = null;
    this.lack(DRAWING);
    const model = trace.info.recipe.model;
    try {
      const set = await setOf(model);
      if (this.traced.trace !== trace) return;
      if (set.size !== trace.channels * trace.height * trace.width) throw new Error(`This picture is of another size than the ones that the model was trained on (${set.shape.slice(1).join(" × ")}), so the two cannot be compared.`);
      Object.assign(this, { set, ideal: set.ideal, known: new Map(), levels: this.run.levels });
      this.measure(trace);
      this.lack("");
      this.cursor.changed();
    } catch (error) {
      sets.delete(model);
      if (this.traced.trace === trace) this.lack(error.message);
    }
  }

  lack(sentence) {
    this.wait.textContent = sentence;
    this.wait.hidden = !sentence;
    this.inner.hidden = Boolean(sentence);
  }

  /** All of one step, computed once. */
  at(step) {
    if (this.known.has(step)) return this.known.get(step);
    const { trace } = this.traced;
    const { alpha, noise } = this.levels[step] ?? this.levels.at(-1);
    const scale = trace.column("scale")?.[step];
    const x = trace.at("x_t", step).map((value) => value * (Number.isFinite(scale) ? scale : 1));
    const network = this.network(trace, step, x, alpha, noise);
    const found = { alpha, noise, network, ...this.ideal.at(x, alpha, noise), nearest: null };
    if (network) Object.assign(found, { nearest: this.ideal.nearest(network), apart: rms(network, found.mean) });
    this.known.set(step, found);
    return found;
  }

  /** What the network predicts for no prompt, where it was asked: that is what the whole training set answers. */
  network(trace, step, x, alpha, noise) {
    const plain = trace.info.recipe.request.negative_prompt ? null : trace.at("uncond", step);
    const read = READ[trace.info.prediction];
    return plain && read && alpha ? read(plain, x, alpha, noise) : trace.at("x0", step);
  }

  measure(trace) {
    const every = Math.max(1, Math.ceil(trace.steps / MOST));
    const steps = [...Array(trace.steps).keys()].filter((step) => step % every === 0 || step === trace.steps - 1);
    const rows = steps.map((step) => this.at(step));
    const x = steps.map((step) => step + 1);
    this.distance.draw([x, rows.map(({ apart }) => apart ?? null), rows.map(({ nearest }) => nearest?.distance ?? null)]);
    this.effective.draw([x, rows.map(({ effective }) => effective)]);
    this.says.textContent = verdict(steps, rows, this.set, this.known.get(steps.at(-1)));
  }

  draw() {
    const { trace } = this.traced;
    if (!trace || !this.ideal || !this.root.isConnected) return;
    const step = Math.min(this.cursor.step, trace.steps - 1);
    const found = this.at(step);
    const { panels, set } = this;
    panels.network.root.hidden = panels.apart.root.hidden = panels.nearest.root.hidden = !found.network;
    set.draw(panels.ideal.canvas, found.mean);
    panels.ideal.words.textContent = found.effective < 1.01 ? `training picture ${found.likeliest + 1}` : `of ${some(found.effective)} pictures`;
    if (found.network) {
      set.draw(panels.network.canvas, found.network);
      const apart = pixelsOf(found.network.map((value, at) => value - found.mean[at]), trace.channels);
      drawMap(panels.apart.canvas, apart.map((value) => value / (2 * this.ideal.deviation)), trace.width, trace.height, heat);
      panels.apart.words.textContent = `${figure(found.apart)}, ${percent(found.apart / this.ideal.deviation)} of the data’s deviation`;
      set.picture(panels.nearest.canvas, found.nearest.picture);
      panels.nearest.words.textContent = `number ${found.nearest.picture + 1}, ${figure(found.nearest.distance)} away`;
    }
    this.distance.at(step + 1);
    this.effective.at(step + 1);
  }

  cards() {
    const share = frac(mathRow("exp", parts("−", "‖", sub("x", "t"), "−", "α", sub("x", "i"), square("‖"), "/", "2", square("σ"))), mathRow(sub("Σ", "j"), "…"));
    return [
      new Card({
        title: "What training asks for",
        term: "x0",
        says: [["The loss is smallest for one function: the mean of all training pictures, each weighed by how likely it led to this state. At this step ", live("effective"), " of ", live("count"), " pictures have a say in it. Without noise it can only give training pictures back."]],
        formulas: [math("D", parts(sub("x", "t")), "=", sub("Σ", "i"), share, sub("x", "i")), math("α", "=", slot("alpha", "sigma"), ", ", "σ", "=", slot("noise", "sigma"))],
        paper: "Karras et al. 2022, Elucidating the Design Space, equation 57",
      }),
      new Card({
        title: "Its score",
        says: ["The same function as a direction: the score of the noised training set points from the state towards that mean. A network that learned it exactly could never make a new picture."],
        formulas: [math("∇", "log", sub("p", "t"), parts(sub("x", "t")), "=", frac(mathRow("α", "D", "−", sub("x", "t")), square(term("sigma", "σ"))))],
        paper: "Song et al. 2021, Score-Based Generative Modeling; Efron 2011, Tweedie’s formula",
      }),
      new Card({
        title: "Where they part",
        says: [["Under much noise both give the mean of many pictures, and agree. Then the ideal one decides for a single training picture, while the network, which is smooth, goes on to a picture of its own: here they are ", live("apart"), " apart, and what the network predicts is ", live("nearest"), " from the nearest training picture. Where they agree to the end, the model repeats; where they part, it generalises."]],
        paper: "Gu et al. 2023, On Memorization in Diffusion Models; Kamb and Ganguli 2024, An Analytic Theory of Creativity",
      }),
    ];
  }

  values() {
    const { trace } = this.traced;
    if (!trace || !this.ideal) return {};
    const { alpha, noise, effective, apart, nearest } = this.at(Math.min(this.cursor.step, trace.steps - 1));
    return { alpha: figure(alpha), noise: figure(noise), effective: some(effective), count: this.ideal.count.toLocaleString("en"), apart: figure(apart), nearest: figure(nearest?.distance) };
  }
}

/** Where the two agree and part, and whether the end is a copy. */
function verdict(steps, rows, { ideal, apart, total }, end) {
  const some = ideal.count < total ? ` (the first ${ideal.count.toLocaleString("en")} of ${total.toLocaleString("en")})` : "";
  if (!end.network) return "This run’s trace has no predicted picture to compare.";
  const limit = SAME * ideal.deviation;
  const first = rows.findIndex((row, at) => rows.slice(at).every((each) => each.apart > limit));
  const agreed = rows.filter((row) => row.apart <= limit).length;
  const parting = first < 0 ? "They agree, within a tenth of the pictures’ deviation, up to the end" : agreed ? `They agree, within a tenth of the pictures’ deviation, at ${agreed} of ${rows.length} steps, and part for good at step ${steps[first] + 1}` : "They are further apart than a tenth of the pictures’ deviation at every step";
  const near = end.nearest.distance;
  const copy = near < COPY * apart;
  const then = copy
    ? `The end lies ${figure(near)} from training picture ${end.nearest.picture + 1}, where training pictures${some} are ${figure(apart)} from their own nearest neighbours: it repeats that picture.`
    : `The end lies ${figure(near)} from the nearest training picture; training pictures${some} are ${figure(apart)} from their own nearest neighbours, so it is a picture of its own, not a copy.`;
  return `${parting}. ${then}`;
}

function some(pictures) {
  return pictures < 10 ? pictures.toFixed(1) : pictures.toFixed(0);
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** The training set of a model, read once. */
function setOf(model) {
  if (!sets.has(model)) sets.set(model, readSet(model));
  return sets.get(model);
}

async function readSet(model) {
  const answer = await fetch(address(`training-set?model=${encodeURIComponent(model)}`)).catch(() => null);
  if (!answer) throw new Error("The studio could not be reached.");
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? "The training pictures could not be read.");
  return new TrainingSet(parse(await answer.arrayBuffer()));
}

class TrainingSet {
  constructor(file) {
    this.shape = file.tensors.get("x0").shape;
    this.ideal = new Ideal(whole(file, "x0"), this.shape[0]);
    this.size = this.ideal.size;
    this.apart = this.ideal.apart();
    this.total = Math.max(this.shape[0], JSON.parse(file.metadata.training_set).total);
    this.side = file.tensors.get("pictures").shape[1];
    this.pictures = whole(file, "pictures");
    this.rgb = file.tensors.has("rgb") ? whole(file, "rgb") : null;
  }

  /** Values of one picture [c, h, w] in colours: pixels as they are, latents by the least squares colour of each cell. */
  draw(canvas, values) {
    const [, channels, height, width] = this.shape;
    const cells = height * width;
    const image = fresh(canvas, width, height);
    for (let cell = 0; cell < cells; cell += 1) {
      for (let colour = 0; colour < 3; colour += 1) {
        let value = this.rgb ? this.rgb[3 * channels + colour] : (values[cell + cells * (channels === 1 ? 0 : colour)] + 1) / 2;
        if (this.rgb) for (let channel = 0; channel < channels; channel += 1) value += this.rgb[3 * channel + colour] * values[cell + cells * channel];
        image.data[4 * cell + colour] = 255 * value;
      }
      image.data[4 * cell + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  picture(canvas, number) {
    const { side, pictures } = this;
    const image = fresh(canvas, side, side);
    for (let cell = 0, from = 3 * side * side * number; cell < side * side; cell += 1, from += 3) image.data.set([pictures[from], pictures[from + 1], pictures[from + 2], 255], 4 * cell);
    canvas.getContext("2d").putImageData(image, 0, 0);
  }
}

function fresh(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return new ImageData(width, height);
}
