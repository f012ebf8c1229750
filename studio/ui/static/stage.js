// The picture and the ground it lies on, and the words that stand there when there is no picture.

import { address, make } from "./workbench.js";
import { Grid } from "./grid.js";
import { icon } from "./icons.js";
import { loading } from "./words.js";
import { Zoom } from "./zoom.js";

const LARGEST_SCALE = 6; // a 128-pixel picture is shown at 768 at most
const SAME_SHAPE = 0.05; // a small frame's sides are rounded
const DELETED = "This picture was deleted";
const FRAME_SIDE = 512; // of a frame that says nothing of the picture's size

export class Stage {
  /** `modes`: name -> what the empty stage says there, { purpose, examples }. */
  constructor(modes, { example, again, resume, discard, picked, zoomed, candidates }) {
    this.modes = modes;
    this.example = example;
    this.holder = make("div", { class: "picture" });
    this.welcome = make("div", { class: "welcome" });
    this.words = make("p");
    this.resume = make("button", { type: "button", class: "plain-button", text: "Go on", title: "Make what is missing, with the same settings and seed", onclick: resume });
    this.discard = make("button", { type: "button", class: "plain-button", text: "Discard", title: "Take this run out of Recent", onclick: discard });
    this.caption = make("div", { class: "stage-caption" }, this.words, this.resume, this.discard);
    this.sentence = make("p");
    this.retry = make("button", { type: "button", class: "plain-button", text: "Try again", onclick: again });
    this.alarm = make("div", { class: "stage-alarm" }, icon("alert"), this.sentence, this.retry);
    this.bar = make("div", { class: "stage-bar", "aria-hidden": "true" }, make("div"));
    this.grid = new Grid(picked, candidates);
    this.root = make("div", { class: "stage" }, this.holder, this.grid.root, this.welcome, this.caption, this.alarm, this.bar);
    this.size = [1, 1];
    this.zoom = new Zoom(this.root, this.holder, zoomed);
    new ResizeObserver(() => this.fit()).observe(this.root);
  }

  welcomeTo(mode) {
    const { purpose, examples } = this.modes[mode];
    this.welcome.replaceChildren(...welcome(purpose, examples, this.example));
  }

  render({ run, phase, final, frame, refusal, waiting, quiet }) {
    const feed = run?.feed;
    const request = feed?.request;
    const grid = run?.grid ? run : null;
    this.grid.render(grid);
    this.root.toggleAttribute("data-grid", Boolean(grid));
    if (final) this.put(this.final(final, run), [final.width, final.height]);
    else if (frame) this.put(frame, frameSize(frame, request), describe(request, run.step + 1, feed.total));
    else if (phase === "idle") this.holder.replaceChildren();
    const empty = !grid && !this.holder.firstChild;
    this.root.dataset.empty = empty;
    this.root.dataset.stale = !grid && phase === "failed" && Boolean(feed?.ended) && !final && !frame && !empty;
    this.welcome.hidden = !(empty && (phase === "idle" || (phase === "failed" && !feed)));
    const message = refusal ?? feed?.message;
    const failed = phase === "failed" && message;
    this.alarm.hidden = !failed;
    if (failed && this.sentence.textContent !== message) this.sentence.textContent = message;
    this.retry.hidden = Boolean(refusal) || !["failed", "interrupted"].includes(feed?.state);
    const deleted = run?.saved && run.isLost(run.saved.id) && !grid;
    const words = deleted ? DELETED : quiet && !empty ? "" : caption(phase, feed, empty, waiting);
    if (this.words.textContent !== words) this.words.textContent = words;
    this.caption.hidden = !words;
    this.resume.hidden = this.discard.hidden = deleted || phase !== "cancelled" || Boolean(run?.isSketch);
    const share = phase === "running" && feed?.total ? progress(feed) : 0;
    this.bar.firstChild.style.transform = `scaleX(${share})`;
    this.bar.hidden = phase !== "running";
  }

  /** The <img> in view. */
  get picture() {
    return this.holder.firstChild;
  }

  final(saved, run) {
    if (this.saved?.dataset.id !== saved.id) {
      const picture = new Image(saved.width, saved.height);
      this.saved = picture;
      picture.dataset.id = saved.id;
      picture.src = address(`images/${saved.id}`);
      const wanted = () => this.saved === picture && this.wanted === picture;
      picture.decode().then(() => wanted() && this.put(picture, [saved.width, saved.height]), () => wanted() && run.lose(saved.id));
    }
    this.saved.alt = run.feed.request?.prompt || "Image without a prompt";
    return this.saved;
  }

  /** The new picture takes the old one's place only when it is decoded, so nothing blinks, and brings its own size. */
  put(picture, size, alt = null) {
    this.wanted = picture;
    if (picture === this.saved && !(picture.complete && picture.naturalWidth)) return;
    if (alt !== null) picture.alt = alt;
    if (this.holder.firstChild === picture) return;
    this.holder.replaceChildren(picture);
    this.size = size;
    this.fit();
  }

  /** A step's frame may be smaller than the image; both are shown at the image's size. */
  fit() {
    const [width, height] = this.size;
    const { paddingLeft, paddingRight, paddingBottom } = getComputedStyle(this.root);
    this.root.parentElement?.style.setProperty("--stage-height", `${this.root.clientHeight}px`);
    const room = this.root.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
    const scale = Math.min(room / width, (this.root.clientHeight - parseFloat(paddingBottom)) / height, LARGEST_SCALE);
    this.zoom.place(this.size, scale);
  }
}

/** A frame is shown at the size of the picture that it becomes, if it has its shape; a stage before may have another. */
function frameSize({ naturalWidth, naturalHeight }, request) {
  const { width, height } = request ?? {};
  if (width && height && Math.abs((naturalWidth * height) / (naturalHeight * width) - 1) < SAME_SHAPE) return [width, height];
  const scale = Math.max(1, FRAME_SIDE / Math.max(naturalWidth, naturalHeight));
  return [naturalWidth * scale, naturalHeight * scale];
}

function welcome(purpose, examples, example) {
  const list = make("ul", { class: "examples" });
  for (const prompt of examples) {
    list.append(make("li", {}, make("button", { type: "button", class: "example", text: prompt, onclick: () => example(prompt) })));
  }
  const offer = examples.length ? [make("p", { class: "offer", text: "Try one of these" }), list] : [];
  return [make("h2", { text: purpose }), ...offer];
}

function describe(request, step, total) {
  return `${request?.prompt || "Image without a prompt"}, step ${step} of ${total}`;
}

function caption(phase, feed, empty, waiting) {
  if (phase === "queued" && feed?.ahead) return `Waiting: ${feed.ahead} ahead`;
  if (phase === "queued") return "Waiting for its turn";
  if (phase === "running" && feed.loading) return loading(feed.loading);
  if (phase === "running" && empty) return "Starting";
  if (phase === "running" && waiting) return `${waiting} more to follow`;
  if (phase === "cancelled") return feed.latest ? `Stopped at step ${feed.latest.index + 1} of ${feed.total}` : "Stopped";
  return "";
}

/** Share of the whole job: of its images done, and of the steps of those being made. */
function progress(feed) {
  const count = feed.request?.count || 1;
  const done = feed.images.size;
  const making = feed.current.filter((image) => !feed.images.has(image)).length;
  const steps = feed.latest ? (feed.latest.index + 1) / feed.total : 0;
  return Math.min(1, (done + making * steps) / count);
}
