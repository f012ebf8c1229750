// Branches of a run: going on from the cursor's step with another prompt, CFG or noise, and the tree of films that come of it.

import { BranchRow } from "./visualizer_branch_row.js";
import { Card, live } from "./visualizer_math.js";
import { address, make } from "./workbench.js";

const WAIT = "A run can be branched when its picture is saved.";

/** Starts a branch of a picture; resolves to its job's id, rejects with a sentence. */
export async function branchFrom(image, changes) {
  const how = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(changes) };
  const answer = await fetch(address(`images/${image}/branch`), how);
  const { id, error } = await answer.json();
  if (!answer.ok) throw new Error(error ?? "The studio did not start the branch.");
  return id;
}

export class Branches {
  name = "branches";
  title = "Branches";
  unit = "step";

  constructor({ cursor, server, open }) {
    Object.assign(this, { cursor, server, open, rows: new Map(), job: null });
    this.prompt = make("textarea", { rows: 2, "aria-label": "Prompt of the branch" });
    this.cfg = make("input", { type: "number", min: 0, max: 50, step: 0.5, "aria-label": "CFG of the branch" });
    this.seed = make("input", { type: "number", min: 0, step: 1, placeholder: "as it was", "aria-label": "Noise from there" });
    this.start = make("button", { type: "submit", class: "train-start" });
    this.problem = make("p", { class: "train-problem", role: "alert" });
    this.noise = make("label", {}, "New noise (seed)", this.seed);
    this.form = make("form", { class: "vis-branch", onsubmit: (event) => (event.preventDefault(), this.branch()) },
      make("label", { class: "is-wide" }, "Prompt from there on", this.prompt), make("label", {}, "CFG", this.cfg), this.noise, this.start, this.problem);
    this.notice = make("p", { class: "vis-notice", role: "status" });
    this.tree = make("ol", { class: "vis-tree", "aria-label": "Branches" });
    this.root = make("div", { class: "vis-view" }, this.notice, this.form, this.tree);
  }

  async show(run, { anew }) {
    this.run = run;
    const able = run.ended && run.saved;
    this.form.hidden = !able;
    this.notice.textContent = able ? "" : WAIT;
    if (anew) {
      this.prompt.value = run.request.prompt;
      this.cfg.value = run.request.guidance_scale;
      this.seed.value = "";
      this.noise.hidden = !run.facts.stochastic;
      this.problem.textContent = "";
    }
    if (able && this.drawn !== run.saved.id) await this.refresh();
  }

  /** The whole family of the run in view: what it was branched from, and everything branched from that. */
  async refresh() {
    const id = (this.drawn = this.run.saved?.id ?? null);
    const { nodes = [], problem } = id ? await this.server.relatives(id) : {};
    if (this.drawn !== id) return;
    if (problem) this.problem.textContent = problem;
    for (const [job, row] of this.rows) if (!nodes.some((node) => node.job === job) && job !== this.job) (row.close(), this.rows.delete(job));
    for (const node of nodes) if (!this.rows.has(node.job)) this.add(node);
    this.tree.replaceChildren(...nodes.map(({ job }) => this.rows.get(job).root));
    const growing = this.rows.get(this.job);
    if (growing && !growing.root.isConnected) this.tree.append(growing.root);
    this.mark();
    this.draw();
  }

  add(node) {
    const row = new BranchRow(node, { seek: (step) => this.cursor.go(step), open: () => this.open({ job: node.job, image: node.index }), ended: () => this.ended(node) });
    this.rows.set(node.job, row);
    return row;
  }

  mark() {
    for (const [job, row] of this.rows) row.mark(job === this.run.job);
  }

  async branch() {
    const changes = { step: this.cursor.step, prompt: this.prompt.value, guidance_scale: Number(this.cfg.value) };
    if (this.seed.value !== "") changes.seed = Number(this.seed.value);
    this.problem.textContent = "";
    this.start.disabled = true;
    try {
      const id = (this.job = await branchFrom(this.run.saved.id, changes));
      const row = this.add({ job: id, index: 0, step: changes.step, depth: (this.rows.get(this.run.job)?.node.depth ?? 0) + 1, words: "Being made" });
      this.rows.get(this.run.job)?.root.after(row.root);
      row.root.scrollIntoView({ block: "nearest" });
    } catch (error) {
      this.problem.textContent = error.message;
    }
    this.start.disabled = false;
  }

  /** A branch has been made: it takes its place in the tree, with its words. */
  ended({ job }) {
    if (job !== this.job) return;
    this.job = null;
    const row = this.rows.get(job);
    if (row.run.feed.state !== "done") return void (this.problem.textContent = row.run.feed.message ?? "The branch was stopped.");
    row.close();
    this.rows.delete(job);
    this.refresh();
  }

  draw() {
    const { step } = this.cursor;
    const text = `Branch from step ${step + 1}`;
    if (this.start.textContent !== text) this.start.textContent = text;
    for (const row of this.rows.values()) row.at(step);
  }

  cards() {
    return [
      new Card({
        title: "The same run, another end",
        says: [
          ["The steps before ", live("step"), " are not computed again: what the model predicted there is played back into the sampler, so that its state is exactly what it was. The rest is new."],
          "A change early on moves what is where; the same change late only touches detail. Branch at several steps to see when each part of the picture is decided. A branch that changes nothing gives the same picture, bit for bit.",
        ],
      }),
    ];
  }

  values() {
    return { step: String(this.cursor.step + 1) };
  }
}
