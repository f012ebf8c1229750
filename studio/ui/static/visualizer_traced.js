// What the views of a trace share: it is fetched once for a picture, when such a view is opened, and only after the run has ended.

import { make } from "./workbench.js";
import { readTrace } from "./visualizer_trace.js";

const WAIT = "The trace is written when the run has ended.";
const UNSAVED = "There is no trace of this run: it was stopped before its picture was saved.";
const known = new Map(); // image id -> promise of its trace: the latest few
const KEPT = 3;

export const renewals = new Set(); // called with the image whose trace was written anew
const stale = new Set(); // image ids whose trace was written anew

/** The trace of this picture has changed: it is fetched again when it is next asked for. */
export function forget(image) {
  known.delete(image);
  stale.add(image);
  for (const listener of renewals) listener(image);
}

export function traceOf(image) {
  if (!known.has(image)) known.set(image, readTrace(image, { fresh: stale.delete(image) }));
  const found = known.get(image);
  found.catch(() => known.delete(image)); // it may be there the next time
  if (known.size > KEPT) known.delete(known.keys().next().value);
  return found;
}

export class Traced {
  /** `ready(trace)`: the trace of the run in view is here; `drawn`: what is shown only with one; `lacks()`: there is none. */
  constructor(root, drawn, ready, lacks = () => {}) {
    Object.assign(this, { drawn, ready, lacks, trace: null, of: null });
    this.notice = make("p", { class: "vis-notice", role: "status" });
    root.prepend(this.notice);
  }

  async follow(run) {
    const id = run.ended ? run.saved?.id : null;
    if (!id) return this.lack(run.ended ? UNSAVED : WAIT);
    if (this.of === id) return undefined;
    this.of = id;
    this.lack("Reading the trace…", id);
    try {
      const trace = await traceOf(id);
      if (this.of !== id) return undefined;
      this.trace = trace;
      this.notice.textContent = "";
      this.drawn.hidden = false;
      this.ready(trace);
    } catch (error) {
      if (this.of === id) this.lack(error.message);
    }
    return undefined;
  }

  lack(sentence, id = null) {
    Object.assign(this, { trace: null, of: id });
    this.notice.textContent = sentence;
    this.drawn.hidden = true;
    this.lacks();
  }
}

/** The root mean square of the channels at each pixel, or one channel as it is. */
export function pixelsOf(values, channels, channel = null) {
  const count = values.length / channels;
  if (channel !== null) return values.slice(channel * count, (channel + 1) * count);
  const sizes = new Float32Array(count);
  for (let at = 0; at < values.length; at += 1) sizes[at % count] += values[at] ** 2;
  return sizes.map((sum) => Math.sqrt(sum / channels));
}

export function largest(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** A figure of one map with its title. */
export function mapPanel(title, name, term = null) {
  const canvas = make("canvas", { class: "vis-map", role: "img", "aria-label": title, "data-testid": `vis-${name}` });
  const words = make("span", { class: "vis-note" });
  const root = make("figure", { class: "vis-picture", "data-term": term }, canvas, make("figcaption", {}, make("b", { text: title }), words));
  return { root, canvas, words };
}
