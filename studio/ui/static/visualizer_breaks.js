// Break it on purpose: cards that each spoil the run in view in one way, and name the symptom.

import { Feed } from "./feed.js";
import { branchFrom } from "./visualizer_branches.js";
import { trainingFaults } from "./visualizer_break_training.js";
import { FAULTS } from "./visualizer_faults.js";
import { Traced, traceOf } from "./visualizer_traced.js";
import { address, make } from "./workbench.js";

const SIDE = 256; // pictures are measured at this size at most

export class Breaks {
  name = "breaks";
  title = "Break it";
  unit = "step";
  needsRun = false;

  constructor({ open }) {
    this.open = open;
    this.faults = FAULTS.map((fault) => new FaultCard(fault, this));
    this.none = make("p", { class: "vis-note", text: "This run is too short, or used no guidance, so there is little to break." });
    this.drawn = make("div", { class: "vis-view" }, this.none, make("div", { class: "vis-faults" }, ...this.faults.map(({ root }) => root)));
    this.ofRun = make("div", { class: "vis-view" }, this.drawn);
    this.root = make("div", { class: "vis-view" }, this.ofRun, trainingFaults());
    this.traced = new Traced(this.ofRun, this.drawn, (trace) => this.ready(trace));
  }

  show(run) {
    this.run = run;
    this.ofRun.hidden = !run;
    if (run) this.traced.follow(run);
  }

  ready(trace) {
    this.trace = trace;
    for (const card of this.faults) card.show(this.run);
    this.none.hidden = this.faults.some(({ root }) => !root.hidden);
  }

  draw() {}

  cards() {
    return [];
  }
}

class FaultCard {
  constructor(fault, view) {
    Object.assign(this, { fault, view });
    this.says = make("p", {});
    this.start = make("button", { type: "button", class: "browser-button", text: "Break it", onclick: () => this.spoil() });
    this.pictures = make("div", { class: "vis-spoiled", hidden: true });
    this.symptom = make("p", { class: "vis-symptom", role: "status" });
    this.root = make("article", { class: "vis-card", "data-fault": fault.name }, make("h3", { text: fault.title }), this.says, this.pictures, this.symptom, make("div", { class: "vis-controls" }, this.start));
  }

  show(run) {
    this.feed?.close();
    Object.assign(this, { run, feed: null });
    this.root.hidden = !this.fault.able(run);
    if (this.root.hidden) return;
    this.says.textContent = this.fault.says(run);
    this.symptom.textContent = "";
    this.pictures.hidden = true;
    this.start.disabled = false;
  }

  async spoil() {
    const { run } = this;
    this.view.open({ job: run.job, image: run.image }); // the run in view is to stay
    this.start.disabled = true;
    this.symptom.textContent = "Waiting";
    try {
      const job = this.fault.branch ? await branchFrom(run.saved.id, this.fault.branch(run)) : await submit({ ...alone(run), ...this.fault.request(run) });
      this.feed = new Feed(job, () => this.hear(run));
      await this.feed.open();
    } catch (error) {
      this.symptom.textContent = error.message;
      this.start.disabled = false;
    }
  }

  hear(run) {
    const { feed } = this;
    if (!feed || run !== this.run) return;
    const made = feed.steps.get(0)?.length ?? 0;
    if (!feed.ended) return void (made && (this.symptom.textContent = `Step ${made} of ${feed.total}`));
    this.feed = null;
    this.start.disabled = false;
    const image = feed.images.get(0);
    if (image) this.judge(run, image, feed.id);
    else this.symptom.textContent = feed.message ?? "The run was stopped.";
  }

  async judge(run, image, job) {
    try {
      const [own, spoiled, trace] = await Promise.all([read(run.saved.id), read(image.id), traceOf(image.id)]);
      if (run !== this.run) return;
      this.symptom.textContent = this.fault.measure({ pixels: own.pixels, trace: this.view.trace }, { pixels: spoiled.pixels, trace });
      const open = make("button", { type: "button", title: "Open this run", "aria-label": "Open the broken run", onclick: () => this.view.open({ job, image: 0 }) }, spoiled.picture);
      this.pictures.replaceChildren(own.picture, open);
      this.pictures.hidden = false;
    } catch (error) {
      this.symptom.textContent = error.message;
    }
  }
}

/** The request of the run in view for its one image. */
function alone(run) {
  const parts = run.request.parts.filter(({ kind }) => kind !== "branch" && kind !== "attention");
  return { ...run.request, parts, seed: run.saved.seed, count: 1, batch_size: 1 };
}

async function submit(request) {
  const answer = await fetch(address("jobs"), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request) });
  const { id, error } = await answer.json();
  if (!answer.ok) throw new Error(error ?? "The studio did not start the run.");
  return id;
}

/** { picture, pixels } of an archived image. */
async function read(id) {
  const picture = new Image();
  picture.src = address(`images/${id}`);
  picture.alt = "";
  await picture.decode();
  const scale = Math.min(1, SIDE / Math.max(picture.naturalWidth, picture.naturalHeight));
  const canvas = make("canvas", { width: Math.round(picture.naturalWidth * scale), height: Math.round(picture.naturalHeight * scale) });
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return { picture, pixels: pen.getImageData(0, 0, canvas.width, canvas.height) };
}
