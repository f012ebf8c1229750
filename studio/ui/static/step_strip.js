// The strip of thumbnails under the picture: one for each step of a run, or as many as fit, spread evenly.

import { make } from "./workbench.js";

const THUMB = 44; // pixels, with its gap

export class StepStrip {
  /** `seek(step)` is called when one is pressed, and while the pointer is drawn over them. */
  constructor(seek) {
    this.root = make("div", { class: "film", "aria-hidden": "true" });
    this.run = null;
    const drag = ({ clientX }) => {
      const thumbs = [...this.root.children];
      const thumb = thumbs.findLast((each) => each.getBoundingClientRect().left <= clientX) ?? thumbs[0];
      seek(Number(thumb.dataset.step));
    };
    this.root.addEventListener("pointerdown", drag);
    this.root.addEventListener("pointermove", (event) => event.buttons && drag(event));
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  render(run) {
    this.run = run;
    this.root.classList.toggle("is-empty", !run?.steps.some((each) => each?.frames.length));
    this.draw();
  }

  /** Drawn from the frames that are here; where a step's own is not, an earlier one takes its place. */
  draw() {
    const { run } = this;
    if (!run) return;
    const { step, last, frames, image, kind } = run;
    const total = Math.max(run.feed.total ?? 0, last + 1);
    const count = Math.max(1, Math.min(total, Math.floor(this.root.clientWidth / THUMB)));
    while (this.root.children.length > count) this.root.lastChild.remove();
    while (this.root.children.length < count) this.root.append(make("canvas", { width: 72, height: 72 }));
    [...this.root.children].forEach((thumb, place) => {
      const even = evenly(place, total, count);
      const current = nearest(step, total, count) === place;
      const at = current ? step : Math.min(even, last);
      const picture = even <= last || current ? frames.near(image, at, kind) : undefined;
      thumb.dataset.step = even;
      thumb.classList.toggle("current", current);
      if (thumb.picture === picture) return;
      thumb.picture = picture;
      const pen = thumb.getContext("2d");
      pen.clearRect(0, 0, thumb.width, thumb.height);
      if (picture) cover(pen, picture, thumb.width, thumb.height);
    });
  }
}

function nearest(step, total, count) {
  return total < 2 || count < 2 ? count - 1 : Math.round((step * (count - 1)) / (total - 1));
}

/** The step that the thumbnail at this place shows. */
function evenly(place, total, count) {
  return count === 1 ? total - 1 : Math.round((place * (total - 1)) / (count - 1));
}

function cover(pen, picture, width, height) {
  const scale = Math.max(width / picture.naturalWidth, height / picture.naturalHeight);
  const [w, h] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
  pen.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
}
