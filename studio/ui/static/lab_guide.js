// Which class the models of the laboratory are guided to, how strongly, and by what: the model itself, or a classifier that is trained here.

import { ask } from "./ask.js";
import { Classifier, Guided } from "./lab_guidance.js";
import { Learned, readModel } from "./lab_model.js";
import { address, make } from "./workbench.js";

const RECIPE = "twod-classifier";

export class Guide {
  /** `changed()`: another guidance is wanted; `complain(sentence)`. */
  constructor({ changed, complain }) {
    Object.assign(this, { changed, complain, classifier: null, model: null });
    const field = (title, control) => make("label", { class: "lab-choice" }, make("span", { text: title }), control);
    this.label = make("select", { "aria-label": "Class", onchange: changed });
    this.weight = make("input", { type: "number", min: 0, max: 20, step: 0.5, value: 1, "aria-label": "Guidance", oninput: changed });
    this.by = make("select", { "aria-label": "Guided by", onchange: changed });
    this.start = make("button", { type: "button", class: "browser-button", text: "Train a classifier", onclick: () => this.train() });
    this.state = make("p", { class: "lab-note", role: "status" });
    this.root = make("div", { class: "lab-guide" }, make("div", { class: "lab-row" }, field("Class", this.label), field("Guidance", this.weight), field("Guided by", this.by)), make("div", { class: "lab-row" }, this.start, this.state));
  }

  /** Another model is in view. */
  show(model) {
    const labels = model.tensors.labels.data;
    const count = 1 + labels.reduce((most, value) => Math.max(most, value), 0);
    const { density, schedule } = model.settings;
    if (this.key !== `${density} ${schedule}`) Object.assign(this, { key: `${density} ${schedule}`, classifier: null, shown: "" });
    this.model = model;
    this.root.hidden = count < 2;
    if (this.label.options.length !== count + 1) this.label.replaceChildren(make("option", { value: "", text: "any" }), ...Array.from({ length: count }, (_, k) => make("option", { value: k, text: String(k + 1) })));
    this.present();
  }

  present() {
    const ways = [...(this.model.settings.classes ? [["model", "the model itself"]] : []), ...(this.classifier ? [["classifier", "the classifier"]] : [])];
    const before = this.by.value;
    if (ways.map(([name]) => name).join() !== [...this.by.options].map(({ value }) => value).join()) {
      this.by.replaceChildren(...ways.map(([value, text]) => make("option", { value, text })));
      if (ways.some(([name]) => name === before)) this.by.value = before;
    }
    this.label.disabled = this.weight.disabled = this.by.disabled = !ways.length;
    this.start.hidden = Boolean(this.classifier);
    if (!ways.length && !this.state.textContent) this.state.textContent = "This model knows no classes; a classifier can guide it.";
  }

  /** The model as a predictor, guided as it is set; the class that it then goes for, or null. */
  predictor() {
    const label = this.label.value === "" || !this.by.value ? null : Number(this.label.value);
    const weight = Math.max(0, Number(this.weight.value) || 0);
    const learned = new Learned(this.model);
    if (label !== null && this.by.value === "classifier") return { label, predictor: new Guided(learned, this.classifier, label, weight) };
    if (label !== null) Object.assign(learned, { label, guidance: weight });
    return { label, predictor: learned };
  }

  get name() {
    const { density, schedule } = this.model.settings;
    return `${RECIPE}-${density}-${schedule}`.replaceAll("_", "-");
  }

  async train() {
    const { density, schedule } = this.model.settings;
    this.start.disabled = true;
    try {
      await ask("runs", { recipe: RECIPE, changes: { name: this.name, title: `Classifier of ${density.replaceAll("_", " ")}`, "task.density": density, "task.schedule": schedule } });
      this.state.textContent = "Training the classifier…";
    } catch (error) {
      this.complain(error.message);
    }
    this.start.disabled = false;
  }

  /** `runs`: all there are. The newest classifier of this density and schedule is used, as far as it is. */
  async follow(runs) {
    if (!this.model) return;
    const run = runs.find(({ id, kind }) => kind === "classifier" && id.startsWith(`${this.name}-`));
    if (!run) return;
    this.start.disabled = run.state === "running";
    this.state.textContent = run.message || (run.state === "running" ? `Training the classifier: step ${run.step} of ${run.steps}` : "");
    const step = run.samples.at(-1);
    const wanted = `runs/${run.id}/weights/${step}.safetensors`;
    if (step === undefined || this.shown === wanted) return;
    this.shown = wanted;
    const answer = await fetch(address(wanted)).catch(() => null);
    if (!answer?.ok) return void (this.shown = "");
    const read = readModel(await answer.arrayBuffer());
    if (this.shown !== wanted) return;
    this.classifier = new Classifier(read);
    this.state.textContent = run.state === "running" ? this.state.textContent : `Classifier after ${read.settings.step.toLocaleString("en")} steps.`;
    this.present();
    this.changed();
  }
}
