// Says what becomes of a run: to a screen reader as it happens, and to a person who looks at another tab or window.
//
// A hidden page has no connection to the studio, so it asks for its last job now and then.

import { pageTitle } from "./page_title.js";
import { address, make } from "./workbench.js";
import { duration } from "./words.js";

const ASK_MS = 1500;
const NOTICES_OFF = "unnoise-no-notices";
const ENDED = { done: "Done", failed: "Failed", cancelled: "Stopped", interrupted: "Failed" };

/** Notifications, where the browser knows them and a person has allowed them and not turned them off. */
export const notices = {
  get offered() {
    return "Notification" in window && isSecureContext && Notification.permission !== "denied";
  },
  get on() {
    return this.offered && Notification.permission === "granted" && localStorage.getItem(NOTICES_OFF) === null;
  },
  async toggle() {
    if (this.on) return localStorage.setItem(NOTICES_OFF, "true");
    localStorage.removeItem(NOTICES_OFF);
    return Notification.permission === "default" ? Notification.requestPermission() : undefined;
  },
};

export class Announcer {
  /** `last()`: the id of the last job of this page that has not ended, or null. */
  constructor(workbench, last) {
    Object.assign(this, { workbench, last });
    this.root = make("div", { class: "only-read", role: "status", "aria-live": "polite" });
    document.addEventListener("visibilitychange", () => this.look());
  }

  speak(sentence) {
    this.root.textContent = sentence;
  }

  hear(event, { feed, quiet }) {
    if (document.visibilityState === "visible") pageTitle.mark(this.last() ? "Running" : "");
    if (quiet && event.kind !== "failed") return;
    if (event.kind === "queued") this.speak("Queued.");
    if (event.kind === "step" && event.index === 0) this.speak(`Started: ${event.total} steps.`);
    if (event.kind === "done") this.speak(`Done in ${duration(event.seconds)}.`);
    if (event.kind === "cancelled") this.speak("Stopped.");
    if (event.kind === "failed" || event.kind === "interrupted") this.speak(event.message ?? feed.message);
  }

  /** The page was hidden or is visible again. */
  look() {
    clearTimeout(this.timer);
    if (document.visibilityState === "visible") pageTitle.mark("");
    else if (this.last()) this.ask(this.last());
  }

  async ask(job) {
    const answer = await fetch(address(`jobs/${encodeURIComponent(job)}`)).catch(() => null);
    const view = answer?.ok ? await answer.json() : null;
    if (document.visibilityState === "visible") return;
    if (view && view.state in ENDED) this.notify(ENDED[view.state], view);
    else this.timer = setTimeout(() => this.ask(job), ASK_MS);
  }

  notify(word, { id, images, message, request }) {
    pageTitle.mark(word);
    if (!notices.on) return;
    const icon = images.length ? address(`thumbnails/${images[0]}`) : undefined;
    try {
      const shown = new Notification(`Unnoise: ${word.toLowerCase()}`, { body: message ?? request.prompt, icon, tag: id });
      shown.onclick = () => (window.focus(), shown.close());
    } catch {
      // some browsers show them only from a service worker; the title says it too
    }
  }
}
