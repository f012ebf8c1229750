// All steps of a run beside each other: x_t above, the predicted x0 below. A press or a drag moves the cursor.
//
// The pictures are drawn when frames come; moving the cursor moves a frame over them and draws nothing.

import { make } from "./workbench.js";

const LEAST = 30; // pixels of a thumbnail
const MOST = 88;
const GAP = 3;

export class Strip {
  /** `kinds`: a row of thumbnails each; `seek(step)`: a person pressed there. */
  constructor(kinds, seek) {
    Object.assign(this, { kinds, seek, whole: false, run: null, drawn: new Map() });
    this.canvas = make("canvas", { class: "vis-strip-canvas", "aria-hidden": "true" });
    this.mark = make("div", { class: "vis-strip-mark" });
    this.holder = make("div", { class: "vis-strip-holder" }, this.canvas, this.mark);
    this.all = make("button", { type: "button", class: "browser-button", "aria-pressed": "false", text: "All steps", title: "Every step, in as many rows as they need", onclick: () => this.toggle() });
    this.words = make("p", { class: "vis-note" });
    this.root = make("section", { class: "vis-strip", "aria-label": "Steps" }, this.holder, make("div", { class: "vis-strip-foot" }, this.words, this.all));
    this.holder.addEventListener("pointerdown", (event) => (event.preventDefault(), this.press(event)));
    this.holder.addEventListener("pointermove", (event) => event.buttons && this.press(event));
    new ResizeObserver(() => this.run && this.render(this.run, true)).observe(this.root);
  }

  toggle() {
    this.whole = !this.whole;
    this.all.setAttribute("aria-pressed", String(this.whole));
    this.render(this.run, true);
    this.at(this.step ?? 0);
  }

  /** Lays the thumbnails out and draws those whose frames are new. */
  render(run, anew = false) {
    const count = run.steps.length;
    const width = this.root.clientWidth;
    this.run = run;
    this.root.hidden = !count;
    if (!count || !width) return;
    const fit = Math.max(2, Math.floor(width / (LEAST + GAP)));
    this.all.hidden = count <= fit;
    const shown = this.whole ? count : Math.min(count, fit);
    const columns = Math.min(shown, fit);
    const side = Math.min(MOST, Math.floor((width + GAP) / columns) - GAP);
    const layout = { count, shown, columns, side, rows: Math.ceil(shown / columns) };
    if (anew || JSON.stringify(layout) !== JSON.stringify(this.layout)) this.lay(layout);
    for (let place = 0; place < shown; place += 1) this.kinds.forEach((kind, row) => this.paint(place, kind, row));
    this.words.textContent = shown < count ? `${shown} of ${count} steps, evenly spread` : "";
    this.at(this.step ?? 0);
  }

  lay(layout) {
    this.layout = layout;
    this.drawn.clear();
    const { columns, side, rows } = layout;
    const high = this.kinds.length * (side + GAP);
    const [width, height] = [columns * (side + GAP) - GAP, rows * (high + (rows > 1 ? 2 * GAP : 0))];
    Object.assign(this.canvas, { width: width * 2, height: height * 2 });
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.block = high + (rows > 1 ? 2 * GAP : 0);
    Object.assign(this.mark.style, { width: `${side}px`, height: `${high - GAP}px` });
  }

  paint(place, kind, row) {
    const step = this.stepAt(place);
    const picture = this.run.picture(step, kind);
    const key = `${place} ${kind}`;
    if (!picture || this.drawn.get(key) === picture) return;
    this.drawn.set(key, picture);
    const { side } = this.layout;
    const [x, y] = this.corner(place);
    const pen = this.canvas.getContext("2d");
    const least = Math.min(picture.naturalWidth, picture.naturalHeight);
    const [left, top] = [(picture.naturalWidth - least) / 2, (picture.naturalHeight - least) / 2];
    pen.drawImage(picture, left, top, least, least, 2 * x, 2 * (y + row * (side + GAP)), 2 * side, 2 * side);
  }

  corner(place) {
    const { columns, side } = this.layout;
    return [(place % columns) * (side + GAP), Math.floor(place / columns) * this.block];
  }

  stepAt(place) {
    const { shown, count } = this.layout;
    return shown < 2 ? 0 : Math.round((place * (count - 1)) / (shown - 1));
  }

  at(step) {
    this.step = step;
    if (!this.layout) return;
    const { shown, count } = this.layout;
    const place = count < 2 ? 0 : Math.round((step * (shown - 1)) / (count - 1));
    const [x, y] = this.corner(place);
    this.mark.style.transform = `translate(${x}px, ${y}px)`;
  }

  press({ clientX, clientY }) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const { columns, side, shown, rows } = this.layout;
    const column = Math.max(0, Math.min(columns - 1, Math.floor((clientX - left) / (side + GAP))));
    const row = Math.max(0, Math.min(rows - 1, Math.floor((clientY - top) / this.block)));
    this.seek(this.stepAt(Math.min(shown - 1, row * columns + column)));
  }
}
