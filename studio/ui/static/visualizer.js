// The Visualizer tab: which run is in view, the one time cursor, and the views that hang on it.
//
// A view is { name, title, unit, root, show(run, { anew }), draw(), cards(run) }: it is given the run once and drawn whenever the
// cursor has moved. Nothing here asks the server while the cursor moves.

import { isSketch } from "./feed.js";
import { playByKeys } from "./play_keys.js";
import { studio } from "./studio.js";
import { tabs } from "./tabs.js";
import { Attention } from "./visualizer_attention.js";
import { Branches } from "./visualizer_branches.js";
import { Breaks } from "./visualizer_breaks.js";
import { Cursor } from "./visualizer_cursor.js";
import { Forward } from "./visualizer_forward.js";
import { texts } from "./visualizer_formulas.js";
import { Guidance } from "./visualizer_guidance.js";
import { Latents } from "./visualizer_latents.js";
import { lightTerms, lowerIndices } from "./visualizer_math.js";
import { Memorised } from "./visualizer_memorised.js";
import { Picker } from "./visualizer_picker.js";
import { Prompts } from "./visualizer_prompts.js";
import { Reverse } from "./visualizer_reverse.js";
import { VisualizedRun } from "./visualizer_run.js";
import { saveMenu } from "./visualizer_save.js";
import { Tour } from "./visualizer_tour.js";
import { Transport } from "./visualizer_transport.js";
import { make } from "./workbench.js";

const VIEWS = [Reverse, Forward, Guidance, Attention, Latents, Memorised, Branches, Prompts, Breaks];
const NAME = "visualizer";
const LINK_MS = 300; // the address follows the cursor once it rests
const GONE = "This run is no longer known to the studio. Choose another one.";
const BARE = "The frames of this run have been deleted to make room; its curves are still here.";
const UNSEEN = "This run was made without previews, so there are no frames of its steps; its curves are still here.";

export function mount({ element, props, server }) {
  new Visualizer(element, props.purpose, server);
}

class Visualizer {
  constructor(element, purpose, server) {
    Object.assign(this, { server, run: null, wanted: null });
    this.cursor = new Cursor();
    this.transport = new Transport(this.cursor);
    this.views = VIEWS.map((View) => new View({ cursor: this.cursor, server, open: (place) => this.open(place) }));
    this.picker = new Picker((place) => this.open(place));
    this.notice = make("p", { class: "vis-notice", role: "status" });
    this.title = make("h2");
    this.words = make("p", { class: "vis-note" });
    this.images = make("div", { class: "vis-images", role: "group", "aria-label": "Images of this run" });
    this.explained = make("aside", { class: "vis-explained", "aria-label": "Explained" });
    this.main = make("div", { class: "vis-main" });
    this.switch = this.viewSwitch();
    this.tour = new Tour({ run: () => this.run, show: (name) => this.choose(this.views.find((view) => view.name === name)) });
    this.save = saveMenu(() => this.run, (sentence) => this.say(sentence));
    this.head = make("header", { class: "vis-head" }, make("div", {}, this.title, this.words), make("div", { class: "vis-tools" }, this.images, this.tour.button, this.save));
    this.body = make("div", { class: "vis-columns" }, this.main, this.explained);
    this.first = make("div", { class: "vis-empty", hidden: true },
      make("p", { text: "There is no run yet: make a picture, and every step of it can be looked at here." }),
      make("a", { class: "train-start", href: `${location.pathname}${location.search}#text-to-image`, text: "Text to image" }));
    this.root = element.querySelector(".vis-body");
    this.root.append(make("p", { class: "vis-purpose", text: purpose }), this.picker.root, this.first, this.notice, this.head, this.tour.root, this.switch, this.transport.root, this.body);
    lightTerms(this.root);
    this.cursor.on(() => this.draw());
    this.choose(this.views[0]);
    this.wire();
  }

