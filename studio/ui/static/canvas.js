// The canvas: follows one job, shows what it makes, and plays its steps back. One job is shown; others wait their turn.

import { isAnothers, make, onPage, whenDrawn, workbenchOf } from "./workbench.js";
import { Feed, cancel } from "./feed.js";
import { blame, forgive, wireForm } from "./form.js";
import { Frames } from "./frames.js";
import { Player } from "./player.js";
import { Stage } from "./stage.js";
import { studio } from "./studio.js";
import { duration, readout } from "./words.js";

const PHASES = { interrupted: "failed" };
const BURST_MS = 30; // events of quick steps arrive several at once, and only the last one's frames are there yet
const FRAME_MS = 16;
const LONGEST_BURST_MS = 300;
const LIVE_SHOWS_FROM = 0.4; // share of the steps after which a Live run replaces the image it started from

export function mount({ element, props, trigger, watch }) {
  const workbench = workbenchOf(element);
  const canvas = new Canvas(element.querySelector(".canvas-body"), props, workbench, () => trigger("submit"));
  watch("value", () => canvas.receive(props.value));
  wireForm(workbench, { submit: () => canvas.submit(), shownSeed: () => canvas.shownSeed() });
  canvas.start(props.value);
}

class Canvas {
  constructor(root, props, workbench, send) {
    Object.assign(this, { root, workbench, send, followsNewest: props.follows_newest });
    this.feed = null;
    this.frames = null;
    this.waiting = []; // jobs submitted here that follow the one shown
    this.running = []; // jobs that run anywhere
    this.image = 0;
    this.position = null; // a step that a person looks at; null follows the run
    this.live = false;
    this.phase = "idle";
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel(`unnoise-${workbench.name}`) : null;

    this.stage = new Stage(props.modes, {
      example: (prompt) => this.example(prompt),
      again: () => this.again(),
    });
    this.kinds = props.frames.map(({ name }) => name);
    this.player = new Player(workbench, props.frames, {
      seek: (step) => this.seek(step),
      kind: () => this.turned(),
      picked: (image) => this.choose(image),
    });
    this.status = make("div", { class: "only-read", role: "status", "aria-live": "polite" });
    root.append(this.stage.root, this.player.root, this.status);
    root.classList.add("canvas");
    root.dataset.testid = "canvas";
    root.setAttribute("role", "region");
    root.setAttribute("aria-label", "Canvas");
    const enterMode = () => this.stage.welcomeTo(workbench.mode ?? Object.keys(props.modes)[0]);
    workbench.on("mode", enterMode);
    enterMode();
    this.wire();
    this.render();
  }

  wire() {
    const { workbench } = this;
    whenDrawn(workbench, ".generate", (button) => button.addEventListener("click", () => this.announceRequest()));
    whenDrawn(workbench, ".stop", (button) => {
      button.addEventListener("click", () => this.stop());
      this.stopper = button;
      this.render();
    });
    workbench.on("edit", () => {
      if (!this.refusal) return;
      this.refusal = null; // what was refused is being put right
      this.render();
    });
    studio.on("queue", ({ newest, running }) => {
      this.running = running;
      this.newest = newest;
      this.converge();
      this.render();
    });
    onPage("answered", () => this.converge());
    this.channel?.addEventListener("message", ({ data }) => this.isIdle() && this.show(data.job, { quiet: true }));
    setInterval(() => this.feed && !this.feed.ended && this.tick(), 100);
  }

  /** A page that was reloaded shows its job again; a new one shows the studio's newest. */
  async start(message) {
    const remembered = this.workbench.recall("job");
    if (remembered && (await this.show(remembered, { quiet: true }))) return;
    this.lost = true;
    this.receive(message);
  }

  /** What the server sent for this canvas. */
  receive(message) {
    if (!message?.kind) return;
    const handlers = {
      show: () => this.submitted(message),
      pick: () => this.pick(message),
      refuse: () => this.refused(message),
      newest: () => this.lost && this.followsNewest && message.job && this.show(message.job, { quiet: true }),
    };
    handlers[message.kind]();
  }

  // --- requests --------------------------------------------------------------------------------------------------

  submit() {
    this.announceRequest();
    this.send();
  }

  /** A request is about to be sent. */
  announceRequest() {
    this.lost = false;
    forgive(this.workbench);
    this.workbench.submit();
    this.refusal = null;
    this.requested = true;
    this.render();
  }

