// Cards that each spoil a training in one way: small models of points are trained while one waits, sampled, and deleted again.

import { ask } from "./ask.js";
import { readModel } from "./lab_model.js";
import { Plane } from "./lab_plane.js";
import { TRAINED_FAULTS } from "./visualizer_trained_faults.js";
import { address, make } from "./workbench.js";

const RECIPE = "twod-eight-gaussians";
const LENGTH = { steps: 600, sample_every: 100, save_every: 600 };
const ASK_MS = 700;

/** A section of cards, which need no run in view. */
export function trainingFaults() {
  return make("section", { class: "vis-view" }, make("h3", { text: "Spoil a training" }), make("p", { class: "vis-note", text: "Each trains small models of points in the plane, as the Train tab does, in a minute on a free core; a training waits while pictures are made." }), make("div", { class: "vis-faults" }, ...TRAINED_FAULTS.map((fault) => new TrainedCard(fault).root)));
}

class TrainedCard {
  constructor(fault) {
    this.fault = fault;
    this.start = make("button", { type: "button", class: "browser-button", text: "Break it", onclick: () => this.spoil() });
    this.symptom = make("p", { class: "vis-symptom", role: "status" });
    this.planes = ["Right", "With the fault"].map((title) => new Plane(title, `${title}: sampled points`));
    this.pictures = make("div", { class: "vis-spoiled", hidden: true }, ...this.planes.map(({ root }) => root));
    this.root = make("article", { class: "vis-card", "data-fault": fault.name }, make("h3", { text: fault.title }), make("p", { text: fault.says }), this.pictures, this.symptom, make("div", { class: "vis-controls" }, this.start));
    new ResizeObserver(() => this.draw()).observe(this.pictures);
  }

  async spoil() {
    this.start.disabled = true;
    const started = [];
    try {
      const models = [];
      for (const changes of this.fault.runs) {
        const { id } = await ask("runs", { recipe: RECIPE, changes: { name: `break-${this.fault.name}`, title: this.fault.title, ...LENGTH, ...changes } });
        started.push(id);
        models.push(await this.weights(id, started.length));
      }
      this.found = this.fault.measure(models);
      this.symptom.textContent = this.found.says;
      this.pictures.hidden = false;
      this.draw();
    } catch (error) {
      this.symptom.textContent = error.message;
    }
    for (const id of started) ask(`runs/${id}/delete`, {}).catch(() => {}); // paused or ended; one that still runs stays in the Train tab
    this.start.disabled = false;
  }

  /** The models of a run at each of its samples, when it has ended. */
  async weights(id, number) {
    for (;;) {
      const run = await ask(`runs/${id}`);
      if (run.state === "done") return Promise.all(run.samples.map((step) => read(`runs/${id}/weights/${step}.safetensors`)));
      if (run.state !== "running") throw new Error(run.message || "The training was stopped.");
      const of = this.fault.runs.length > 1 ? `Training ${number} of ${this.fault.runs.length}` : "Training";
      this.symptom.textContent = `${of}: step ${run.step} of ${run.steps}`;
      await new Promise((resolve) => setTimeout(resolve, ASK_MS));
    }
  }

  draw() {
    if (!this.found) return;
    ["right", "wrong"].forEach((name, k) => {
      const plane = this.planes[k];
      if (!plane.begin()) return;
      plane.dots(this.found.file.tensors.centres.data, plane.colour("--ink-3"), 2.5, 0.6);
      plane.dots(this.found[name], plane.colour(k ? "--alarm" : "--accent"), 1.4, 0.7);
    });
  }
}

async function read(path) {
  const answer = await fetch(address(path));
  if (!answer.ok) throw new Error("The weights of this training could not be fetched.");
  return readModel(await answer.arrayBuffer());
}
