// What the studio tells this page, over one connection: its memory, its queue, and the events of the job that is shown.
//
// A browser keeps no more than six connections to a studio for all its tabs together, so each page has one, and one that
// is not looked at has none; it catches up when it is looked at again.

import { address } from "./workbench.js";

const AGAIN_MS = 3000;
const JOB_EVENTS = ["queued", "loading", "step", "image", "done", "failed", "cancelled", "interrupted"];

class Studio extends EventTarget {
  constructor() {
    super();
    this.told = new Map(); // what was last said of memory and queue
    this.feed = null; // { id, seen, take(event) }
    document.addEventListener("visibilitychange", () => this.connect());
  }

  /** `listener` gets what is known of "memory" or "queue" at once, and each change. "lost" is the loss of the connection. */
  hear(type, listener) {
    this.addEventListener(type, ({ detail }) => listener(detail));
    if (this.told.has(type)) listener(this.told.get(type));
    else if (!this.source) this.connect();
  }

  /** Follow another job, from event number `seen` + 1 on; it was being followed until now is let go. */
  follow(feed) {
    this.feed = feed;
    this.connect();
  }

  leave(feed) {
    if (this.feed === feed) this.feed = null; // the connection stays; what it still tells of the job is passed over
  }

  connect() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
    if (document.visibilityState !== "visible") return;
    const { feed } = this;
    const job = feed ? `?job=${encodeURIComponent(feed.id)}&after=${feed.seen}` : "";
    const source = new EventSource(address(`events${job}`));
    this.source = source;
    for (const type of ["memory", "queue"]) source.addEventListener(type, ({ data }) => this.say(type, JSON.parse(data)));
    for (const kind of JOB_EVENTS) source.addEventListener(kind, (message) => this.pass(feed, message));
    source.addEventListener("error", (message) => {
      if (message.data !== undefined) return this.pass(feed, message);
      if (this.source !== source) return;
      this.dispatchEvent(new CustomEvent("lost"));
      // The browser comes back by itself after a lost connection, but not after a refusal.
      if (source.readyState === EventSource.CLOSED) this.timer = setTimeout(() => this.connect(), AGAIN_MS);
    });
  }

  say(type, detail) {
    this.told.set(type, detail);
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  pass(feed, message) {
    if (!feed || feed !== this.feed) return;
    const told = JSON.parse(message.data);
    if (message.type === "error") return feed.take({ kind: "failed", message: told.error });
    feed.seen = Number(message.lastEventId);
    feed.take(told);
  }
}

export const studio = new Studio();
