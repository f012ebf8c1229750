// Live: renders again, with one seed, whenever a setting changes. While a slider moves, sketches (quick runs in few steps) follow
// it one after the other; when it rests, the full run is made with the settings as they are.
//
// One Live run is in work at a time, and the newest settings wait here until it can be replaced: a sketch when it has ended, a full
// run when something of it was seen. So every run that begins is seen, however fast a slider moves.

const TYPING_MS = 250; // a typed word waits for a pause
const SLIDING_MS = 30;
const REST_MS = 500; // a slider that is held and has not moved for so long rests
const RELEASED_MS = 60; // after it was released; a key that is held down moves it again within that time
const FILLING_MS = 400;
const FILLED_MS = 60;
const FILLING = new Set(["model", "preset"]); // these change other fields, so Live waits for them
const UNRENDERED = new Set(["live", "preset", "style-help"]);

export class Live {
  /** `send({ replaces, sketch })` sends the form as it is; `run()` is the run in view; `shownSeed()` is its picture's. */
  constructor(workbench, { send, run, shownSeed }) {
    Object.assign(this, { workbench, send, run, shownSeed });
    this.job = null; // the last Live run
    this.pending = false; // one was sent and is not in view yet
    this.wanted = null; // { sketch }, when the settings have changed since
    this.timer = null; // of the next request, which is due at `due`
    this.resting = null; // the timer of a slider that moves
    this.pinned = null; // the seed that was set when Live was turned on
    workbench.on("edit", (edit) => this.edit(edit));
    workbench.on("filled", () => this.timer !== null && this.due - performance.now() > FILLED_MS && this.request(FILLED_MS));
    workbench.on("submitting", () => this.pending || this.forget());
    workbench.root.addEventListener("change", ({ target }) => target.type === "range" && this.resting && this.rest(RELEASED_MS));
  }

  get on() {
    return Boolean(this.workbench.fields.get("live")?.get());
  }

  edit({ name, how }) {
    if (name === "live") return this.turn();
    if (!this.on || how === "pin" || UNRENDERED.has(name)) return undefined;
    if (name === "seed") this.pin();
    if (FILLING.has(name)) return this.request(FILLING_MS);
    if (how === "slide") return this.slide();
    return this.request(how === "typing" ? TYPING_MS : 0);
  }

  /** Live was turned on or off. */
  turn() {
    this.forget();
    this.pending = false;
    if (!this.on) return this.release();
    this.pin();
    return this.shownSeed() === null ? this.request(0) : undefined;
  }

  /** A slider moves: at a steady pace, while a typed word waits for a pause. */
  slide() {
    this.rest(REST_MS);
    if (this.timer === null) this.request(SLIDING_MS, true);
  }

  rest(delay) {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.request(0), delay);
  }

  request(delay, sketch = false) {
    clearTimeout(this.timer);
    if (!sketch) this.stopResting();
    this.due = performance.now() + delay;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.wanted = { sketch };
      this.proceed();
    }, delay);
  }

  stopResting() {
    clearTimeout(this.resting);
    this.resting = null;
  }

  /** Send what is wanted, if the run before it can be replaced. Called again whenever that one has changed. */
  proceed() {
    if (!this.wanted || this.pending || !this.on) return;
    const run = this.run();
    if (run && run.feed.id === this.job && !run.ended && !this.isReplaceable(run)) return;
    const { sketch } = this.wanted;
    this.wanted = null;
    this.pending = true;
    this.send({ replaces: this.job, sketch });
  }

  isReplaceable(run) {
    if (run.phase === "queued") return run.feed.ahead > 0; // it waits for another's; otherwise it is just about to begin
    if (run.isSketch && this.wanted.sketch) return false;
    return run.isSeen;
  }

  /** What was sent was answered: with this job, which is in view now, or with a refusal. */
  answered(job) {
    this.pending = false;
    this.job = job ?? this.job;
    this.proceed();
  }

  /** The settings are sent as they are, or Live is turned on or off: nothing that was to be sent is needed. */
  forget() {
    clearTimeout(this.timer);
    this.timer = null;
    this.wanted = null;
    this.stopResting();
  }

  pin() {
    const seed = this.workbench.fields.get("seed");
    if (!["-1", ""].includes(String(seed.get()).trim())) return;
    this.pinned = String(this.shownSeed() ?? crypto.getRandomValues(new Uint32Array(1))[0]);
    seed.set(this.pinned, "pin");
  }

  release() {
    const seed = this.workbench.fields.get("seed");
    if (this.pinned !== null && String(seed.get()) === this.pinned) seed.set("-1", "pin");
    this.pinned = null;
  }
}
