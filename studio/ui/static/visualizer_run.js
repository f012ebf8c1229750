// The run in view: its events, its frames, and what is known of its model and sampler. Fetched once; scrubbing asks for nothing.

import { Feed } from "./feed.js";
import { Frames } from "./frames.js";
import { levelOf } from "./visualizer_levels.js";

const SOON_MS = 60; // quick steps are reported several at once, and only the last one's frames are there yet
export const KINDS = ["x0", "xt"];

export class VisualizedRun {
  /** `changed()`: a step, a frame or the end has come. `about(job)` asks the studio for the run's facts. */
  constructor({ job, image = 0 }, { about, changed }) {
    Object.assign(this, { job, image, about, changed, facts: {}, levels: [] });
    this.frames = new Frames(job, () => this.changed());
    this.feed = new Feed(job, (event) => this.hear(event));
  }

  /** False where the studio does not know the job any more. */
  async open() {
    const [facts, known] = await Promise.all([this.about(this.job), this.feed.open().catch(() => false)]);
    this.facts = facts.problem ? {} : facts;
    this.read();
    return known;
  }

  get steps() {
    return this.feed.steps.get(this.image) ?? [];
  }

  get request() {
    return this.feed.request;
  }

  get count() {
    return Math.max(1, this.request?.count ?? 1);
  }

  /** The archived picture, once it is saved. */
  get saved() {
    return this.feed.images.get(this.image);
  }

  get ended() {
    return this.feed.ended;
  }

  hear({ kind }) {
    if (kind === "known") return;
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.gather(), SOON_MS);
  }

  /** The newest step's frames while it runs, all of them once it has ended. */
  gather() {
    this.read();
    const { steps } = this;
    const whole = this.ended || this.saved;
    for (const kind of KINDS) {
      const there = [...steps.keys()].filter((step) => steps[step]?.frames.includes(kind));
      if (whole) this.frames.wantAll(this.image, there, kind);
      else if (there.length) this.frames.want(this.image, there.at(-1), kind);
    }
    this.changed();
  }

  read() {
    const steps = [...this.steps]; // events may come late: a hole is filled from the step before it
    steps.forEach((step, index) => (steps[index] = step ?? steps[index - 1]));
    this.levels = steps.filter(Boolean).map((step) => levelOf(step, this.facts.prediction));
  }

  /** The frame of this step, or of the last one before it that has come. */
  picture(step, kind) {
    return this.frames.near(this.image, step, kind);
  }

  /** Whether there are frames at all: none were asked for, or they have been deleted to make room. */
  get hasFrames() {
    return this.steps.some((step) => step?.frames.length);
  }

  get isBare() {
    return this.hasFrames && this.ended && this.frames.settled && !this.picture(this.steps.length - 1, "x0") && !this.picture(this.steps.length - 1, "xt");
  }

  choose(image) {
    this.image = image;
    this.gather();
  }

  close() {
    clearTimeout(this.soon);
    this.feed.close();
    this.frames.close();
  }
}
