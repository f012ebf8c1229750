// The run in view: one job's events and step pictures, and which of its images and steps a person looks at.

import { isSketch } from "./feed.js";
import { Frames } from "./frames.js";

const PHASES = { interrupted: "failed" };
const BURST_MS = 30; // events of quick steps arrive several at once, and only the last one's frames are there yet
const LONGEST_BURST_MS = 300;
// A Live run takes the place of the picture before it at its first step; a quick one leaves out its first, blurred steps.
const LIVE_SHOWS_FROM = 0.4; // share of the steps
const LIVE_QUICK = 0.5; // seconds
const LIVE_QUIET_MS = 1000;

export class Run {
  /** `kinds`: names of the kinds of frames, the first of which ends as the picture; `chosen()`: the one a person chose;
   * `arrived()` is called when frames have come. `image`: the very image that a person asked for. */
  constructor(feed, { kinds, chosen, arrived, image = null, live = false, quiet = false }) {
    Object.assign(this, { feed, kinds, chosen, arrived, live, quiet, image: image ?? 0 });
    this.frames = new Frames(feed.id, arrived);
    this.begun = performance.now();
    this.position = null; // a step that a person looks at; null follows the run, and shows the picture when it has ended
    this.lost = new Set(); // ids of saved pictures that were deleted
    this.grid = image === null && !live && this.count > 1; // all images beside each other, instead of one
    this.imageChosen = image !== null; // a run that moves on leaves such an image in view
  }

  get ended() {
    return this.feed.ended;
  }

  get isSketch() {
    return isSketch(this.feed.id);
  }

  /** Whether something of it is, or was, in view; a run without previews has nothing to show before its end. */
  get isSeen() {
    const { latest } = this.feed;
    return Boolean(this.final ?? this.frame) || latest?.frames.length === 0;
  }

  /** A Live run has just begun, and the picture before it is still in view: nothing needs to be said of it yet. */
  get isQuiet() {
    return this.live && performance.now() - this.begun < LIVE_QUIET_MS;
  }

  get phase() {
    return PHASES[this.feed.state] ?? this.feed.state;
  }

  get steps() {
    return this.feed.steps.get(this.image) ?? [];
  }

  get last() {
    return this.steps.length - 1;
  }

  get step() {
    return this.position ?? this.last;
  }

  get saved() {
    return this.feed.images.get(this.image);
  }

  get count() {
    return this.feed.request?.count ?? 1;
  }

  /** The saved image of this number, unless it was deleted. */
  savedAt(image) {
    const saved = this.feed.images.get(image);
    return saved && !this.isLost(saved.id) ? saved : undefined;
  }

  /** The saved images that were not deleted. */
  get kept() {
    return [...this.feed.images.values()].filter(({ id }) => !this.isLost(id));
  }

  /** The newest frame of an image that is being made. */
  frameAt(image) {
    return this.frames.near(image, (this.feed.steps.get(image)?.length ?? 0) - 1, this.kind);
  }

  isLost(id) {
    return this.lost.has(id);
  }

  /** This picture's file is not there: it was deleted. */
  lose(id) {
    this.lost.add(id);
    this.arrived();
  }

  find(id) {
    this.lost.delete(id);
    this.arrived();
  }

  /** The kind of frame to show: a Live run shows the picture it is going to be, other runs what was chosen, if they have it. */
  get kind() {
    const wanted = this.isSketch || (this.live && !this.ended) ? this.kinds[0] : this.chosen();
    const { frames = [] } = this.steps[this.step] ?? {};
    return frames.includes(wanted) || !frames.length ? wanted : frames[0];
  }

  /** The saved picture where that is what is looked at: at the end of the run. */
  get final() {
    const atEnd = this.position === null || (this.step === this.last && this.kind === this.kinds[0]);
    return atEnd ? this.savedAt(this.image) : undefined;
  }

  /** The frame of the step looked at, or the last one before it that has arrived. */
  get frame() {
    if (this.live && !this.ended && this.isBlurred) return null;
    return this.frames.near(this.image, this.step, this.kind) ?? null;
  }

  get isBlurred() {
    const { latest, total } = this.feed;
    return (this.step + 1) / total < LIVE_SHOWS_FROM && (latest?.elapsed ?? 0) < LIVE_QUICK;
  }

  /** While it runs only the newest step's picture is asked for; the rest come when it has ended and all are there. */
  stepped({ images }) {
    if (!images.includes(this.image) && !this.imageChosen && this.position === null) [this.image] = images;
    const now = performance.now();
    this.burst ??= now;
    clearTimeout(this.soon);
    this.soon = setTimeout(() => {
      this.burst = null;
      if (this.ended) return;
      for (const image of this.grid ? this.feed.current : [this.image]) this.gather((this.feed.steps.get(image)?.length ?? 0) - 1, image);
    }, Math.min(BURST_MS, this.burst + LONGEST_BURST_MS - now));
  }

  gather(step, image = this.image) {
    if (this.feed.steps.get(image)?.[step]?.frames.includes(this.kind)) this.frames.want(image, step, this.kind);
  }

  /** Everything that can be scrubbed to: this kind of frame, then the others. */
  gatherAll() {
    if (this.isSketch) return this.gather(this.last);
    const { kind, steps } = this;
    for (const each of [kind, ...this.kinds.filter((other) => other !== kind)]) {
      const there = [...steps.keys()].filter((step) => steps[step]?.frames.includes(each));
      this.frames.wantAll(this.image, there, each);
    }
  }

  choose(image) {
    Object.assign(this, { image, imageChosen: true, position: null, grid: false });
    if (this.ended || this.saved) this.gatherAll();
    else this.gather(this.last);
  }

  /** A person looks at this step. The last one leads back to the end of the run, and so to the picture. */
  seek(step) {
    this.position = step < this.last ? Math.max(0, step) : null;
    this.grid = false; // its images have no step in common
    if (this.position !== null && !this.ended) this.gather(this.position);
  }

  /** Another kind of frame was chosen. At the end of the run it is the last step's, and no longer the picture. */
  turned() {
    if (this.ended && this.step === this.last) this.position = this.kind === this.kinds[0] ? null : this.last;
    if (!this.ended) this.gather(this.step);
  }

  close() {
    clearTimeout(this.soon);
    this.feed.close();
    this.frames.close();
  }
}
