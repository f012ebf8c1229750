// A canvas that shows [-REACH, REACH]^2 of the plane, y upwards, in the page's colours.

import { make } from "./workbench.js";

export const REACH = 2.4;

export class Plane {
  constructor(title, label) {
    this.canvas = make("canvas", { class: "lab-plane", role: "img", "aria-label": label });
    this.note = make("p", { class: "lab-note" });
    this.root = make("figure", { class: "lab-figure" }, make("figcaption", { text: title }), this.canvas, this.note);
    this.pen = this.canvas.getContext("2d");
  }

  /** An empty canvas at the screen's own resolution; false while it has no size. */
  begin() {
    const side = this.canvas.clientWidth;
    const pixels = Math.round(side * devicePixelRatio);
    if (!pixels) return false;
    if (this.canvas.width !== pixels) this.canvas.width = this.canvas.height = pixels;
    this.scale = pixels / (2 * REACH);
    this.pen.clearRect(0, 0, pixels, pixels);
    return true;
  }

  colour(name) {
    return getComputedStyle(this.canvas).getPropertyValue(name).trim();
  }

  x(value) {
    return (value + REACH) * this.scale;
  }

  y(value) {
    return (REACH - value) * this.scale;
  }

  /** Where a pointer is, in the plane. */
  place({ clientX, clientY }) {
    const { left, top, width } = this.canvas.getBoundingClientRect();
    const clamp = (value) => Math.max(-REACH, Math.min(REACH, value));
    return [clamp((2 * REACH * (clientX - left)) / width - REACH), clamp(REACH - (2 * REACH * (clientY - top)) / width)];
  }

  dots(points, colour, radius = 1.6, opacity = 0.75) {
    const { pen } = this;
    pen.fillStyle = colour;
    pen.globalAlpha = opacity;
    const size = radius * devicePixelRatio;
    for (let k = 0; k < points.length; k += 2) {
      pen.beginPath();
      pen.arc(this.x(points[k]), this.y(points[k + 1]), size, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
  }

  line(points, colour, width = 2, dash = []) {
    const { pen } = this;
    pen.strokeStyle = colour;
    pen.lineWidth = width * devicePixelRatio;
    pen.setLineDash(dash.map((each) => each * devicePixelRatio));
    pen.beginPath();
    for (const [x, y] of points) pen.lineTo(this.x(x), this.y(y));
    pen.stroke();
    pen.setLineDash([]);
  }

  arrow(x, y, dx, dy, colour) {
    const length = Math.hypot(dx, dy);
    if (length < 1e-4) return;
    const [ux, uy] = [dx / length, dy / length];
    const [tipX, tipY, head] = [x + dx, y + dy, Math.min(0.06, length / 2)];
    this.line([[x, y], [tipX, tipY]], colour, 1.2);
    this.line([[tipX - head * (ux + 0.6 * uy), tipY - head * (uy - 0.6 * ux)], [tipX, tipY], [tipX - head * (ux - 0.6 * uy), tipY - head * (uy + 0.6 * ux)]], colour, 1.2);
  }

  /** A grid of `cells` x `cells` values from 0 to 1, as the strength of a colour; row 0 at the bottom. */
  shade(values, cells, colour, most = 0.5) {
    const small = new OffscreenCanvas(cells, cells);
    const brush = small.getContext("2d");
    brush.fillStyle = colour;
    values.forEach((value, k) => {
      brush.globalAlpha = most * Math.min(1, value);
      brush.fillRect(k % cells, cells - 1 - Math.floor(k / cells), 1, 1);
    });
    this.pen.imageSmoothingQuality = "high";
    this.pen.drawImage(small, 0, 0, this.canvas.width, this.canvas.height);
  }
}

/** The middles of the cells of such a grid, [2 cells^2]. */
export function grid(cells) {
  const middle = (k) => ((2 * k + 1) / cells - 1) * REACH;
  const points = new Float64Array(2 * cells * cells);
  for (let k = 0; k < cells * cells; k += 1) {
    points[2 * k] = middle(k % cells);
    points[2 * k + 1] = middle(Math.floor(k / cells));
  }
  return points;
}
