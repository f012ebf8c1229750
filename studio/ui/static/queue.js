// The queue: its state in the bar, which opens a drawer with every job that runs or waits, and cancels them.

import { address, currentWorkbench, isOwn, make, onPage } from "./workbench.js";
import { cancel } from "./feed.js";
import { ask } from "./ask.js";
import { studio } from "./studio.js";
import { roughly } from "./units.js";
import { loading } from "./words.js";

const EMPTY = { waiting: 0, running: [], jobs: [] };
const paces = new Map(); // model -> seconds that it took for a step of one pixel, as last seen

class Queue {
  constructor() {
    this.view = EMPTY;
    this.rows = new Map(); // job -> Row
    this.button = make("button", { type: "button", class: "bar-queue", title: "Show the queue" });
    this.note = make("p", { class: "queue-note", role: "status", hidden: true });
    this.list = make("ol", { class: "queue-jobs", "aria-label": "Jobs" });
    this.rest = make("p", { class: "queue-rest" });
    this.training = make("p", { class: "queue-rest queue-training" });
    this.close = make("button", { type: "button", class: "browser-button", text: "Close", onclick: () => this.drawer.hidePopover() });
    this.waiting = make("button", { type: "button", class: "browser-button", text: "Cancel waiting", onclick: () => cancelAll(false) });
    this.all = make("button", { type: "button", class: "browser-button", text: "Cancel all", onclick: () => cancelAll(true) });
    const heading = make("h2", { id: "queue-title", text: "Queue" });
    this.drawer = make(
      "div",
      { class: "queue", popover: "auto", role: "dialog", "aria-labelledby": heading.id },
      make("header", {}, heading, this.close),
      this.note,
      this.list,
      this.rest,
      this.training,
      make("div", { class: "queue-actions" }, this.waiting, this.all),
    );
    this.button.popoverTargetElement = this.drawer;
    this.drawer.addEventListener("toggle", ({ newState }) => {
      if (newState === "open") {
        this.draw();
        this.lookForTraining();
      } else this.note.hidden = true;
    });
    studio.on("queue", (view) => this.take(view));
    onPage("answered", () => this.drawIfOpen()); // whose a job is, is known from then on
    studio.on("lost", () => this.say("No connection", false));
  }

  /** Open the drawer at a job, with a sentence that says why. */
  open(sentence, job) {
    this.note.textContent = sentence;
    this.note.hidden = false;
    this.drawer.showPopover();
    this.draw();
    this.rows.get(job)?.button.focus();
  }

  take(view) {
    const { waiting, running } = view;
    const turned = this.view.running.length > 0 !== running.length > 0;
    this.view = view;
    const busy = running.length + waiting > 0;
    this.say(running.length ? (waiting ? `Running, ${waiting} waiting` : "Running") : waiting ? `${waiting} waiting` : "Ready", busy);
    learnPaces(view.jobs);
    this.drawIfOpen();
    if (turned && this.drawer.matches(":popover-open")) this.lookForTraining();
  }

  /** Training runs share the machine with pictures, and wait for them. */
  async lookForTraining() {
    const runs = await ask("runs").catch(() => []);
    const running = runs.filter(({ state }) => state === "running");
    const link = ({ id, title }) => make("a", { href: "#train", text: title, onclick: () => localStorage.setItem("unnoise-train-run", id) });
    const names = running.flatMap((run, place) => [place ? ", " : "", link(run)]);
    const waits = running.some((run) => run.waits) ? "; it waits until these pictures are made." : ".";
    this.training.replaceChildren(...(names.length ? ["In training: ", ...names, waits] : []));
  }

  drawIfOpen() {
    if (this.drawer.matches(":popover-open")) this.draw();
  }

  say(words, busy) {
    this.button.textContent = words;
    this.button.dataset.busy = String(busy);
  }

  draw() {
    const { jobs, waiting, running } = this.view;
    const left = timesLeft(jobs);
    this.forget(new Set(jobs.map(({ id }) => id)));
    jobs.forEach((job, place) => {
      if (!this.rows.has(job.id)) this.rows.set(job.id, new Row(job));
      const row = this.rows.get(job.id);
      row.draw(job, place, left.get(job.id));
      if (this.list.children[place] !== row.root) this.list.insertBefore(row.root, this.list.children[place] ?? null);
    });
    const more = waiting + running.length - jobs.length;
    this.rest.textContent = !jobs.length ? "Nothing runs, and nothing waits." : more > 0 ? `and ${more} more` : "";
    this.waiting.disabled = waiting === 0;
    this.all.disabled = waiting + running.length === 0;
  }

