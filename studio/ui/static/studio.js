// What the studio sends to this page, over one connection: its memory, its queue, and the events of the jobs that are shown.
//
// A browser keeps no more than six connections to a server for all its tabs together, so each page has one, and a page that
// is not visible has none; it catches up when it is visible again.

import { address } from "./workbench.js";

const AGAIN_MS = 3000;

class Studio extends EventTarget {
  constructor() {
    super();
    this.latest = new Map(); // "memory" and "queue" -> what was last sent of them
    this.ahead = 0; // seconds that the studio's clock is ahead of this page's
    this.feeds = new Set(); // { id, seen: number of the last event taken, take(event) }
    document.addEventListener("visibilitychange", () => this.connect());
  }

  /** `listener` gets the state of "memory" or "queue" at once, and each change. "lost" is the loss of the connection. */
  on(type, listener) {
    this.addEventListener(type, ({ detail }) => listener(detail));
    if (this.latest.has(type)) listener(this.latest.get(type));
    else if (!this.source) this.connect();
  }

  /** The jobs that run or wait, in the order in which they run. */
  get queued() {
    return this.latest.get("queue")?.jobs ?? [];
  }

  /** The time by the studio's clock, in seconds. */
  now() {
    return Date.now() / 1000 + this.ahead;
  }

  /** Follow a job too, from event number `feed.seen` + 1 on. */
  follow(feed) {
    this.feeds.add(feed);
    this.connect();
  }

  /** The connection stays; what it still sends of the job is ignored. */
  leave(feed) {
    this.feeds.delete(feed);
  }

  connect() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
    if (document.visibilityState !== "visible") return;
    const source = new EventSource(address(`events${this.query()}`));
    this.source = source;
    for (const type of ["memory", "queue"]) source.addEventListener(type, ({ data }) => this.emit(type, JSON.parse(data)));
    source.addEventListener("job", ({ data }) => this.pass(JSON.parse(data)));
    source.addEventListener("problem", ({ data }) => {
      const { job, message } = JSON.parse(data);
      for (const feed of this.of(job)) feed.take({ kind: "failed", message });
    });
    source.addEventListener("error", () => {
      if (this.source !== source) return;
      this.dispatchEvent(new CustomEvent("lost"));
      // The browser reconnects by itself after a lost connection, but not after a refusal.
      if (source.readyState === EventSource.CLOSED) this.timer = setTimeout(() => this.connect(), AGAIN_MS);
    });
  }

  /** Each job once; two workbenches may show the same one. */
  query() {
    const after = new Map();
    for (const { id, seen } of this.feeds) after.set(id, Math.min(seen, after.get(id) ?? seen));
    const jobs = [...after].map(([id, seen]) => `job=${encodeURIComponent(`${id}:${seen}`)}`);
    return jobs.length ? `?${jobs.join("&")}` : "";
  }

  of(job) {
    return [...this.feeds].filter((feed) => feed.id === job);
  }

  pass({ job, number, event }) {
    for (const feed of this.of(job)) {
      if (number <= feed.seen) continue;
      feed.seen = number;
      feed.take(event);
    }
  }

  emit(type, detail) {
    if (detail.at) this.ahead = detail.at - Date.now() / 1000;
    this.latest.set(type, detail);
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

export const studio = new Studio();