  submitted({ job, live }) {
    this.requested = false;
    this.seen = job;
    this.workbench.answered(job);
    this.channel?.postMessage({ job });
    if (this.feed && !this.feed.ended && !live) {
      this.waiting.push(job);
      return this.render();
    }
    return this.show(job, { live });
  }

  refused({ message, field }) {
    this.requested = false;
    this.workbench.answered();
    this.refusal = message;
    if (field) blame(this.workbench, field, message);
    this.speak(message);
    this.render();
  }

  stop() {
    const job = this.stoppable();
    if (job) cancel(job);
  }

  /** The job that Stop ends: the one in view, else one of this page's own that runs out of view; never another page's. */
  stoppable() {
    if (this.feed && !this.feed.ended) return this.feed.id;
    return this.running.find((job) => this.workbench.jobs.has(job)) ?? null;
  }

  example(prompt) {
    const area = this.workbench.root.querySelector(".field.is-prompt textarea");
    area.value = prompt;
    area.dispatchEvent(new Event("input", { bubbles: true }));
    // The form takes the new words in this turn of the event loop; the request is sent in the next.
    setTimeout(() => this.workbench.root.querySelector(".generate")?.click());
  }

  async again() {
    const answer = await fetch(new URL("jobs", document.baseURI), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(this.feed.request),
    });
    const { id, error, field } = await answer.json();
    if (answer.ok) this.submitted({ job: id, live: false });
    else this.refused({ message: error, field });
  }

  /** A person chose an earlier image; other requests go on, but are not shown. */
  pick({ job, image }) {
    this.waiting = [];
    this.show(job, { image });
  }

  // --- jobs -----------------------------------------------------------------------------------------------------

  /** Show a job; false if the studio does not know it. */
  async show(id, { image = null, live = false, quiet = false } = {}) {
    if (this.feed?.id === id) {
      if (image !== null) this.choose(image);
      return true;
    }
    const turn = (this.turn = Symbol(id));
    this.lost = false;
    const feed = new Feed(id, (event) => {
      if (event.kind === "known" && this.turn === turn) this.adopt(feed, { image, live, quiet });
      this.changed(feed, event);
    });
    const known = await feed.open().catch(() => false);
    if (!known && this.turn === turn) this.lost = true;
    return known;
  }

  adopt(feed, { image, live, quiet }) {
    this.feed?.close();
    this.frames?.close();
    Object.assign(this, { feed, live, quiet, image: image ?? 0, position: null, refusal: null, requested: false });
    this.chosen = image !== null; // a person asked for this very image, so a run that moves on leaves it in view
    this.frames = new Frames(feed.id, () => this.render());
    this.player.stop();
    this.workbench.remember("job", feed.id);
  }

  changed(feed, event) {
    if (feed !== this.feed) return feed.close();
    if (event.kind === "step") this.stepped(event);
    if (event.kind === "image") this.workbench.emit("made", event);
    this.announce(event);
    if (feed.ended) this.finish();
    if (event.kind === "step") this.renderSoon();
    else this.render();
    return undefined;
  }

  /** The steps of a run that has ended arrive all at once. */
  renderSoon() {
    this.due ??= setTimeout(() => this.render(), FRAME_MS);
  }

  finish() {
    this.live = false;
    if (this.feed.field) blame(this.workbench, this.feed.field, this.feed.message);
    this.gatherAll();
    const next = this.waiting.shift();
    if (next) this.show(next);
  }

  /** An idle canvas shows a job that was submitted elsewhere; one that a person works with stays as it is. */
  converge() {
    const { newest } = this;
    if (!this.followsNewest || newest === undefined || isAnothers(this.workbench, newest)) return;
    const before = this.seen;
    this.seen = newest;
    if (!newest || newest === before || before === undefined) return;
    if (this.isIdle()) this.show(newest, { quiet: true });
  }

  isIdle() {
    return !this.requested && !this.waiting.length && (!this.feed || this.feed.ended) && this.position === null;
  }

  // --- steps ----------------------------------------------------------------------------------------------------

  /** While it runs only the newest step's picture is asked for; the rest come when it has ended and all are there. */
  stepped({ images }) {
    if (!images.includes(this.image) && !this.chosen && this.position === null) [this.image] = images;
    const now = performance.now();
    this.burst ??= now;
    clearTimeout(this.soon);
    this.soon = setTimeout(() => {
      this.burst = null;
      if (this.feed && !this.feed.ended) this.gather(this.image, this.steps().length - 1);
    }, Math.min(BURST_MS, this.burst + LONGEST_BURST_MS - now));
  }

  gather(image, step, kind = this.player.kind) {
    if (this.feed.steps.get(image)?.[step]?.frames.includes(kind)) this.frames.want(image, step, kind);
  }

  /** Everything that can be scrubbed to: this kind of frame, then the others. */
  gatherAll() {
    const { kind } = this.player;
    for (const each of [kind, ...this.kinds.filter((other) => other !== kind)]) {
      const steps = [...this.steps().keys()].filter((step) => this.steps()[step]?.frames.includes(each));
      this.frames.wantAll(this.image, steps, each);
    }
  }

  choose(image) {
    this.image = image;
    this.chosen = true;
    this.position = null;
    if (this.feed?.ended || this.feed?.images.has(image)) this.gatherAll();
    else if (this.feed) this.gather(image, this.steps().length - 1);
    this.render();
  }

  /** Another kind of frame is to be shown. */
  turned() {
    if (this.feed && !this.feed.ended) this.gather(this.image, this.position ?? this.steps().length - 1);
    this.render();
  }

  seek(step) {
    const last = this.steps().length - 1;
    this.position = this.feed?.ended || step < last ? Math.max(0, Math.min(step, last)) : null;
    if (this.position !== null && !this.feed.ended) this.gather(this.image, this.position);
    this.render();
  }

  steps() {
    return this.feed?.steps.get(this.image) ?? [];
  }

  shownSeed() {
    return this.feed?.images.get(this.image)?.seed ?? null;
  }

  // --- showing --------------------------------------------------------------------------------------------------

  render() {
    clearTimeout(this.due);
    this.due = undefined;
    this.phase = this.refusal ? "failed" : this.requested && (!this.feed || this.feed.ended) ? "queued" : this.feedPhase();
    const steps = this.steps();
    const last = steps.length - 1;
    const step = this.position ?? last;
    this.root.dataset.phase = this.phase;
    this.root.dataset.job = this.feed?.id ?? "";
    this.root.dataset.step = String(step + 1);
    this.root.dataset.frames = this.frames?.settled ? "ready" : "loading";
    this.stopper?.setAttribute("aria-disabled", String(!this.stoppable()));
    const saved = this.feed?.images.get(this.image);
    const final = saved && step === last && this.player.kind === this.kinds[0] ? saved : null;
    const frame = final ? null : this.nearest(step);
    if (this.frame !== (final?.id ?? frame)) {
      this.frame = final?.id ?? frame;
      this.workbench.emit("shown", { seed: saved?.seed ?? null, id: saved?.id ?? null });
    }
    this.stage.render({
      phase: this.phase,
      feed: this.feed,
      request: this.feed?.request,
      final,
      frame,
      message: this.refusal ?? this.feed?.message,
      retry: !this.refusal && ["failed", "interrupted"].includes(this.feed?.state),
      step,
      waiting: this.waiting.length,
    });
    this.player.render({ feed: this.feed, frames: this.frames, image: this.image, steps, step, saved });
    this.tick();
  }

  feedPhase() {
    if (!this.feed) return "idle";
    return PHASES[this.feed.state] ?? this.feed.state;
  }

  /** The frame of this step, or the last one before it that has arrived. */
  nearest(step) {
    if (!this.feed) return null;
    if (this.live && !this.feed.ended && (step + 1) / this.feed.total < LIVE_SHOWS_FROM) return null;
    return this.frames.near(this.image, step, this.player.kind) ?? null;
  }

  tick() {
    const step = this.steps()[this.position ?? this.steps().length - 1];
    this.player.read(readout(this.feed, step, this.position !== null, this.phase));
  }

  announce(event) {
    if (this.quiet && event.kind !== "failed") return;
    if (event.kind === "queued") this.speak("Queued.");
    if (event.kind === "step" && event.index === 0) this.speak(`Started: ${event.total} steps.`);
    if (event.kind === "done") this.speak(`Done in ${duration(event.seconds)}.`);
    if (event.kind === "cancelled") this.speak("Stopped.");
    if (event.kind === "failed" || event.kind === "interrupted") this.speak(event.message);
  }

  speak(sentence) {
    this.status.textContent = sentence;
  }
}