  wire() {
    playByKeys(() => this.seen, this.cursor);
    tabs.on(() => this.look());
    addEventListener("hashchange", () => this.look());
    document.addEventListener("visibilitychange", () => this.look());
    let before = null;
    studio.on("queue", ({ newest, running }) => {
      const now = `${newest} ${running.filter((job) => !isSketch(job))}`;
      if (before !== now && this.seen) this.refresh();
      before = now;
      this.newest = running.find((job) => !isSketch(job)) ?? null;
      if (this.seen && this.newest && !this.wanted && (!this.run || (this.run.ended && this.isFresh))) this.open({ job: this.newest, image: 0 });
    });
  }

  get seen() {
    return tabs.open?.name === NAME && document.visibilityState === "visible";
  }

  /** Nobody chose the run in view: it came by itself, and the next one may take its place. */
  get isFresh() {
    return !this.chosen;
  }

  async look() {
    if (!this.seen) return this.cursor.stop();
    lowerIndices(this.explained);
    const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
    const key = location.hash;
    await this.refresh();
    if (query.has("image") && key !== this.link) await this.openLink(query);
    else if (!this.run) this.openNewest();
    return this.show();
  }

  async refresh() {
    this.items = await this.server.recent(false).catch(() => []);
    this.picker.draw(this.items);
    this.empty();
  }

  empty() {
    const none = !this.items?.length && !this.run;
    this.first.hidden = !none || !this.items;
    this.picker.root.hidden = !this.items?.length;
    this.head.hidden = !this.run;
    const needs = this.view.needsRun !== false;
    this.body.hidden = this.transport.root.hidden = !this.run && needs;
    this.switch.hidden = none && needs;
  }

  openNewest() {
    const place = this.newest ? { job: this.newest, image: 0 } : this.items?.[0] && { job: this.items[0].job, image: this.items[0].index };
    if (place) this.open(place, { chosen: false });
  }

  /** #visualizer?image=ID&step=K: the picture's run, at that step. */
  async openLink(query) {
    const found = await this.server.find(query.get("image"));
    if (found.problem) return this.say(found.problem);
    const view = this.views.find(({ name }) => name === query.get("view"));
    if (view) this.choose(view);
    const step = Number(query.get("step"));
    return this.open({ job: found.job, image: found.index }, { step: Number.isInteger(step) && step > 0 ? step - 1 : null });
  }

  async open({ job, image }, { step = null, chosen = true } = {}) {
    this.chosen = chosen;
    if (this.run?.job === job) {
      if (this.run.image !== image) this.run.choose(image);
      if (step !== null) this.cursor.go(step);
      return;
    }
    const run = new VisualizedRun({ job, image }, { about: (id) => this.server.about(id), changed: () => this.changed(run) });
    this.wanted = run;
    const known = await run.open().catch(() => false);
    if (this.wanted !== run) return void run.close();
    this.wanted = null;
    if (!known) return void (run.close(), this.say(GONE));
    this.run?.close();
    Object.assign(this, { run, asked: step, fresh: true, drawnImage: null });
    this.tour.end(); // its questions are of the run before
    this.say("");
    this.cursor.stop();
    this.changed(run);
  }

  /** Something of the run in view has come. */
  changed(run) {
    if (run !== this.run) return;
    const anew = this.fresh || this.drawnImage !== run.image;
    Object.assign(this, { fresh: false, drawnImage: run.image });
    this.cursor.load(run.levels, { anew });
    if (this.asked !== null && this.cursor.last >= this.asked) {
      this.cursor.go(this.asked);
      this.asked = null;
    }
    if (anew) this.anew = new Set(this.views);
    this.show();
  }

  /** The open view gets the run; the others get it when they are opened. */
  show() {
    this.empty();
    const { run, view } = this;
    if (!this.seen) return;
    if (run) {
      this.describe();
      const ready = run.levels.length || view.needsRun === false;
      const anew = ready && this.anew.delete(view);
      if (anew) this.explain();
      if (ready) view.show(run, { anew });
    } else if (view.needsRun === false) view.show(null, { anew: false });
    this.draw();
  }

