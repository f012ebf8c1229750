// What is known of one job: its request, and what its events have said so far. Follows them until the job has ended.

import { address } from "./workbench.js";
import { studio } from "./studio.js";

const ENDED = new Set(["done", "failed", "cancelled", "interrupted"]);

export class Feed {
  /** `changed(event)` is called after each event, and once when the job is known. */
  constructor(id, changed) {
    this.id = id;
    this.changed = changed;
    this.request = null;
    this.state = "queued";
    this.loading = null;
    this.total = 0;
    this.steps = new Map(); // image -> its steps by index
    this.current = [0]; // images being made now
    this.images = new Map(); // index -> saved image
    this.latest = null;
    this.seen = 0; // number of the last event taken
    this.message = null;
    this.field = null;
    this.seconds = null;
    this.started = null; // by the studio's clock, in seconds
    this.announced = 0; // jobs ahead of it when it was queued, as its own events have it
  }

  /** Jobs ahead of it: its place in the queue, which is the one place that anything on the page goes by. */
  get ahead() {
    const place = studio.queued.findIndex(({ id }) => id === this.id);
    return place < 0 ? this.announced : place;
  }

  /** Seconds since it started, also where this page was opened later; null before. */
  get elapsed() {
    this.started ??= studio.queued.find(({ id }) => id === this.id)?.started ?? null;
    return this.started === null ? null : Math.max(0, studio.now() - this.started);
  }

  get ended() {
    return ENDED.has(this.state);
  }

  /** False if the studio knows no such job. */
  async open() {
    const answer = await fetch(address(`jobs/${encodeURIComponent(this.id)}`));
    if (!answer.ok) return false;
    const view = await answer.json();
    this.request = view.request;
    this.total = view.request.steps;
    this.started = view.started;
    if (view.state === "queued") this.announced = view.ahead;
    if (this.closed) return true;
    this.changed({ kind: "known" });
    if (!this.closed) studio.follow(this); // another job may be shown by now
    return true;
  }

  take(event) {
    if (this.closed) return;
    const handler = TAKE[event.kind];
    if (handler) handler(this, event);
    if (this.ended) studio.leave(this);
    this.changed(event);
  }

  close() {
    this.closed = true;
    studio.leave(this);
  }
}

/** Whether a job is a sketch of Live, of which nothing is kept. */
export function isSketch(job) {
  return job.startsWith("sketch-");
}

export function cancel(job) {
  return fetch(address(`jobs/${encodeURIComponent(job)}/cancel`), { method: "POST" });
}

const TAKE = {
  queued(feed, event) {
    feed.state = "queued";
    feed.announced = event.ahead;
  },
  loading(feed, event) {
    feed.state = "running";
    feed.loading = event;
  },
  waiting(feed, event) {
    feed.loading = event; // what is waited for, in place of what is loaded
  },
  step(feed, event) {
    feed.state = "running";
    feed.loading = null;
    feed.total = event.total;
    feed.latest = event;
    feed.current = event.images;
    for (const image of event.images) {
      if (!feed.steps.has(image)) feed.steps.set(image, []);
      feed.steps.get(image)[event.index] = event;
    }
  },
  image(feed, event) {
    feed.loading = null;
    feed.images.set(event.index, event);
  },
  done(feed, event) {
    feed.state = "done";
    feed.seconds = event.seconds;
  },
  failed(feed, event) {
    feed.state = "failed";
    feed.message = event.message;
    feed.field = event.field;
  },
  cancelled(feed) {
    feed.state = "cancelled";
  },
  interrupted(feed, event) {
    feed.state = "interrupted";
    feed.message = event.message;
  },
};
