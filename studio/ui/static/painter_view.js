// What of the picture and the painted layer is on the screen: scale, place, and drawing only what has changed. The layer is
// drawn at the screen's resolution, so a stroke costs the same on a large picture as on a small one.

import { make } from "./workbench.js";
import { SIDE } from "./painter_tiles.js";

const LARGEST = 32; // screen pixels for one of the picture
const SMOOTH_BELOW = 3;
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 12;

export class View {
  /** `changed()`: the scale is another one. */
  constructor(changed) {
    this.changed = changed;
    this.picture = make("img", { class: "painter-picture", alt: "", draggable: "false" });
    this.ground = make("div", { class: "painter-ground" }, this.picture);
    this.canvas = make("canvas", { class: "painter-layer" });
    this.outline = document.createElementNS(SVG, "svg");
    this.shapes = ["box", "halo", "line"].map((name) => {
      const shape = document.createElementNS(SVG, "path");
      shape.setAttribute("class", `painter-${name}`);
      return shape;
    });
    this.outline.classList.add("painter-outline");
    this.outline.append(...this.shapes);
    this.cursor = make("div", { class: "painter-cursor", hidden: true });
    this.root = make("div", { class: "painter-surface", tabindex: 0, role: "application" }, this.ground, this.canvas, this.outline, this.cursor);
    Object.assign(this, { tiles: null, scale: 1, x: 0, y: 0, fitted: true, points: [], box: null, hand: null });
    new ResizeObserver(() => this.tiles && this.resize()).observe(this.root);
  }

  /** Shows a layer over a picture, or over blank ground. */
  show(tiles, picture) {
    Object.assign(this, { tiles, points: [], hand: null, fitted: true });
    this.picture.hidden = !picture;
    this.ground.dataset.blank = String(!picture);
    if (picture) this.picture.src = picture.src;
    this.resize();
  }

  get fit() {
    const { clientWidth, clientHeight } = this.root;
    const room = [clientWidth - 2 * MARGIN, clientHeight - 2 * MARGIN].map((side) => Math.max(side, 1));
    return Math.min(room[0] / this.tiles.width, room[1] / this.tiles.height, 8);
  }

  resize() {
    const { clientWidth, clientHeight } = this.root;
    this.density = devicePixelRatio;
    this.canvas.width = Math.max(1, Math.round(clientWidth * this.density));
    this.canvas.height = Math.max(1, Math.round(clientHeight * this.density));
    this.place();
  }

  place() {
    const { clientWidth, clientHeight } = this.root;
    const { width, height } = this.tiles;
    if (this.fitted) {
      this.scale = this.fit;
      this.x = (clientWidth - width * this.scale) / 2;
      this.y = (clientHeight - height * this.scale) / 2;
    }
    const keep = (at, size, room) => Math.min(room - MARGIN * 4, Math.max(MARGIN * 4 - size, at)); // some of it stays in view
    this.x = keep(this.x, width * this.scale, clientWidth);
    this.y = keep(this.y, height * this.scale, clientHeight);
    Object.assign(this.ground.style, { left: `${this.x}px`, top: `${this.y}px`, width: `${width * this.scale}px`, height: `${height * this.scale}px` });
    this.root.toggleAttribute("data-pixels", this.scale * this.density >= SMOOTH_BELOW);
    this.draw();
    this.outlined();
    this.changed();
  }

  /** The point at (left, top) of the surface stays where it is; without one, the middle does. */
  zoom(scale, at = { left: this.root.clientWidth / 2, top: this.root.clientHeight / 2 }) {
    const least = Math.min(this.fit, 1 / this.density);
    const next = Math.min(LARGEST, Math.max(least, scale));
    this.x = at.left - ((at.left - this.x) * next) / this.scale;
    this.y = at.top - ((at.top - this.y) * next) / this.scale;
    Object.assign(this, { scale: next, fitted: false });
    this.place();
  }

  fitAll() {
    this.fitted = true;
    this.place();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.place();
  }

  /** Where on the surface an event is. */
  at({ clientX, clientY }) {
    const { left, top } = this.root.getBoundingClientRect();
    return { left: clientX - left, top: clientY - top };
  }

  /** In the picture's pixels. */
  point(event) {
    const { left, top } = this.at(event);
    return { x: (left - this.x) / this.scale, y: (top - this.y) / this.scale };
  }

  /** Draws the part of the layer in this rectangle of the picture anew, or all of it. */
  draw(part = null) {
    const area = part ?? this.tiles.bounds;
    const scale = this.scale * this.density;
    const [left, top] = [this.x * this.density, this.y * this.density];
    const across = (x) => Math.round(left + x * scale);
    const down = (y) => Math.round(top + y * scale);
    const { width, height, version } = this.tiles;
    const pen = this.canvas.getContext("2d");
    const from = [Math.max(across(0), Math.floor(left + area.x * scale) - 1), Math.max(down(0), Math.floor(top + area.y * scale) - 1)];
    const to = [Math.min(across(width), Math.ceil(left + (area.x + area.width) * scale) + 1), Math.min(down(height), Math.ceil(top + (area.y + area.height) * scale) + 1)];
    pen.save();
    if (!part) pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.beginPath();
    pen.rect(from[0], from[1], to[0] - from[0], to[1] - from[1]);
    pen.clip();
    pen.clearRect(from[0], from[1], to[0] - from[0], to[1] - from[1]);
    pen.imageSmoothingEnabled = scale < SMOOTH_BELOW;
    for (const [index, x, y] of this.tiles.touching(this.seen(area))) {
      const tile = version[index]; // on whole pixels of the screen, or seams would show between tiles
      if (tile) pen.drawImage(tile, across(x), down(y), across(x + SIDE) - across(x), down(y + SIDE) - down(y));
    }
    pen.restore();
  }

  /** The part of an area that is on the screen. */
  seen(area) {
    const x = Math.max(area.x, -this.x / this.scale);
    const y = Math.max(area.y, -this.y / this.scale);
    const right = Math.min(area.x + area.width, (this.root.clientWidth - this.x) / this.scale);
    const bottom = Math.min(area.y + area.height, (this.root.clientHeight - this.y) / this.scale);
    return { x, y, width: right - x, height: bottom - y };
  }

  /** The shape that is being drawn, as points of the picture. */
  outlined(points = this.points) {
    this.points = points;
    const path = (corners, closed) => corners.map(({ x, y }, index) => `${index ? "L" : "M"}${this.x + x * this.scale} ${this.y + y * this.scale}`).join("") + (closed && corners.length ? "Z" : "");
    const corners = this.box ? [[0, 0], [1, 0], [1, 1], [0, 1]].map(([x, y]) => ({ x: this.box.x + x * this.box.width, y: this.box.y + y * this.box.height })) : [];
    this.shapes[0].setAttribute("d", path(corners, true));
    for (const shape of this.shapes.slice(1)) shape.setAttribute("d", path(points, points.length > 2));
    this.hovered(this.hand);
  }

  /** The ring of the brush, or the cross of the keys, at a point of the picture. */
  hovered(point, radius = this.radius, cross = this.cross) {
    Object.assign(this, { hand: point, radius, cross });
    this.cursor.hidden = !point;
    if (!point) return;
    const size = Math.max(radius * 2 * this.scale, 3);
    this.cursor.toggleAttribute("data-cross", Boolean(cross));
    Object.assign(this.cursor.style, { width: `${size}px`, height: `${size}px`, transform: `translate(${this.x + point.x * this.scale - size / 2}px, ${this.y + point.y * this.scale - size / 2}px)` });
  }
}
