// What was requested at one canvas: what was sent, what was refused, which jobs follow the one in view, and what Stop ends.

import { cancel, isSketch } from "./feed.js";
import { blame, forgive } from "./form.js";
import { queue } from "./queue.js";
import { address } from "./workbench.js";

export class Requests {
  /** `run()`: the run in view; `show(job, how)`: bring another one into view; `changed()`: draw the canvas anew. */
  constructor(workbench, { send, run, show, speak, changed }) {
    Object.assign(this, { workbench, send, run, show, speak, changed });
    this.pending = false; // one was sent and has not been answered yet
    this.refusal = null;
    this.waiting = []; // jobs submitted here that follow the one in view
    this.running = []; // jobs that run anywhere
    this.newest = undefined; // the last job submitted here that is known
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel(`unnoise-${workbench.name}`) : null;
    workbench.on("edit", () => {
      if (!this.refusal) return;
      this.refusal = null; // what was refused is being put right
      changed();
    });
  }

  /** `listener` gets each job that another page of this browser submits. */
  onOthers(listener) {
    this.channel?.addEventListener("message", ({ data }) => listener(data.job));
  }

  /** A Live run: `how` says which run it takes the place of, and whether it is a sketch. */
  submitLive(how) {
    this.announce();
    this.send(how);
  }

  /** A request is about to be sent. */
  announce() {
    forgive(this.workbench);
    this.workbench.submit();
    this.refusal = null;
    this.pending = true;
    this.changed();
  }

  submitted({ job, live }) {
    this.pending = false;
    this.workbench.answered(job);
    if (!isSketch(job)) {
      this.newest = job;
      this.channel?.postMessage({ job });
    }
    const run = this.run();
    if (!run || run.ended || live) return this.show(job, { live });
    this.waiting.push(job);
    return this.changed();
  }

  refused({ message, field }) {
    this.pending = false;
    this.workbench.answered();
    this.refusal = message;
    if (field) blame(this.workbench, field, message);
    this.speak(message);
    this.changed();
  }

  example(prompt) {
    const { root } = this.workbench;
    const area = root.querySelector(".field.is-prompt textarea");
    area.value = prompt;
    area.dispatchEvent(new Event("input", { bubbles: true }));
    // The form takes the new words in this turn of the event loop; the request is sent in the next.
    setTimeout(() => root.querySelector(".generate")?.click());
  }

  /** The request of the run in view once more, as it was. */
  again() {
    return this.post("jobs", { headers: { "content-type": "application/json" }, body: JSON.stringify(this.run().feed.request) });
  }

  /** What the stopped run in view did not come to. */
  resume() {
    return this.post(`jobs/${encodeURIComponent(this.run().feed.id)}/resume`);
  }

  discard(job) {
    return fetch(address(`jobs/${encodeURIComponent(job)}/discard`), { method: "POST" });
  }

  async post(path, content = {}) {
    const answer = await fetch(address(path), { method: "POST", ...content });
    const { id, error, field } = await answer.json();
    if (answer.ok) this.submitted({ job: id, live: false });
    else this.refused({ message: error, field });
  }

  stop() {
    const job = this.stoppable();
    if (job) cancel(job);
    else if (this.inView()) queue.open("This run was started elsewhere, so Stop leaves it alone. You can cancel it here.", this.inView());
  }

  /** The job that Stop ends: the one in view, else one that runs out of view; never one that was not submitted here. */
  stoppable() {
    return [this.inView(), ...this.running].find((job) => job && this.workbench.jobs.has(job)) ?? null;
  }

  /** The job in view that has not ended. */
  inView() {
    const run = this.run();
    return run && !run.ended ? run.feed.id : null;
  }
}
