// Two prompts from one noise: where and when two runs part. The other is a branch of this one, or made here from its first step.

import { make } from "./workbench.js";
import { figure } from "./words.js";
import { branchFrom } from "./visualizer_branches.js";
import { Card, live } from "./visualizer_math.js";
import { drawMap, heat } from "./visualizer_pixels.js";
import { legend, Plot } from "./visualizer_plot.js";
import { VisualizedRun } from "./visualizer_run.js";
import { largest, mapPanel, pixelsOf, Traced, traceOf } from "./visualizer_traced.js";

const CURVES = ["x̂₀", "x_t"];
const HALF = 0.5;
const UNLIKE = "The two runs have different sizes or steps, so they cannot be laid over each other.";

export class Prompts {
  name = "prompts";
  title = "Two prompts";
  unit = "step";

  constructor({ cursor, server, open }) {
    Object.assign(this, { cursor, server, open, other: null, pair: null });
    this.prompt = make("textarea", { rows: 2, "aria-label": "Other prompt" });
    this.start = make("button", { type: "submit", class: "train-start", text: "Run from the same noise" });
    this.problem = make("p", { class: "train-problem", role: "alert" });
    this.form = make("form", { class: "vis-branch is-prompts", onsubmit: (event) => (event.preventDefault(), this.make()) }, make("label", { class: "is-wide" }, "Other prompt", this.prompt), this.start, this.problem);
    this.choice = make("select", { "aria-label": "Compare with", onchange: () => this.compare(this.nodes.find(({ id }) => id === this.choice.value)) });
    this.chooser = make("label", { class: "vis-choice", hidden: true }, "Compare with ", this.choice);
    this.words = make("p", { class: "vis-note", role: "status" });
    this.panels = Object.fromEntries([["one", "This run"], ["two", "The other"], ["parted", "Their difference"]].map(([name, title]) => [name, mapPanel(title, name)]));
    this.plot = new Plot("Difference (RMS)", CURVES, { seek: (x) => cursor.go(x - 1) });
    this.plot.root.append(legend(CURVES));
    this.compared = make("div", { class: "vis-view", hidden: true }, make("div", { class: "vis-pictures" }, ...Object.values(this.panels).map(({ root }) => root)), make("div", { class: "vis-plots" }, this.plot.root));
    this.drawn = make("div", { class: "vis-view" }, this.form, this.chooser, this.words, this.compared);
    this.root = make("div", { class: "vis-view" }, this.drawn);
    this.traced = new Traced(this.root, this.drawn, (trace) => this.ready(trace), () => this.leave());
  }

  show(run) {
    this.run = run;
    this.traced.follow(run);
  }

  async ready(trace) {
    this.prompt.value = trace.info.recipe.request.prompt;
    const { id } = this.run.saved;
    const { nodes = [] } = await this.server.relatives(id);
    if (this.run.saved?.id !== id) return;
    this.nodes = nodes.filter((node) => node.id !== id);
    this.choice.replaceChildren(...this.nodes.map((node) => make("option", { value: node.id, text: node.words })));
    this.chooser.hidden = !this.nodes.length;
    const made = this.nodes.find(({ job }) => job === this.made) ?? this.nodes.at(-1);
    if (made) this.compare(made);
    else this.say("No other run began from this noise yet. Write another prompt: it is made from the same noise, with the same sampler, and the two are compared step by step.");
  }

  async make() {
    this.problem.textContent = "";
    this.start.disabled = true;
    this.open({ job: this.run.job, image: this.run.image });
    try {
      this.made = await branchFrom(this.run.saved.id, { step: 0, prompt: this.prompt.value });
      this.compare({ job: this.made, index: 0, id: null });
    } catch (error) {
      this.problem.textContent = error.message;
    }
    this.start.disabled = false;
  }

  /** `node`: { job, index, id } of the other run. */
  compare(node) {
    this.leave();
    if (node.id) this.choice.value = node.id;
    this.other = new VisualizedRun({ job: node.job, image: node.index }, { about: async () => ({}), changed: () => this.came() });
    this.other.open();
  }

  leave() {
    this.other?.close();
    Object.assign(this, { other: null, pair: null });
    this.compared.hidden = true;
    this.say("");
  }

