// A job's step pictures. Each is fetched once and kept as an Image, so that scrubbing asks the server for nothing.
//
// While a run goes on they are asked for one by one, as they are shown; those of a run that has ended come many at a time.

import { address } from "./workbench.js";
import { readFilm } from "./film.js";

const AT_ONCE = 4;
const PATIENCE = 8; // a frame may reach the disk a little after the event of its step
const PAUSE_MS = 250;
const REDRAW_MS = 40; // many arrive at once, and the page is drawn anew for all of them together
const FEW = 6; // so many are asked for one by one
const TEXT_BYTES = 8192; // arguments of one call

export class Frames {
  constructor(job, arrived) {
    this.job = job;
    this.arrived = arrived;
    this.reels = new Map(); // "image/kind" -> { entries by step, pictures by step, how many pictures }
    this.waiting = [];
    this.films = []; // { image, kind, steps } that wait for their turn
    this.busy = 0;
    this.unsettled = 0;
    this.closing = new AbortController();
  }

  reel(image, kind) {
    const key = `${image}/${kind}`;
    if (!this.reels.has(key)) this.reels.set(key, { entries: [], pictures: [], count: 0 });
    return this.reels.get(key);
  }

  /** The picture of this step, or of the last one before it; undefined while there is none. */
  near(image, step, kind) {
    const { pictures, count } = this.reel(image, kind);
    if (!count) return undefined;
    for (let at = Math.min(step, pictures.length - 1); at >= 0; at -= 1) if (pictures[at]) return pictures[at];
    return undefined;
  }

  /** Ask for a frame; what was asked last is fetched first. */
  want(image, step, kind) {
    const entry = this.enter(image, step, kind);
    if (!entry) return;
    this.waiting.push(entry);
    this.pump();
  }

  /** Ask for these steps of an image that will not change any more, in one answer where they are many. */
  wantAll(image, steps, kind) {
    const missing = steps.filter((step) => this.isMissing(image, step, kind));
    if (missing.length <= FEW) return missing.forEach((step) => this.want(image, step, kind));
    const entries = new Map(missing.map((step) => [step, this.enter(image, step, kind)]));
    this.films.push({ image, kind, entries });
    return this.pump();
  }

  isMissing(image, step, kind) {
    const known = this.reel(image, kind).entries[step];
    return !known || (known.settled && !known.picture); // one that was given up is requested again
  }

  enter(image, step, kind) {
    if (!this.isMissing(image, step, kind)) return null;
    const entry = { image, step, kind, tries: 0, picture: undefined, settled: false };
    this.reel(image, kind).entries[step] = entry;
    this.unsettled += 1;
    return entry;
  }

  get settled() {
    return this.unsettled === 0;
  }

  pump() {
    while (this.busy < AT_ONCE && this.waiting.length && !this.closed) this.fetch(this.waiting.pop());
    if (!this.film && this.films.length && !this.closed) this.fetchFilm(this.films.shift());
  }

  async fetch(entry) {
    this.busy += 1;
    const picture = new Image();
    picture.alt = "";
    picture.src = address(`frames/${encodeURIComponent(this.job)}/${entry.image}/${entry.step}.jpg?kind=${entry.kind}`);
    try {
      await picture.decode();
      this.settle(entry, picture);
    } catch {
      entry.tries += 1;
      if (entry.tries < PATIENCE) setTimeout(() => this.again(entry), PAUSE_MS * Math.min(entry.tries, 8));
      else this.settle(entry);
    }
    this.busy -= 1;
    this.pump();
  }

  /** One film at a time, so that the one which is looked at is not slowed by the others. What it lacks is requested one by one. */
  async fetchFilm({ image, kind, entries }) {
    this.film = true;
    const loading = [];
    const take = (step, jpeg) => {
      const entry = entries.get(step);
      if (!entry) return; // it is here already
      entries.delete(step);
      loading.push(loaded(jpeg).then((picture) => this.settle(entry, picture), () => this.again(entry)));
    };
    await readFilm(this.job, image, kind, this.closing.signal, take).catch(() => {});
    await Promise.all(loading);
    this.film = false;
    if (this.closed) return;
    this.waiting.push(...entries.values());
    this.pump();
  }

  settle(entry, picture) {
    if (this.closed) return;
    entry.picture = picture;
    entry.settled = true;
    if (picture) {
      const reel = this.reel(entry.image, entry.kind);
      reel.pictures[entry.step] = picture;
      reel.count += 1;
    }
    this.unsettled -= 1;
    if (!this.unsettled) {
      clearTimeout(this.telling);
      this.telling = null;
      this.arrived();
    } else {
      this.telling ??= setTimeout(() => {
        this.telling = null;
        if (!this.closed) this.arrived();
      }, this.film ? REDRAW_MS : 0);
    }
  }

  again(entry) {
    this.waiting.unshift(entry);
    this.pump();
  }

  close() {
    this.closed = true;
    this.waiting = [];
    this.films = [];
    this.closing.abort();
  }
}

/** The picture, which is decoded when it is first drawn: hundreds are looked at by nobody. */
function loaded(jpeg) {
  const picture = new Image();
  picture.alt = "";
  picture.decoding = "sync"; // in the place of the one before it, without a blink
  return new Promise((resolve, reject) => {
    picture.onload = () => resolve(picture);
    picture.onerror = reject;
    picture.src = `data:image/jpeg;base64,${base64(jpeg)}`; // the address of a blob costs a message to another process each
  });
}

function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += TEXT_BYTES) text += String.fromCharCode(...bytes.subarray(at, at + TEXT_BYTES));
  return btoa(text);
}
