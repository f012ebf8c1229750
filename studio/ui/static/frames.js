// A job's step pictures. Each is fetched once and kept as an Image, so that scrubbing asks the server for nothing.

import { address } from "./bench.js";

const AT_ONCE = 4;
const PATIENCE = 8; // a frame may reach the disk a little after its step was told
const PAUSE_MS = 250;

export class Frames {
  constructor(job, arrived) {
    this.job = job;
    this.arrived = arrived;
    this.entries = new Map();
    this.waiting = [];
    this.busy = 0;
  }

  key(image, step, kind) {
    return `${image}/${step}/${kind}`;
  }

  /** The decoded picture, or undefined while there is none. */
  get(image, step, kind) {
    return this.entries.get(this.key(image, step, kind))?.picture;
  }

  /** The decoded picture of this step, or of the last one before it. */
  near(image, step, kind) {
    for (let at = step; at >= 0; at -= 1) {
      const picture = this.get(image, at, kind);
      if (picture) return picture;
    }
    return undefined;
  }

  /** Ask for a frame; what was asked last is fetched first. */
  want(image, step, kind) {
    const key = this.key(image, step, kind);
    const known = this.entries.get(key);
    if (known && !(known.settled && !known.picture)) return; // one that was given up is asked for again
    const entry = { image, step, kind, tries: 0, picture: undefined, settled: false };
    this.entries.set(key, entry);
    this.waiting.push(entry);
    this.pump();
  }

  /** Of what was asked for, these steps are fetched before the rest. */
  first(image, steps, kind) {
    const keys = new Set(steps.map((step) => this.key(image, step, kind)));
    const urgent = (entry) => keys.has(this.key(entry.image, entry.step, entry.kind));
    this.waiting = [...this.waiting.filter((entry) => !urgent(entry)), ...this.waiting.filter(urgent)];
  }

  get settled() {
    return this.busy === 0 && [...this.entries.values()].every((entry) => entry.settled);
  }

  pump() {
    while (this.busy < AT_ONCE && this.waiting.length && !this.closed) this.fetch(this.waiting.pop());
  }

  async fetch(entry) {
    this.busy += 1;
    const picture = new Image();
    picture.alt = "";
    picture.src = address(`frames/${encodeURIComponent(this.job)}/${entry.image}/${entry.step}.jpg?kind=${entry.kind}`);
    try {
      await picture.decode();
      entry.picture = picture;
      entry.settled = true;
    } catch {
      entry.tries += 1;
      if (entry.tries < PATIENCE) setTimeout(() => this.again(entry), PAUSE_MS * Math.min(entry.tries, 8));
      else entry.settled = true;
    }
    this.busy -= 1;
    if (this.closed) return;
    this.pump();
    this.arrived(entry);
  }

  again(entry) {
    this.waiting.unshift(entry);
    this.pump();
  }

  close() {
    this.closed = true;
    this.waiting = [];
  }
}
