// Records the attention of the run in view: the run is made again, step by step the same, and its trace gains the maps.

import { Feed } from "./feed.js";
import { figure } from "./words.js";
import { address, make } from "./workbench.js";

const OTHER = "This time the run made another picture, so it is kept as a new one: something differs from when the first was made.";

export class Record {
  /** `recorded(id)`: the trace of that picture has its attention now; `keep(place)`: the run in view is to stay; `open(place)`. */
  constructor({ recorded, keep, open }) {
    Object.assign(this, { recorded, keep, open, feed: null });
    this.cost = make("p", { class: "vis-note" });
    this.heads = make("input", { type: "checkbox" });
    this.start = make("button", { type: "submit", class: "train-start", text: "Record attention" });
    this.progress = make("p", { class: "vis-note", role: "status" });
    this.problem = make("p", { class: "train-problem", role: "alert" });
    this.choice = make("label", { class: "vis-choice" }, this.heads, "each head by itself");
    this.root = make("form", { class: "vis-record", onsubmit: (event) => (event.preventDefault(), this.record()) }, this.cost, make("div", { class: "vis-controls" }, this.start, this.choice, this.progress), this.problem);
  }

  /** `has`: "nothing", or "means" where only the means of the heads are recorded, or "heads". */
  show(run, has) {
    if (this.run?.saved?.id !== run.saved?.id) this.say("");
    Object.assign(this, { run, has });
    const able = run.ended && run.saved;
    this.root.hidden = !able || has === "heads";
    this.heads.checked = has === "means" || this.heads.checked;
    this.choice.hidden = has === "means";
    const took = run.steps.reduce((sum, step) => sum + (step?.seconds ?? 0), 0);
    const time = took ? `, which took ${figure(took)} s,` : "";
    this.cost.textContent =
      has === "means"
        ? "The heads of each layer were averaged. To see each by itself the run is made again, and the maps take as many times the space as a layer has heads."
        : `Attention is recorded only when you ask for it. The run${time} is made again, bit for bit the same picture and up to a third slower; its trace grows by 1 kB for each word, layer and step. Each head by itself takes that for every head.`;
    this.start.textContent = has === "means" ? "Record each head" : "Record attention";
  }

  async record() {
    const { run } = this;
    this.say("");
    this.keep({ job: run.job, image: run.image });
    this.start.disabled = true;
    try {
      const how = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ heads: this.heads.checked }) };
      const answer = await fetch(address(`images/${run.saved.id}/attention`), how);
      const { id, error } = await answer.json();
      if (!answer.ok) throw new Error(error ?? "The studio did not start the run.");
      this.feed?.close();
      this.feed = new Feed(id, () => this.hear(run));
      await this.feed.open();
    } catch (error) {
      this.start.disabled = false;
      this.problem.textContent = error.message;
    }
  }

  hear(run) {
    const { feed } = this;
    if (!feed) return;
    const made = feed.steps.get(0)?.length ?? 0;
    this.progress.textContent = feed.ended ? "" : made ? `Step ${made} of ${feed.total}` : (feed.loading?.what ?? "Waiting");
    if (!feed.ended) return;
    this.feed = null;
    this.start.disabled = false;
    const image = feed.images.get(0);
    if (feed.state !== "done" || !image) this.problem.textContent = feed.message ?? "The run was stopped.";
    else if (image.id === run.saved.id) this.recorded(image.id);
    else {
      this.problem.textContent = OTHER;
      this.open({ job: feed.id, image: 0 });
    }
  }

  say(sentence) {
    this.problem.textContent = sentence;
    this.progress.textContent = "";
  }
}
