// One film of the tree: the predicted pictures of a run, those that were played back faint, and the step at which it parts.

import { VisualizedRun } from "./visualizer_run.js";
import { make } from "./workbench.js";

const SIDE = 44;
const GAP = 2;

export class BranchRow {
  /** `node`: { job, index, step (null: the first of the tree), depth, words }. */
  constructor(node, { seek, open, ended }) {
    Object.assign(this, { node, seek, ended, over: false, drawn: [] });
    this.canvas = make("canvas", { "aria-hidden": "true", height: 2 * SIDE });
    this.cursor = make("i", { class: "vis-tree-cursor" });
    this.parting = make("i", { class: "vis-tree-parting", hidden: node.step === null });
    this.film = make("div", { class: "vis-tree-film" }, this.canvas, this.parting, this.cursor);
    this.now = make("canvas", { class: "vis-tree-now", role: "img", "aria-label": "Predicted picture at the cursor" });
    const from = node.step === null ? "" : `from step ${node.step + 1}: `;
    this.name = make("button", { type: "button", class: "vis-tree-name", title: "Open this run", text: `${from}${node.words}`, onclick: open });
    this.root = make("li", { class: "vis-tree-row", style: `--depth: ${node.depth}` }, this.name, make("div", { class: "vis-tree-line" }, this.film, this.now));
    this.film.addEventListener("pointerdown", (event) => this.press(event));
    this.film.addEventListener("pointermove", (event) => event.buttons && this.press(event));
    new ResizeObserver(() => ((this.drawn = []), this.draw())).observe(this.film);
    this.run = new VisualizedRun({ job: node.job, image: node.index }, { about: async () => ({}), changed: () => this.draw() });
    this.run.open();
  }

  mark(current) {
    if (current) this.root.setAttribute("aria-current", "true");
    else this.root.removeAttribute("aria-current");
  }

  get count() {
    return Math.max(this.run.feed.total, this.run.steps.length);
  }

  get places() {
    return Math.max(1, Math.min(this.count, Math.floor(this.film.clientWidth / (SIDE * 0.7))));
  }

  draw() {
    const { run, places, count } = this;
    if (run.ended && !this.over) (this.over = true), this.ended();
    if (!count || !this.film.clientWidth) return;
    const width = Math.floor(2 * this.film.clientWidth);
    if (this.canvas.width !== width) (this.canvas.width = width), (this.drawn = []);
    const pen = this.canvas.getContext("2d");
    const wide = width / places;
    for (let place = 0; place < places; place += 1) {
      const step = places < 2 ? 0 : Math.round((place * (count - 1)) / (places - 1));
      const picture = step < run.steps.length ? run.picture(step, "x0") : null;
      if (!picture || this.drawn[place] === picture) continue;
      this.drawn[place] = picture;
      const least = Math.min(picture.naturalWidth, picture.naturalHeight);
      const high = Math.min(2 * SIDE, wide - 2 * GAP);
      pen.clearRect(place * wide, 0, wide, 2 * SIDE);
      pen.globalAlpha = this.node.step !== null && step < this.node.step ? 0.35 : 1;
      pen.drawImage(picture, (picture.naturalWidth - least) / 2, (picture.naturalHeight - least) / 2, least, least, place * wide, SIDE - high / 2, high, high);
    }
    if (this.node.step !== null) this.parting.style.left = `${(100 * this.node.step) / count}%`;
    this.at(this.step ?? 0);
  }

  at(step) {
    this.step = step;
    if (!this.count) return;
    this.cursor.style.left = `${(100 * (Math.min(step, this.count - 1) + 0.5)) / this.count}%`;
    const picture = this.run.picture(step, "x0");
    if (!picture || this.shown === picture) return;
    this.shown = picture;
    Object.assign(this.now, { width: picture.naturalWidth, height: picture.naturalHeight });
    this.now.getContext("2d").drawImage(picture, 0, 0);
  }

  press({ clientX }) {
    const { left, width } = this.film.getBoundingClientRect();
    this.seek(Math.floor(((clientX - left) / width) * this.count));
  }

  close() {
    this.run.close();
    this.root.remove();
  }
}
