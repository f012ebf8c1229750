// Several pictures to start from, chosen as files or as a folder: stored one after the other, then one job each with the form's
// settings. Says how far they are, and stops those that are not made yet.

import { cancel, Feed } from "./feed.js";
import { store } from "./picture.js";
import { make, workbenchOf } from "./workbench.js";

const TYPES = ["png", "jpg", "jpeg", "webp", "bmp"];
const FOLLOWED = 4; // jobs at once; they run in their order

export function mount({ element, props, trigger, watch }) {
  new FolderBatch(element.querySelector(".batch-body"), workbenchOf(element), props, trigger, watch);
}

class FolderBatch {
  constructor(body, workbench, props, trigger, watch) {
    Object.assign(this, { workbench, props, trigger });
    this.pictures = []; // stored: { id, name }
    this.ended = new Map(); // job -> how it ended
    this.feeds = new Map();
    const chooser = (more) => make("input", { type: "file", multiple: true, hidden: true, onchange: ({ target }) => (this.take([...target.files]), (target.value = "")), ...more });
    const files = chooser({ accept: TYPES.map((type) => `.${type}`).join() });
    const folder = chooser({ webkitdirectory: true });
    const button = (name, text, does) => make("button", { type: "button", class: `plain-button batch-${name}`, text, onclick: does });
    this.choose = make("div", { class: "batch-choose" }, button("files", "Several pictures", () => files.click()), button("folder", "A folder", () => folder.click()), files, folder);
    this.note = make("p", { class: "field-note", role: "status" });
    this.bar = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "Pictures of the batch" });
    this.left = make("ul", { class: "batch-left", hidden: true });
    this.start = button("start", "", () => this.trigger("select", { pictures: this.pictures }));
    this.stop = button("stop", "Stop all", () => this.stopAll());
    this.clear = button("clear", "Forget them", () => this.forget());
    body.append(make("span", { class: "field-label", text: "Or one run for each of" }), this.choose, this.note, this.bar, this.left, make("div", { class: "batch-acts" }, this.start, this.stop, this.clear));
    watch("value", () => this.follow());
    this.follow();
  }

  get jobs() {
    return this.props.value?.jobs ?? [];
  }

  /** Stores what was chosen, in the order of the names; what is no picture is left out and named. */
  async take(files) {
    const known = files.filter(({ name }) => TYPES.includes(name.split(".").pop().toLowerCase()));
    known.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    this.forget();
    const mine = (this.taking = Symbol("taking"));
    if (!known.length) return this.say(`There is no picture among them; they may be ${TYPES.join(", ")}.`);
    if (known.length > this.props.most) return this.say(`That is ${known.length} pictures; ${this.props.most} at once are possible.`);
    for (const [number, file] of known.entries()) {
      this.say(`Storing picture ${number + 1} of ${known.length}`);
      this.progress(number / known.length);
      try {
        this.pictures.push({ id: await store(file), name: file.name });
      } catch (error) {
        this.leaveOut(`${file.name}: ${error.message}`);
      }
      if (this.taking !== mine) return; // others were chosen meanwhile
    }
    this.taking = null;
    this.progress(null);
    this.sync();
  }

  forget() {
    this.taking = null;
    this.pictures = [];
    this.left.replaceChildren();
    this.progress(null);
    this.close();
    this.props.value = {};
    this.sync();
  }

  leaveOut(sentence) {
    this.left.append(make("li", { text: sentence }));
    this.left.hidden = false;
  }

  close() {
    for (const feed of this.feeds.values()) feed.close();
    this.feeds.clear();
    this.ended.clear();
  }

  /** They are queued: the next few that have not ended are followed. */
  follow() {
    if (this.number !== this.props.value?.number) this.close();
    this.number = this.props.value?.number;
    for (const { job, name } of this.jobs) {
      if (this.feeds.size >= FOLLOWED) break;
      if (this.ended.has(job) || this.feeds.has(job)) continue;
      const feed = new Feed(job, (event) => this.heard(feed, name, event));
      this.feeds.set(job, feed);
      feed.open().then((known) => known || this.endedAs(feed, "cancelled"));
    }
    this.sync();
  }

  heard(feed, name, event) {
    if (event.kind === "image") this.workbench.emit("made", {});
    if (!feed.ended || this.ended.has(feed.id)) return;
    if (feed.state === "failed" || feed.state === "interrupted") this.leaveOut(`${name}: ${feed.message ?? "It was not made."}`);
    this.endedAs(feed, feed.state);
  }

  endedAs(feed, state) {
    this.ended.set(feed.id, state);
    this.feeds.delete(feed.id);
    feed.close();
    this.follow();
  }

  stopAll() {
    for (const { job } of [...this.jobs].reverse()) if (!this.ended.has(job)) cancel(job);
  }

  progress(share) {
    this.bar.hidden = share === null;
    this.bar.value = share ?? 0;
  }

  say(sentence) {
    this.note.textContent = sentence;
  }

  sync() {
    const [all, number] = [this.jobs.length, this.pictures.length];
    const done = [...this.ended.values()].filter((state) => state === "done").length;
    const running = all > this.ended.size;
    if (all) {
      this.say(running ? `${this.ended.size} of ${all} pictures are done.` : `${done} of ${all} pictures were made; they are in Recent.`);
      this.progress(running ? this.ended.size / all : null);
    } else if (number) this.say(`${number} pictures; each with its own run, with the settings of the form.`.replace(/^1 pictures/, "1 picture"));
    else if (!this.taking && this.bar.hidden) this.say("");
    this.start.hidden = !number || running || Boolean(this.taking);
    this.start.textContent = number === 1 ? "Make 1 picture" : `Make ${number} pictures`;
    this.stop.hidden = !running;
    this.clear.hidden = !(number || this.left.children.length) || running;
    this.left.hidden = !this.left.children.length;
  }
}
