// The 2-D laboratory: a model of points is trained by an ordinary run, and evaluated here in the page at every moment t.
//
// The server is asked for runs and weights alone. `new Laboratory(holder)` draws it anywhere; `turn(seen)` says whether it is visible.

import { GuidanceField } from "./lab_guidance.js";
import { Guide } from "./lab_guide.js";
import { Compare } from "./lab_compare.js";
import { Drawing } from "./lab_drawing.js";
import { Learned, Mixture, readModel, Schedule, stream } from "./lab_model.js";
import { Field, Particles, Paths, STEPS } from "./lab_views.js";
import { places, SOLVERS } from "./lab_solvers.js";
import { ask } from "./ask.js";
import { stateTitle } from "./train_words.js";
import { tabs } from "./tabs.js";
import { address, make } from "./workbench.js";

const RECIPE = "twod-eight-gaussians";
const KINDS = ["density", "density_student"];
const ASK_MS = 1000;
const DENSITIES = { eight_gaussians: "Eight Gaussians", two_moons: "Two moons", swirl: "Swirl", checkerboard: "Checkerboard", rings: "Rings", drawing: "Draw one" };
const LENGTHS = [1000, 10_000];
const MARKS = [100, 1000, 10_000]; // training steps that are one press away
const PREDICTIONS = { flow: ["Velocity (flow)", "flow"], epsilon: ["Noise (epsilon)", "linear"], v: ["v", "linear"], x0: ["Data (x0)", "linear"] };
const GUIDED = "The guided noise is ε̂ − w σ ∇ log p(c | x_t) (Dhariwal and Nichol 2021); classifier-free guidance takes the model’s own difference for it (Ho and Salimans 2022). A classifier can be right about the class and still have a rough gradient.";
const MOTIONS = { learned: "Backwards, learned", exact: "Backwards, exact score", ddpm: "Backwards, DDPM", quiet: "DDPM, its noise switched off", forward: "Forwards, noise added" };

export function mount({ element, props }) {
  const laboratory = new Laboratory(element.querySelector(".lab-body"), props.purpose);
  const look = () => laboratory.turn(tabs.open?.name === "laboratory" && document.visibilityState === "visible");
  tabs.on(look);
  document.addEventListener("visibilitychange", look);
}

