// One run: how far it is, what it has learned (samples through training time), its curves, and what can be done with it.

import { address, eachWorkbench, make, whenDrawn } from "./workbench.js";
import { left, stateTitle } from "./train_words.js";

const ASK_MS = 1000;

export class RunPage {
  constructor(id, { ask, changed, gone }) {
    Object.assign(this, { id, ask, changed, gone, after: 0, run: null, followsNewest: true });
    this.title = make("h2");
    this.state = make("span", { class: "train-state" });
    this.words = make("p", { class: "train-words" });
    this.bar = make("div", { class: "train-bar", "aria-hidden": "true" }, make("div"));
    this.alarm = make("p", { class: "train-problem", role: "alert" });
    this.pause = this.button("Pause", "pause", "Write a checkpoint and end the process; Resume goes on exactly from there");
    this.resume = this.button("Resume", "resume", "Go on from the newest checkpoint");
    this.sampleNow = this.button("Sample now", "sample_now", "Draw pictures after the current step");
    this.fork = make("button", { type: "button", class: "browser-button", text: "Copy", title: "A copy of this run at its newest checkpoint, to go on in another way", onclick: () => this.act(async () => this.changed((await this.ask(`runs/${id}/fork`, {})).id)) });
    this.remove = make("button", { type: "button", class: "browser-button", text: "Delete", onclick: () => this.confirm() });
    this.report = make("a", { class: "browser-button", href: address(`runs/${id}/report.html`), download: `${id}.html`, text: "Report", title: "One HTML file with the recipe, curves and samples, which opens without the studio" });
    this.lab = make("a", { class: "train-start", href: "#laboratory", text: "2-D laboratory", title: "Look at this model's particles, score and paths", onclick: () => localStorage.setItem("unnoise-lab-run", id) });
    this.use = make("button", { type: "button", class: "train-start", text: "Generate with it", title: "Put the model among the others and open Text to image", onclick: () => this.act(() => this.export()) });
    this.picture = make("img", { class: "train-sample", alt: "" });
    this.slider = make("input", { type: "range", min: 0, step: 1, "aria-label": "Sample through training time" });
    this.at = make("p", { class: "train-at" });
    this.samples = make("section", { class: "train-samples", "aria-label": "Samples" }, this.picture, make("div", { class: "train-scrub" }, this.slider, this.at));
    this.waiting = make("p", { class: "train-note" });
    this.curves = make("div");
    this.plots = import("./train_plots.js").then(({ Plots }) => {
      const plots = new Plots();
      this.curves.replaceWith(plots.root);
      return plots;
    });
    this.root = make("article", { class: "train-run" },
      make("header", { class: "train-head" }, make("div", {}, this.title, this.state), make("div", { class: "train-actions" }, this.use, this.lab, this.pause, this.resume, this.sampleNow, this.report, this.fork, this.remove)),
      this.bar, this.words, this.alarm, this.waiting, this.samples, this.curves);
    this.slider.addEventListener("input", () => {
      this.followsNewest = Number(this.slider.value) === this.run.samples.length - 1;
      this.drawSample();
    });
  }

  button(text, action, title) {
    return make("button", { type: "button", class: "browser-button", text, title, onclick: () => this.act(() => this.ask(`runs/${this.id}/${action}`, {})) });
  }

  /** The tab is visible, or no longer. */
  turn(seen) {
    this.looking = seen;
    clearTimeout(this.timer);
    if (seen) this.look();
  }

  async look() {
    clearTimeout(this.timer);
    try {
      const [run, { after, rows }] = await Promise.all([this.ask(`runs/${this.id}`), this.ask(`runs/${this.id}/metrics?after=${this.after}`)]);
      this.after = after;
      this.run = run;
      (await this.plots).add(rows);
      this.draw();
    } catch (error) {
      this.alarm.textContent = error.message;
    }
    if (this.looking) this.timer = setTimeout(() => this.look(), ASK_MS);
  }

  async act(what) {
    this.alarm.textContent = "";
    this.busy = true;
    this.draw();
    try {
      await what();
      await this.changed();
    } catch (error) {
      this.alarm.textContent = error.message;
    }
    this.busy = false;
    await this.look();
  }

  async confirm() {
    if (this.remove.dataset.sure === undefined) {
      this.remove.dataset.sure = "";
      this.remove.textContent = "Delete for good?";
      setTimeout(() => this.calm(), 4000);
      return;
    }
    this.calm();
    try {
      await this.ask(`runs/${this.id}/delete`, {});
      await this.gone();
    } catch (error) {
      this.alarm.textContent = error.message;
    }
  }

  calm() {
    delete this.remove.dataset.sure;
    this.remove.textContent = "Delete";
  }

  async export() {
    const { model } = await this.ask(`runs/${this.id}/export`, {});
    if (this.run.kind === "lora") {
      location.hash = "#lora"; // where it is added to a picture of its base
      return;
    }
    location.hash = "#text-to-image";
    eachWorkbench((workbench) => {
      let chosen = false;
      whenDrawn(workbench, `.field.is-model option[value="${CSS.escape(model)}"]`, () => {
        if (!chosen) workbench.fields.get("model").set(model, "choice"); // the menu is asked for again as the tab opens
        chosen = true;
      });
    });
  }

  draw() {
    const { run } = this;
    if (!run) return;
    this.title.textContent = run.title;
    this.state.textContent = stateTitle(run);
    this.state.dataset.state = run.state;
    this.bar.firstChild.style.width = `${run.steps ? (100 * run.step) / run.steps : 0}%`;
    const rate = run.step_seconds ? `${(run.batch / run.step_seconds).toFixed(1)} images/s` : "";
    const loss = run.figures.loss === undefined ? "" : `loss ${run.figures.loss.toPrecision(3)}`;
    this.words.textContent = [`Step ${run.step.toLocaleString("en")} of ${run.steps.toLocaleString("en")}`, loss, rate, left(run.left)].filter(Boolean).join(" · ");
    if (run.message) this.alarm.textContent = run.message;
    const running = run.state === "running";
    this.pause.hidden = this.sampleNow.hidden = !running;
    this.resume.hidden = running || run.state === "done";
    this.fork.hidden = this.remove.hidden = running;
    this.use.hidden = !run.exportable;
    this.lab.hidden = !run.kind.startsWith("density") || !run.samples.length;
    this.report.hidden = !run.step;
    for (const button of this.root.querySelectorAll(".train-actions button")) button.disabled = Boolean(this.busy);
    this.waiting.hidden = run.samples.length > 0;
    this.waiting.textContent = running ? (run.step ? "The first pictures come after a few more steps." : "Starting: the data is drawn and the model is built.") : "There are no pictures of this run.";
    this.samples.hidden = run.samples.length === 0;
    this.slider.max = String(Math.max(0, run.samples.length - 1));
    if (this.followsNewest) this.slider.value = this.slider.max;
    this.drawSample();
  }

  drawSample() {
    const step = this.run.samples[Number(this.slider.value)];
    if (step === undefined) return;
    this.slider.style.setProperty("--filled", `${(100 * Number(this.slider.value)) / Math.max(1, Number(this.slider.max))}%`);
    this.at.textContent = `Pictures from the same noise, after ${step.toLocaleString("en")} steps`;
    const src = address(`runs/${this.id}/samples/${step}.png`);
    if (this.picture.src === src) return;
    const next = new Image();
    next.src = src;
    next.decode().then(() => {
      if (this.run.samples[Number(this.slider.value)] !== step) return;
      this.picture.src = src;
      this.picture.alt = `Samples after ${step} steps`;
    }, () => {});
  }
}
