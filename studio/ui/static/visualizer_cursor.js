// The one time cursor of the Visualizer: a step of the run in view, and the time that step stands at. Views subscribe to it.
//
// Time runs from 0 (clean) to 1 (noise). Where no run is open, or a view moves between steps, the time is all there is.

const STEP_MS = 140;
const LONGEST_MS = 9000; // a run of many steps is played in strides, so that it is over in this time
const NOISING_MS = 6000; // all of time, in views that move between steps

export class Cursor {
  constructor() {
    Object.assign(this, { step: 0, time: 1, levels: [], unit: "step", playing: false, loops: false, follows: true });
    this.listeners = new Set();
    this.due = null;
  }

  get last() {
    return this.levels.length - 1;
  }

  /** What `Space` and the arrows ask for. */
  get playable() {
    return this.unit === "time" || this.last > 0;
  }

  /** The level of the step, or undefined where there is no run. */
  get level() {
    return this.levels[this.step];
  }

  on(listener) {
    this.listeners.add(listener);
  }

  /** The levels of a run, one a step. A cursor at the end follows a run that goes on. */
  load(levels, { anew = false } = {}) {
    this.levels = levels;
    if (anew) this.follows = true;
    if (this.follows && !this.playing) this.step = Math.max(0, this.last);
    this.step = Math.max(0, Math.min(this.step, this.last));
    if (this.unit === "step") this.time = this.level?.time ?? this.time;
    this.changed();
  }

  /** A person looks at this step. */
  go(step) {
    this.stop();
    this.put(step);
  }

  /** A person looks at this time; the step is the one nearest to it. */
  goTime(time) {
    this.stop();
    this.putTime(time);
  }

  walk(by) {
    if (this.unit === "time") this.goTime(this.time - by / 100);
    else this.go(this.step + by);
  }

  put(step) {
    this.step = Math.max(0, Math.min(Math.round(step), this.last));
    this.follows = this.step === this.last;
    this.time = this.level?.time ?? this.time;
    this.changed();
  }

  putTime(time) {
    this.time = Math.max(0, Math.min(time, 1));
    this.step = nearest(this.levels, this.time);
    this.follows = false;
    this.changed();
  }

  toggle() {
    if (this.playing) this.stop();
    else this.play();
  }

  play() {
    this.playing = true;
    this.began = null;
    this.from = this.unit === "time" ? (this.time >= 1 ? 0 : this.time) : this.step >= this.last ? 0 : this.step;
    requestAnimationFrame((now) => this.tick(now));
    this.changed();
  }

  stop() {
    if (!this.playing) return;
    this.playing = false;
    this.changed();
  }

  tick(now) {
    if (!this.playing) return;
    this.began ??= now;
    const byTime = this.unit === "time";
    const whole = byTime ? NOISING_MS : Math.min(STEP_MS * this.last, LONGEST_MS);
    const end = byTime ? 1 : this.last;
    const at = this.from + ((now - this.began) / whole) * end;
    if (byTime) this.putTime(at);
    else if (Math.floor(at) !== this.step) this.put(Math.floor(at));
    if (at >= end) {
      if (!this.loops) return this.stop();
      if (at >= end + (byTime ? 0.05 : 4)) Object.assign(this, { began: now, from: 0 }); // the end stays in view for a moment
    }
    requestAnimationFrame((later) => this.tick(later));
  }

  /** Views are drawn once a frame, however often the cursor moved. */
  changed() {
    this.due ??= requestAnimationFrame(() => {
      this.due = null;
      for (const listener of this.listeners) listener(this);
    });
  }
}

function nearest(levels, time) {
  let best = 0;
  levels.forEach((level, step) => {
    if (Math.abs(level.time - time) < Math.abs(levels[best].time - time)) best = step;
  });
  return best;
}