export class Laboratory {
  constructor(holder, purpose = "") {
    Object.assign(this, { step: 0, runs: [], shown: "" });
    this.views = { particles: new Particles(), field: new Field(), paths: new Paths(), guidance: new GuidanceField(), compare: new Compare({ chosen: () => this.chosen, started: (id) => this.refresh().then(() => this.choose(id)), complain: (sentence) => this.complain(sentence) }) };
    this.guide = new Guide({ changed: () => this.guided(), complain: (sentence) => this.complain(sentence) });
    this.drawing = new Drawing(() => this.complain(""));
    this.alarm = make("p", { class: "train-problem", role: "alert" });
    this.state = make("p", { class: "lab-note", role: "status" });
    this.none = make("p", { class: "lab-none", text: "Nothing is trained yet. Choose a density and train: it takes some seconds, and you can watch." });
    this.planes = make("div", { class: "lab-planes" }, ...Object.values(this.views).map(({ plane }) => plane.root));
    this.moments = this.timeRow();
    this.extras();
    holder.append(make("p", { class: "train-purpose", text: purpose }), this.setup(), this.alarm, this.state, this.none, this.drawing.plane.root, this.moments, this.planes);
    this.views.paths.onErrors = (errors, apart) => this.showErrors(errors, apart);
    new ResizeObserver(() => this.draw()).observe(this.planes);
    new MutationObserver(() => this.draw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.showDrawing();
    this.present();
  }

  setup() {
    const option = (value, text) => make("option", { value, text });
    const menu = (title, options, change) => {
      const select = make("select", { "aria-label": title, onchange: change }, ...options.map(([value, text]) => option(value, text)));
      return [select, make("label", { class: "lab-choice" }, make("span", { text: title }), select)];
    };
    const [density, densityField] = menu("Density", Object.entries(DENSITIES), () => this.showDrawing());
    const [prediction, predictionField] = menu("Prediction", Object.entries(PREDICTIONS).map(([name, [title]]) => [name, title]), () => {});
    const [length, lengthField] = menu("Steps", LENGTHS.map((steps) => [steps, steps.toLocaleString("en")]), () => {});
    const [run, runField] = menu("Trained model", [], () => this.choose(this.run.value));
    Object.assign(this, { density, prediction, length, run, runField });
    this.start = make("button", { type: "button", class: "train-start", text: "Train", onclick: () => this.train() });
    this.file = make("input", { type: "file", accept: ".safetensors", class: "only-read", "aria-label": "Open a model file", onchange: () => this.openFile() });
    const open = make("label", { class: "browser-button lab-file" }, make("span", { text: "Open file" }), this.file);
    this.save = make("a", { class: "browser-button", text: "Save file", title: "These weights as safetensors; Open file shows them again", hidden: true });
    return make("div", { class: "lab-setup" }, densityField, predictionField, lengthField, this.start, runField, open, this.save);
  }

  timeRow() {
    const range = (title, most, change) => make("input", { type: "range", min: 0, max: most, step: 1, value: 0, "aria-label": title, oninput: change });
    this.play = make("button", { type: "button", class: "browser-button", text: "Play", onclick: () => this.turnPlay() });
    this.time = range("Moment", STEPS, () => this.go(Number(this.time.value)));
    this.readout = make("p", { class: "lab-note lab-readout" });
    this.trained = range("Training step", 0, () => this.fetchWeights(Number(this.trained.value)));
    this.trainedAt = make("p", { class: "lab-note" });
    this.marks = MARKS.map((step) => make("button", { type: "button", class: "vis-chip", text: step.toLocaleString("en"), onclick: () => this.fetchWeights(this.samples.indexOf(step)) }));
    const after = make("div", { class: "lab-row" }, this.trainedAt, ...this.marks);
    return make("div", { class: "lab-time" }, this.play, this.time, this.readout, make("span", { class: "lab-note", text: "Training" }), this.trained, after);
  }

  /** Below each view: what can be set in it. */
  extras() {
    const { particles, field, guidance, paths } = this.views;
    const motion = make("select", { "aria-label": "Motion", onchange: () => this.setMotion(motion.value) }, ...Object.entries(MOTIONS).map(([value, text]) => make("option", { value, text })));
    particles.plane.root.append(motion);
    field.plane.root.append(make("p", { class: "lab-legend" }, make("i", { class: "is-exact" }), "exact", make("i", { class: "is-learned" }), "learned", make("i", { class: "is-error" }), "error"));
    guidance.plane.root.append(make("p", { class: "lab-legend" }, make("i", { class: "is-exact" }), "closed form", make("i", { class: "is-euler" }), "classifier", make("i", { class: "is-heun" }), "model"), this.guide.root, make("p", { class: "lab-note", text: GUIDED }));
    const steps = make("input", { type: "number", min: 1, max: 100, value: paths.steps, "aria-label": "Solver steps", oninput: () => {
      paths.steps = Math.max(1, Math.min(100, Math.round(Number(steps.value)) || 1));
      paths.draw();
    } });
    this.errors = make("table", { class: "lab-errors" });
    paths.plane.root.append(make("label", { class: "lab-choice" }, make("span", { text: "Solver steps" }), steps), this.errors);
  }

  showErrors(errors, apart) {
    const { steps } = this.views.paths;
    const row = (name, title, evaluations, error) => make("tr", {}, make("th", { scope: "row" }, make("i", { class: `is-${name}` }), title), make("td", { text: evaluations }), make("td", { text: error }));
    this.errors.replaceChildren(
      make("tr", {}, make("th", { text: "Solver" }), make("th", { text: "Evaluations" }), make("th", { text: "Error at the end" })),
      ...Object.entries(SOLVERS).map(([name, { title, evaluations }]) => row(name, title, evaluations(steps), errors[name].toFixed(4))),
      row("fine", "Heun, fine", SOLVERS.heun.evaluations(200), "reference"),
      row("true", "Exact score", "", `ends ${apart.toFixed(3)} away`));
  }

  showDrawing() {
    this.drawing.plane.root.hidden = this.density.value !== "drawing";
    this.drawing.draw();
  }

  complain(sentence) {
    this.alarm.textContent = sentence;
  }

  async train() {
    const name = this.density.value;
    const [, schedule] = PREDICTIONS[this.prediction.value];
    const changes = { name: `twod-${name.replaceAll("_", "-")}`, title: `${DENSITIES[name]}, ${this.prediction.value}`, "task.density": name, "task.objective": this.prediction.value, "task.schedule": schedule, steps: Number(this.length.value) };
    if (name === "drawing") Object.assign(changes, { title: `A drawing, ${this.prediction.value}`, "task.drawing": this.drawing.thinned });
    else changes["task.classes"] = ["two_moons", "rings", "eight_gaussians"].includes(name);
    this.start.disabled = true;
    try {
      const { id } = await ask("runs", { recipe: RECIPE, changes });
      this.complain("");
      await this.refresh();
      this.choose(id);
    } catch (error) {
      this.complain(error.message);
    }
    this.start.disabled = false;
  }

  /** The laboratory is visible, or no longer. */
  turn(seen) {
    if (seen === this.seen) return;
    this.seen = seen;
    clearTimeout(this.timer);
    this.stop();
    if (seen) this.refresh().then(() => {
      const kept = localStorage.getItem("unnoise-lab-run");
      if (!this.chosen || (kept && kept !== this.chosen && this.chosen !== "none")) this.choose(kept);
    });
  }

  async refresh() {
    clearTimeout(this.timer);
    try {
      const all = await ask("runs");
      this.runs = all.filter(({ id, kind }) => KINDS.includes(kind) && !id.startsWith("break-"));
      this.list();
      await this.guide.follow(all);
      await this.follow();
    } catch (error) {
      this.complain(error.message);
    }
    if (this.seen) this.timer = setTimeout(() => this.refresh(), ASK_MS);
  }

  list() {
    this.runField.hidden = !this.runs.length;
    const titles = this.runs.map(({ id, title, state }) => [id, state === "running" ? `${title} (training)` : title]);
    if (JSON.stringify(titles) === this.listed) return;
    this.listed = JSON.stringify(titles);
    this.run.replaceChildren(...titles.map(([value, text]) => make("option", { value, text })));
    this.run.value = this.chosen ?? "";
  }

  choose(id) {
    const run = this.runs.find((each) => each.id === id) ?? this.runs[0];
    if (!run) return;
    this.chosen = run.id;
    this.newest = true;
    this.shown = "";
    this.run.value = run.id;
    localStorage.setItem("unnoise-lab-run", run.id);
    this.follow();
  }

  /** The run in view as it is now: while the newest weights are looked at, each new ones are fetched. */
  async follow() {
    const run = this.runs.find(({ id }) => id === this.chosen);
    if (!run) return;
    const figures = Object.entries(run.figures).filter(([name]) => name === "loss").map(([, value]) => `loss ${value.toPrecision(3)}`);
    this.state.textContent = run.message || [run.title, stateTitle(run), `step ${run.step.toLocaleString("en")} of ${run.steps.toLocaleString("en")}`, ...figures].join(" · ");
    if (!run.samples.length) {
      if (run.state === "running") this.state.textContent += " · the first weights come in a moment";
      return;
    }
    this.samples = run.samples;
    this.trained.max = String(run.samples.length - 1);
    if (this.newest) this.trained.value = this.trained.max;
    await this.fetchWeights(Number(this.trained.value));
  }

  async fetchWeights(number) {
    const step = this.samples?.[number];
    if (step === undefined) return;
    this.trained.value = String(number);
    this.newest = number === this.samples.length - 1;
    const wanted = `runs/${this.chosen}/weights/${step}.safetensors`;
    if (this.shown === wanted) return;
    this.shown = wanted;
    const answer = await fetch(address(wanted)).catch(() => null);
    if (!answer?.ok) {
      this.shown = "";
      return this.complain("The weights of this step could not be fetched.");
    }
    const buffer = await answer.arrayBuffer();
    if (this.shown !== wanted) return;
    Object.assign(this.save, { href: address(wanted), download: `${this.chosen}-${step}.safetensors`, hidden: false });
    this.show(buffer);
  }

  async openFile() {
    const [file] = this.file.files;
    if (!file) return;
    try {
      const buffer = await file.arrayBuffer();
      if (readModel(buffer).settings.classifier) throw new Error("This file holds a classifier; open a model of points.");
      this.show(buffer);
      this.chosen = this.shown = "none";
      this.samples = null;
      this.run.value = "";
      this.state.textContent = `${file.name}, after ${this.model.settings.step.toLocaleString("en")} steps.`;
      this.complain("");
    } catch (error) {
      this.complain(error.message);
    }
    this.file.value = "";
  }

  show(buffer) {
    const model = readModel(buffer);
    const first = !this.model;
    this.model = model;
    this.plain = new Learned(model);
    this.mixture = new Mixture(model);
    this.schedule = new Schedule(model.tensors, model.settings.schedule);
    this.guide.show(model);
    this.views.guidance.plane.root.hidden = this.guide.root.hidden;
    this.trainedAt.textContent = `after ${model.settings.step.toLocaleString("en")} steps`;
    this.present();
    if (first) this.go(Math.round(0.6 * STEPS));
    this.guided();
  }

  present() {
    this.none.hidden = Boolean(this.model);
    this.moments.hidden = this.planes.hidden = !this.model;
  }

  guided() {
    const { label, predictor } = this.guide.predictor();
    Object.assign(this, { learned: predictor, target: label, classifier: this.guide.classifier });
    this.mixture.choose(label);
    this.data = this.mixture.draw(600, stream(3));
    this.trainedRange();
    for (const view of Object.values(this.views)) view.use(this);
  }

  setMotion(motion) {
    this.views.particles.motion = motion;
    this.views.particles.use(this);
  }

  place() {
    const here = places(this.schedule, STEPS)[this.step];
    return here.sigma ? here : this.schedule.at(1); // at the end there is no noise left, and the score has no bound
  }

  go(step) {
    this.step = Math.max(0, Math.min(STEPS, step));
    this.time.value = String(this.step);
    this.draw(["particles", "field", "guidance"]);
  }

  draw(names = Object.keys(this.views)) {
    if (!this.model) return;
    const { t, alpha, sigma } = this.place();
    this.time.style.setProperty("--filled", `${(100 * this.step) / STEPS}%`);
    this.trainedRange();
    this.readout.textContent = `t ${(t / 1000).toFixed(3)}   alpha ${alpha.toFixed(3)}   sigma ${sigma.toFixed(3)}   log-SNR ${alpha ? (2 * Math.log(alpha / sigma)).toFixed(2) : "-∞"}`;
    for (const name of names) this.views[name].draw();
  }

  trainedRange() {
    this.marks.forEach((mark, k) => {
      mark.hidden = !this.samples?.includes(MARKS[k]);
      mark.setAttribute("aria-pressed", String(this.model?.settings.step === MARKS[k]));
    });
    this.trained.disabled = !this.samples || this.samples.length < 2;
    this.trained.style.setProperty("--filled", `${(100 * Number(this.trained.value)) / Math.max(1, Number(this.trained.max))}%`);
  }

  turnPlay() {
    if (this.playing) return this.stop();
    if (this.step === STEPS) this.go(0);
    this.play.textContent = "Pause";
    const tick = () => {
      this.go(this.step + 1);
      if (this.step === STEPS) return this.stop();
      this.playing = setTimeout(() => requestAnimationFrame(tick), 40);
    };
    this.playing = setTimeout(tick, 0);
  }

  stop() {
    clearTimeout(this.playing);
    this.playing = null;
    this.play.textContent = "Play";
  }
}
