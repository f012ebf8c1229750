// Under the model menu: a single file is converted once before its first picture. How long that takes, a button to do it now,
// and its progress.

import { workbenchOf, make } from "./workbench.js";
import { studio } from "./studio.js";
import { doing, percent, roughly } from "./units.js";

export function mount({ element, server }) {
  new Prepare(element, workbenchOf(element), server);
}

class Prepare {
  constructor(element, workbench, server) {
    this.server = server;
    this.model = null;
    this.seconds = new Map(); // model id -> what converting it takes; null where it needs none
    this.refused = "";
    this.memory = null;
    this.sentence = make("p", { class: "prepare-words", role: "status" });
    this.button = make("button", { type: "button", class: "browser-button", onclick: () => this.press() });
    this.bar = make("div", { class: "browser-progress", role: "progressbar", "aria-label": "Preparing the model", "aria-valuemin": 0, "aria-valuemax": 100 }, make("div"));
    this.body = element.querySelector(".prepare-body");
    this.body.append(this.sentence, this.button, this.bar);
    workbench.on("field", ({ name, value }) => name === "model" && this.choose(value));
    studio.on("memory", (memory) => this.follow(memory));
    this.choose(workbench.fields.get("model")?.get() ?? null);
  }

  async choose(model) {
    if (model === this.model) return;
    this.model = model;
    this.refused = "";
    this.render();
    await this.ask();
  }

  follow(memory) {
    this.memory = memory;
    this.render();
    this.ask();
  }

  /** Of each model once, and not before it is known whether it is converted already. */
  async ask() {
    const { model } = this;
    if (!model || !this.memory?.budget || this.seconds.has(model)) return;
    this.seconds.set(model, null);
    const answer = await this.server.needed(model).catch(() => ({ problem: "No connection" }));
    if (answer.problem) this.seconds.delete(model);
    else this.seconds.set(model, answer.seconds);
    this.render();
  }

  async press() {
    const action = this.busy ? "cancel_import" : "import";
    const { model } = this;
    this.refused = "";
    const answer = await this.server.manage({ action, model }).catch(() => ({ problem: "No connection" }));
    if (answer.problem && model === this.model) this.refused = answer.problem;
    this.render();
  }

  render() {
    const { model, memory } = this;
    const taken = memory?.imports.find((each) => each.model === model);
    const seconds = this.seconds.get(model) ?? null;
    this.busy = Boolean(taken) && !taken.problem;
    const problem = this.refused || taken?.problem || "";
    const needed = memory?.budget && seconds !== null && !memory.prepared.includes(model);
    this.body.hidden = !(this.busy || problem || needed);
    this.body.classList.toggle("is-alarm", Boolean(problem));
    const words = problem || (this.busy ? progress(taken) : `This file is converted once, before its first picture (${roughly(seconds ?? 0)}).`);
    if (this.sentence.textContent !== words) this.sentence.textContent = words;
    this.sentence.setAttribute("aria-live", this.busy ? "off" : "polite"); // the bar says how far it is
    const act = this.busy ? "Stop preparing" : problem ? "Prepare again" : "Prepare now";
    if (this.button.textContent !== act) this.button.textContent = act;
    const fraction = this.busy ? (taken.fraction ?? 0) : 0;
    this.bar.hidden = !this.busy;
    this.bar.setAttribute("aria-valuenow", Math.floor(100 * fraction));
    this.bar.firstChild.style.transform = `scaleX(${fraction})`;
  }
}

function progress({ what, fraction }) {
  if (fraction === null) return "Waiting to be prepared";
  return `Preparing${what ? `: ${doing(what)}` : ""} ${percent(fraction)}`;
}