  async came() {
    const { other } = this;
    if (!other?.ended) return this.say(other?.steps.length ? `The other run is at step ${other.steps.length} of ${other.feed.total}.` : "The other run is waiting.");
    if (!other.saved) return this.say(other.feed.message ?? "The other run was stopped.");
    if (this.pair || this.reading === other) return this.draw();
    this.reading = other;
    try {
      const [one, two] = [this.traced.trace, await traceOf(other.saved.id)];
      if (this.other === other && one) this.lay(one, two);
    } catch (error) {
      this.say(error.message);
    }
    this.reading = null;
    return undefined;
  }

  lay(one, two) {
    if ([one, two].some((each) => String([each.steps, each.channels, each.height, each.width]) !== String([one.steps, one.channels, one.height, one.width]))) return this.say(UNLIKE);
    const steps = [...Array(one.steps).keys()];
    const apart = (name) => steps.map((step) => differences(one.at(name, step), two.at(name, step), one.channels));
    const [x0, xt] = [apart("x0"), apart("x_t")];
    const maps = x0[0] ? x0 : xt;
    const sizes = maps.map(size);
    const most = Math.max(...sizes);
    this.pair = { maps, sizes, most, largest: Math.max(...maps.map(largest), 1e-9), parts: partsAt(sizes), statesPart: partsAt(xt.map(size)), width: one.width, height: one.height, words: [one, two].map((each) => each.info.recipe.request.prompt) };
    this.compared.hidden = false;
    this.panels.two.root.querySelector("b").textContent = this.pair.words[1] || "No prompt";
    this.plot.draw([steps.map((step) => step + 1), x0.map((map) => map && size(map)), xt.map(size)], true);
    this.cursor.changed();
    if (this.made === this.other.job && !this.nodes.some(({ job }) => job === this.made)) this.ready(one);
    return undefined;
  }

  draw() {
    const { pair, cursor, run, other, panels } = this;
    if (!pair || !this.root.isConnected) return;
    const step = Math.min(cursor.step, pair.maps.length - 1);
    paint(panels.one, run.picture(step, "x0"));
    paint(panels.two, other.picture(step, "x0"));
    const map = pair.maps[step];
    drawMap(panels.parted.canvas, map.map((value) => value / pair.largest), pair.width, pair.height, heat);
    panels.parted.words.textContent = `RMS ${figure(pair.sizes[step])}`;
    this.plot.at(step + 1);
    this.say(pair.most ? `The predicted pictures part at step ${pair.parts + 1} of ${pair.maps.length}, the states at step ${pair.statesPart + 1}: from there on they differ by more than half of what they ever do. At step ${step + 1} half of the difference lies on ${area(map)} of the picture.` : "The two runs are the same at every step.");
  }

  cards() {
    return [
      new Card({
        title: "When a prompt decides",
        says: [
          ["Both runs begin with the same noise, so all that differs comes from the prompt. At this step the difference has a size of ", live("apart"), ", ", live("share"), " of the largest, and half of it lies on ", live("area"), " of the picture."],
          "What both prompts share keeps its place; what they name differently parts first where it will be drawn. A difference that begins late is one of detail.",
        ],
      }),
    ];
  }

  values() {
    const { pair, cursor } = this;
    if (!pair) return {};
    const step = Math.min(cursor.step, pair.maps.length - 1);
    return { apart: figure(pair.sizes[step]), share: pair.most ? `${Math.round((100 * pair.sizes[step]) / pair.most)} %` : "–", area: area(pair.maps[step]) };
  }

  say(sentence) {
    if (this.words.textContent !== sentence) this.words.textContent = sentence;
  }
}

/** The size of the difference at each place; null where there is nothing to compare. */
function differences(one, two, channels) {
  return one && two ? pixelsOf(one.map((value, at) => value - two[at]), channels) : null;
}

/** The first step at which the difference is more than half of its largest. */
function partsAt(sizes) {
  return sizes.findIndex((value) => value >= HALF * Math.max(...sizes));
}

function size(map) {
  return Math.sqrt(map.reduce((sum, value) => sum + value ** 2, 0) / map.length);
}

/** On how much of the picture half of the squared difference lies, at least. */
function area(map) {
  const squares = map.map((value) => value ** 2).sort().reverse();
  const half = squares.reduce((sum, value) => sum + value, 0) / 2;
  let [sum, count] = [0, 0];
  while (sum < half) sum += squares[count++];
  return `${Math.round((100 * count) / map.length)} %`;
}

function paint({ canvas, root }, picture) {
  root.hidden = !picture;
  if (!picture) return;
  Object.assign(canvas, { width: picture.naturalWidth, height: picture.naturalHeight });
  canvas.getContext("2d").drawImage(picture, 0, 0);
}
