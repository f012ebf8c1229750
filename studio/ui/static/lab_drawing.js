// A density that a person draws: strokes of the pointer as points of the plane.

import { make } from "./workbench.js";
import { Plane } from "./lab_plane.js";

const APART = 0.03; // between two points of a stroke
const MOST = 1500; // points that are sent

export class Drawing {
  /** `changed()` after each stroke. */
  constructor(changed) {
    this.plane = new Plane("Your density", "Draw with the pointer");
    this.points = [];
    this.clear = make("button", { type: "button", class: "browser-button", text: "Clear", onclick: () => this.empty() });
    this.plane.root.append(this.clear);
    this.plane.note.textContent = "Draw here, then train: points along your strokes are the density.";
    this.changed = changed;
    const { canvas } = this.plane;
    canvas.classList.add("is-dragged");
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.last = null;
      this.add(this.plane.place(event));
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && this.add(this.plane.place(event)));
    canvas.addEventListener("pointerup", () => this.changed());
  }

  empty() {
    this.points = [];
    this.draw();
    this.changed();
  }

  add([x, y]) {
    const [fromX, fromY] = this.last ?? [x, y];
    const count = Math.max(1, Math.round(Math.hypot(x - fromX, y - fromY) / APART));
    for (let k = 1; k <= count; k += 1) this.points.push([fromX + ((x - fromX) * k) / count, fromY + ((y - fromY) * k) / count]);
    this.last = [x, y];
    this.draw();
  }

  /** What is sent: evenly thinned where there are too many. */
  get thinned() {
    const every = Math.max(1, this.points.length / MOST);
    return Array.from({ length: Math.floor(this.points.length / every) }, (_, k) => this.points[Math.floor(k * every)].map((value) => Number(value.toFixed(3))));
  }

  draw() {
    if (this.plane.begin()) this.plane.dots(this.points.flat(), this.plane.colour("--accent"), 3, 0.9);
  }
}