  describe() {
    const { run } = this;
    const { request, facts } = run;
    const { message } = run.feed;
    this.title.textContent = request.prompt || "A picture without a prompt";
    this.title.title = request.prompt;
    const seed = run.saved?.seed ?? request.seed;
    const made = run.levels.length ? `${run.levels.length} of ${run.feed.total} steps` : "no step yet";
    this.words.textContent = [facts.model ?? request.model, facts.sampler, run.ended && run.feed.state === "done" ? `${run.levels.length} ${run.levels.length === 1 ? "step" : "steps"}` : made, `CFG ${request.guidance_scale}`, `seed ${seed}`].filter(Boolean).join(" · ");
    this.picker.mark(run.saved?.id ?? null, run.job);
    this.drawImages();
    const lacks = message ?? (run.ended && run.levels.length && !run.hasFrames ? UNSEEN : run.isBare ? BARE : "");
    this.say(lacks);
  }

  drawImages() {
    const { run } = this;
    this.images.hidden = run.count < 2;
    if (this.images.hidden || (this.images.dataset.key === `${run.job} ${run.image}`)) return;
    this.images.dataset.key = `${run.job} ${run.image}`;
    this.images.replaceChildren(...[...Array(run.count).keys()].map((image) => make("button", { type: "button", class: "browser-button", text: `Image ${image + 1}`, "aria-pressed": String(image === run.image), onclick: () => run.choose(image) })));
  }

  explain() {
    this.cards = this.view.cards(this.run);
    this.explained.replaceChildren(...this.cards.map(({ root }) => root));
    this.explained.hidden = !this.cards.length;
  }

  viewSwitch() {
    const group = make("fieldset", { class: "segments vis-views" }, make("legend", { class: "only-read", text: "View" }));
    for (const view of this.views) {
      const radio = make("input", { type: "radio", name: "vis-view", value: view.name, "aria-label": view.title, onchange: () => this.choose(view) });
      group.append(make("label", {}, radio, make("span", { "aria-hidden": "true", text: view.title })));
    }
    return group;
  }

  choose(view) {
    this.cursor.stop();
    this.view = view;
    this.cursor.unit = view.unit;
    this.main.replaceChildren(view.root);
    const radio = this.switch.querySelector(`[value="${view.name}"]`);
    if (!radio.checked) radio.checked = true;
    this.switch.scrollLeft = radio.parentElement.offsetLeft - this.switch.clientWidth / 2; // on a narrow page it may be out of sight
    this.anew ??= new Set(this.views);
    if (this.run || view.needsRun === false) this.explain();
    if (view.unit === "step" && this.run) this.cursor.put(this.cursor.step);
    else this.cursor.changed();
    this.show();
  }

  draw() {
    if (!this.seen) return;
    const { run, cursor, view } = this;
    const written = run ? texts(run, cursor.step) : {};
    const step = run?.levels.length ? `${cursor.step + 1} of ${run.feed.total || run.levels.length}` : null;
    this.transport.say(view.readout?.() ?? { step: ["Step", step], t: ["t", written.t ?? null], sigma: ["σ", written.sigma ?? null], logSnr: ["log-SNR", written.logSnr ?? null] });
    view.draw();
    const values = view.values?.() ?? written;
    for (const card of this.cards ?? []) card.update(values);
    Object.assign(this.root.dataset, { run: run?.job ?? "", step: cursor.step + 1, frames: run?.ended && run.frames.settled ? "ready" : "loading" });
    if (!cursor.playing) this.remember();
  }

  /** The address reopens this view. */
  remember() {
    clearTimeout(this.linking);
    this.linking = setTimeout(() => {
      const id = this.run?.saved?.id;
      if (!this.seen || !id || this.run.image !== this.drawnImage) return;
      this.link = `#${NAME}?image=${id}&step=${this.cursor.step + 1}${this.view === this.views[0] ? "" : `&view=${this.view.name}`}`;
      if (location.hash !== this.link) history.replaceState(history.state, "", `${location.pathname}${location.search}${this.link}`);
    }, LINK_MS);
  }

  say(sentence) {
    if (this.notice.textContent !== sentence) this.notice.textContent = sentence;
  }
}
