// All images of a run beside each other, while they are made and afterwards. A click enlarges one; of each that is finished one
// can go on, keep it alone, or discard it.

import { address, make } from "./workbench.js";
import { icon } from "./icons.js";

const FULL_UP_TO = 9; // so few are shown from their files, more from their thumbnails
const GAP = 8;

export class Grid {
  /** `picked(image)` is called with the number of the one that was clicked. `candidates`: what can be done with one,
   * { goesOn(), goOn(run, image), keep(run, image), discard(run, image) }. */
  constructor(picked, candidates) {
    Object.assign(this, { picked, candidates });
    this.root = make("div", { class: "grid", role: "group", "aria-label": "Images of this run", hidden: true });
    new ResizeObserver(() => this.fit()).observe(this.root);
  }

  /** `run`: the one in view, if its images are to be shown as a grid. */
  render(run) {
    this.root.hidden = !run;
    if (!run) return void this.root.replaceChildren();
    const { feed } = run;
    this.run = run;
    const { count, width, height } = feed.request;
    if (this.job !== feed.id || this.root.children.length !== count) this.root.replaceChildren(...this.cells(count));
    this.job = feed.id;
    this.shape = (width || 1) / (height || 1);
    [...this.root.children].forEach((cell, image) => this.fill(cell, image, run));
    return this.fit();
  }

  cells(count) {
    return [...Array(count).keys()].map((image) => {
      const picture = make("button", { type: "button", class: "grid-picture", onclick: () => this.picked(image) }, make("span", { text: image + 1 }));
      const tool = (name, label, act) => make("button", { type: "button", class: "canvas-tool", title: label, "aria-label": `${label}: image ${image + 1}`, onclick: () => this.candidates[act](this.run, image) }, icon(name));
      const tools = [tool("send", "Go on from it", "goOn"), tool("check", "Keep it, discard the others", "keep"), tool("trash", "Discard it", "discard")];
      return make("div", { class: "grid-cell" }, picture, make("div", { class: "grid-tools", role: "group", "aria-label": `Image ${image + 1}` }, ...tools));
    });
  }

  fill(holder, image, run) {
    const [cell, tools] = holder.children;
    const saved = run.savedAt(image);
    holder.hidden = !saved && run.feed.images.has(image); // it was discarded
    tools.hidden = !saved;
    tools.firstChild.hidden = !this.candidates.goesOn();
    tools.children[1].hidden = run.kept.length < 2;
    const name = `Image ${image + 1} of ${run.feed.request.count}${saved ? `, seed ${saved.seed}` : ""}`;
    if (cell.getAttribute("aria-label") !== name) {
      cell.setAttribute("aria-label", name);
      cell.title = name;
    }
    if (saved) return this.fillSaved(cell, saved, run);
    delete cell.dataset.id;
    const frame = run.frameAt(image);
    if (frame && cell.firstChild !== frame) cell.replaceChildren(frame);
    return undefined;
  }

  /** The frame stays until the picture is decoded. */
  fillSaved(cell, { id }, run) {
    if (cell.dataset.id === id) return;
    cell.dataset.id = id;
    const picture = make("img", { alt: "" });
    picture.src = address(run.feed.request.count > FULL_UP_TO ? `thumbnails/${id}` : `images/${id}`);
    picture.decode().then(() => cell.dataset.id === id && cell.replaceChildren(picture), () => run.lose(id));
  }

  /** As many columns as make the images largest. */
  fit() {
    const count = [...this.root.children].filter(({ hidden }) => !hidden).length;
    if (!count) return;
    const { clientWidth, clientHeight } = this.root;
    const heightOf = (columns) => {
      const rows = Math.ceil(count / columns);
      const width = (clientWidth - GAP * (columns - 1)) / columns;
      return Math.min((clientHeight - GAP * (rows - 1)) / rows, width / this.shape);
    };
    let best = 1;
    for (let columns = 2; columns <= count; columns += 1) if (heightOf(columns) > heightOf(best)) best = columns;
    const height = Math.max(48, Math.floor(heightOf(best)));
    this.root.style.gridTemplateColumns = `repeat(${best}, ${Math.floor(height * this.shape)}px)`;
    this.root.style.gridAutoRows = `${height}px`;
  }
}