  /** Jobs that have ended leave; whoever had one of their buttons in focus goes on at the next. */
  forget(jobs) {
    for (const [id, { root }] of this.rows) {
      if (jobs.has(id)) continue;
      const focused = root.contains(document.activeElement);
      const place = [...this.list.children].indexOf(root);
      root.remove();
      this.rows.delete(id);
      if (focused) (this.list.children[place]?.querySelector("button") ?? this.close).focus();
    }
  }
}

class Row {
  constructor({ id, prompt }) {
    this.prompt = make("p", { class: "queue-prompt", dir: "auto", text: prompt || "No prompt", title: prompt });
    this.state = make("p", { class: "queue-state" });
    this.bar = make("div", { class: "queue-bar" }, make("div"));
    this.button = make("button", { type: "button", class: "browser-button", text: "Cancel", "aria-label": `Cancel ${prompt || "the job without a prompt"}`, onclick: () => this.cancel(id) });
    this.root = make("li", { class: "queue-job", "data-job": id }, make("div", {}, this.prompt, this.state, this.bar), this.button);
  }

  /** The button keeps the focus meanwhile, as one that is disabled would not. */
  async cancel(id) {
    if (this.button.ariaDisabled === "true") return;
    this.wait(true);
    const answer = await cancel(id).catch(() => null);
    if (!answer?.ok) this.wait(false);
  }

  wait(cancelling) {
    this.button.ariaDisabled = String(cancelling);
    this.button.textContent = cancelling ? "Cancelling…" : "Cancel";
  }

  draw(job, place, left) {
    const running = job.state === "running";
    const time = left === null ? [] : [running ? `${roughly(left)} left` : `ready in ${roughly(left)}`];
    const where = isOwn(job.id) || isRace(job) ? [] : ["from elsewhere"];
    this.state.textContent = [title(job.model), running ? progress(job) : place ? `${place} ahead` : "Next", ...time, ...where].join(" · ");
    this.root.dataset.state = job.state;
    this.bar.firstChild.style.transform = `scaleX(${running ? share(job) : 0})`;
  }
}

function cancelAll(running) {
  return fetch(address(`jobs/cancel?running=${running}`), { method: "POST" });
}

/** The model's name as the form's menu has it. */
function title(model) {
  const offered = currentWorkbench()?.root.querySelector(`.is-model option[value="${CSS.escape(model)}"]`);
  return offered?.textContent.replace(" (default)", "") ?? model.split("/").at(-1);
}

/** A sampler race, whose steps are evaluations of all its runs. */
function isRace({ id }) {
  return id.startsWith("race-");
}

function progress(job) {
  const { latest, count } = job;
  if (!latest) return "Starting";
  if (latest.kind === "loading") return loading(latest);
  if (isRace(job)) return `Sampler race, evaluation ${latest.index + 1} of ${latest.total}`;
  const step = `Step ${latest.index + 1} of ${latest.total}`;
  return count > 1 ? `Image ${latest.images[0] + 1} of ${count}, ${step.toLowerCase()}` : step;
}

/** Share of a job that is done. */
function share({ latest, count }) {
  if (latest?.kind !== "step") return 0;
  return Math.min(1, (latest.images[0] + (latest.images.length * (latest.index + 1)) / latest.total) / count);
}

function work({ steps, count, pixels }) {
  return steps * count * pixels;
}

function learnPaces(jobs) {
  for (const job of jobs.filter((each) => !isRace(each))) {
    const left = work(job) * (1 - share(job));
    if (job.latest?.remaining && left > 0) paces.set(job.model, job.latest.remaining / left);
  }
}

/** Job -> seconds until it is done, null where a model's pace has not been seen yet. */
function timesLeft(jobs) {
  let total = 0;
  const times = new Map();
  for (const job of jobs) {
    const pace = isRace(job) ? undefined : paces.get(job.model);
    const left = job.latest?.remaining ?? (pace && work(job) ? work(job) * pace : null);
    total = total === null || left === null ? null : total + left;
    times.set(job.id, total);
  }
  return times;
}

export const queue = new Queue();
