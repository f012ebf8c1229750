// The canvas: follows one job, shows what it makes, and plays its steps back. One job is shown; others wait their turn.

import { currentWorkbench, isAnothers, make, onPage, whenDrawn, workbenchOf } from "./workbench.js";
import { Candidates } from "./candidates.js";
import { Announcer } from "./announcer.js";
import { Feed, isSketch } from "./feed.js";
import { blame, wireForm } from "./form.js";
import { Live } from "./live.js";
import { Painter } from "./painter.js";
import { playByKeys } from "./play_keys.js";
import { PictureActions } from "./picture_actions.js";
import { Player } from "./player.js";
import { Requests } from "./requests.js";
import { Run } from "./run.js";
import { Stage } from "./stage.js";
import { studio } from "./studio.js";
import { Tools } from "./tools.js";
import { readout } from "./words.js";

const FRAME_MS = 16;

export function mount({ element, props, trigger, watch }) {
  const workbench = workbenchOf(element);
  const canvas = new Canvas(element.querySelector(".canvas-body"), props, workbench, (how) => trigger("submit", how));
  watch("value", () => canvas.receive(props.value));
  wireForm(workbench);
  canvas.start(props.value);
}

class Canvas {
  constructor(root, props, workbench, send) {
    Object.assign(this, { root, workbench, followsNewest: props.follows_newest });
    this.run = null; // the one in view
    this.kinds = props.frames.map(({ name }) => name);
    this.announcer = new Announcer(workbench, () => this.lastOwn());
    this.requests = new Requests(workbench, {
      send,
      run: () => this.run,
      show: (job, how) => this.show(job, how),
      speak: (sentence) => this.announcer.speak(sentence),
      changed: () => this.render(),
    });
    this.live = new Live(workbench, {
      send: (how) => this.requests.submitLive(how),
      run: () => this.run,
      shownSeed: () => this.run?.saved?.seed ?? null,
    });
    this.stage = new Stage(props.modes, {
      example: (prompt) => this.requests.example(prompt),
      again: () => this.requests.again(),
      resume: () => this.requests.resume(),
      discard: () => this.discard(),
      picked: (image) => this.change((run) => run.choose(image)),
      zoomed: () => this.tools?.render(this.run),
      candidates: new Candidates(workbench, () => this.actions),
    });
    this.actions = new PictureActions(workbench, { root, stage: this.stage, run: () => this.run, changed: () => this.render() });
    this.tools = new Tools(workbench, {
      zoom: this.stage.zoom,
      actions: this.actions,
      toggleGrid: () => this.change((run) => (run.grid = !run.grid)),
    });
    this.player = new Player(workbench, props.frames, props.first_frame, {
      seek: (step) => this.change((run) => run.seek(step)),
      kind: () => this.change((run) => run.turned()),
      picked: (image) => this.change((run) => run.choose(image)),
    });
    this.painter = new Painter(workbench);
    root.append(this.stage.root, this.tools.root, this.actions.panel.root, this.player.root, this.announcer.root, this.painter.root);
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
    const { workbench, requests } = this;
    whenDrawn(workbench, ".generate", (button) => button.addEventListener("click", () => requests.announce()));
    whenDrawn(workbench, ".stop", (button) => {
      button.addEventListener("click", () => requests.stop());
      this.stopper = button;
      this.render();
    });
    studio.on("queue", ({ newest, running }) => {
      requests.running = running;
      this.newest = newest;
      this.converge();
      this.render();
    });
    onPage("answered", () => this.converge());
    requests.onOthers((job) => this.isIdle() && this.show(job, { quiet: true }));
    playByKeys(() => currentWorkbench() === workbench, this.player);
    setInterval(() => this.run && !this.run.ended && this.tick(), 100);
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
      show: () => this.accepted(message),
      pick: () => this.pick(message),
      refuse: () => (this.requests.refused(message), this.live.answered(null)),
      newest: () => this.lost && this.isIdle() && this.followsNewest && message.job && this.show(message.job, { quiet: true }),
    };
    handlers[message.kind]();
  }

  async accepted(message) {
    await this.requests.submitted(message);
    if (message.live) this.live.answered(message.job);
  }

  /** A person chose an earlier image; other requests go on, but are not shown. */
  pick({ job, image }) {
    this.requests.waiting = [];
    this.painter.close();
    this.show(job, { image });
  }

  /** Show a job; false if the studio does not know it. */
  async show(id, { image = null, live = false, quiet = false } = {}) {
    if (this.run?.feed.id === id) {
      if (image !== null) this.change((run) => run.choose(image));
      return true;
    }
    const turn = (this.turn = Symbol(id));
    this.lost = false;
    const feed = new Feed(id, (event) => {
      if (event.kind === "known" && this.turn === turn) this.adopt(feed, { image, live, quiet: quiet || isSketch(id) });
      this.changed(feed, event);
    });
    const known = await feed.open().catch(() => false);
    if (!known && this.turn === turn) this.lost = true;
    return known;
  }

  adopt(feed, how) {
    this.run?.close();
    this.run = new Run(feed, { ...how, kinds: this.kinds, chosen: () => this.player.kind, arrived: () => this.render() });
    Object.assign(this.requests, { refusal: null, pending: false });
    this.player.stop();
    this.actions.compare.close();
    if (!this.run.isSketch) this.workbench.remember("job", feed.id);
  }

  changed(feed, event) {
    if (feed !== this.run?.feed) return feed.close();
    if (event.kind === "step") this.run.stepped(event);
    if (event.kind === "image") this.workbench.emit("made", event);
    this.announcer.hear(event, this.run);
    if (feed.ended) this.finish();
    if (event.kind === "step") this.renderSoon();
    else this.render();
    return undefined;
  }

  finish() {
    const { feed } = this.run;
    if (feed.field) blame(this.workbench, feed.field, feed.message);
    this.run.live = false;
    this.run.gatherAll();
    const next = this.requests.waiting.shift();
    if (next) this.show(next);
  }

  /** A stopped run is taken out of Recent and out of view. */
  async discard() {
    const { run } = this;
    await this.requests.discard(run.feed.id);
    this.workbench.emit("kept");
    if (this.run !== run) return;
    run.close();
    this.run = null;
    this.workbench.remember("job", null);
    this.render();
  }

  /** An idle canvas shows a job that was submitted elsewhere; one that a person works with stays as it is. */
  converge() {
    const { newest, requests } = this;
    if (!this.followsNewest || newest === undefined || isAnothers(this.workbench, newest)) return;
    const before = requests.newest;
    requests.newest = newest;
    if (!newest || newest === before || before === undefined) return;
    if (this.isIdle()) this.show(newest, { quiet: true });
  }

  isIdle() {
    const { run, requests } = this;
    return !requests.pending && !requests.waiting.length && (!run || (run.ended && run.position === null));
  }

  /** The last job of this page that has not ended. */
  lastOwn() {
    const { run, requests, workbench } = this;
    return requests.waiting.at(-1) ?? (run && !run.ended && !run.isSketch && workbench.jobs.has(run.feed.id) ? run.feed.id : null);
  }

  /** What a person does with the run in view. */
  change(act) {
    if (this.run) act(this.run);
    this.render();
  }

  /** The steps of a run that has ended arrive all at once. */
  renderSoon() {
    this.due ??= setTimeout(() => this.render(), FRAME_MS);
  }

  get phase() {
    const { run, requests } = this;
    if (requests.refusal) return "failed";
    if (requests.pending && !this.live.pending && (!run || run.ended)) return "queued";
    return run?.phase ?? "idle";
  }

  render() {
    clearTimeout(this.due);
    this.due = undefined;
    const { run, phase, requests } = this;
    this.root.dataset.phase = phase;
    this.root.dataset.job = run?.feed.id ?? "";
    this.root.dataset.step = String((run?.step ?? -1) + 1);
    this.root.dataset.frames = run?.frames.settled ? "ready" : "loading";
    this.stopper?.setAttribute("aria-disabled", String(!requests.stoppable() && !requests.inView()));
    const final = run?.grid ? undefined : run?.final;
    const frame = final || run?.grid ? null : (run?.frame ?? null);
    const stopped = phase === "cancelled" && !final ? `stopped-${run.feed.id}` : null;
    if (this.pictured !== (final?.id ?? stopped ?? frame)) {
      this.pictured = final?.id ?? stopped ?? frame;
      this.workbench.emit("shown", { seed: run?.saved?.seed ?? null, id: run?.savedAt(run.image)?.id ?? null, stopped });
    }
    this.stage.render({ run, phase, final, frame, refusal: requests.refusal, waiting: requests.waiting.length, quiet: this.live.pending || run?.isQuiet });
    this.player.render(run?.isSketch ? null : run);
    this.tools.render(run);
    this.actions.recipe.show(this.actions.image?.id ?? null);
    this.tick();
    this.live.proceed();
  }

  /** Of a sketch that has no step yet nothing is said: the words under the picture would only flicker. */
  tick() {
    const { run } = this;
    if (run?.isSketch && !run.steps.length) return;
    this.player.read(readout(run?.feed, run?.steps[run.step], run && run.position !== null, this.phase));
  }
}
