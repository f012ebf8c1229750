// The tools of the painter. Each is given points of the picture: `down`, `move`, `up`, and `cancel`, whether they come from a
// pointer or from the keys; what it draws goes through the painter's `begin` and `end`.

import { flood } from "./painter_tiles.js";

const CLOSE = 10; // screen pixels within which a polygon's first point is met
const LEAST_PRESSURE = 0.15;

class Tool {
  constructor(painter) {
    this.painter = painter;
  }

  get isBusy() {
    return Boolean(this.busy);
  }

  down() {}
  move() {}
  up() {}
  cancel() {}
}

class Brush extends Tool {
  down(point, erase) {
    this.busy = this.painter.begin({ erase });
    this.last = point;
    this.line(point, point);
  }

  move(point) {
    this.line(this.last, point);
    this.last = point;
  }

  up() {
    this.busy = null;
    this.painter.end();
  }

  cancel() {
    this.busy = null;
    this.painter.drop();
  }

  line(from, to) {
    const width = this.painter.size * Math.max(LEAST_PRESSURE, to.pressure ?? 1);
    const reach = width / 2 + 2;
    const [left, top] = [Math.min(from.x, to.x) - reach, Math.min(from.y, to.y) - reach];
    const area = { x: left, y: top, width: Math.max(from.x, to.x) + reach - left, height: Math.max(from.y, to.y) + reach - top };
    this.painter.draw(area, (pen) => {
      pen.lineWidth = width;
      pen.lineCap = pen.lineJoin = "round";
      pen.beginPath();
      pen.moveTo(from.x, from.y);
      pen.lineTo(to.x + (from === to ? 0.001 : 0), to.y); // a line of no length would not be drawn
      pen.stroke();
    });
  }
}

class Eraser extends Brush {
  down(point, paint) {
    super.down(point, !paint); // Alt turns every tool round
  }
}

/** A shape that is outlined first and then filled. */
class Outlined extends Tool {
  cancel() {
    this.busy = null;
    this.painter.view.outlined([]);
  }

  outline(points) {
    this.busy = points;
    this.painter.view.outlined(points);
  }

  fill(points) {
    this.cancel();
    const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    const area = { x: left - 1, y: top - 1, width: Math.max(...xs) - left + 2, height: Math.max(...ys) - top + 2 };
    if (points.length < 3 || area.width < 3 || area.height < 3) return;
    this.painter.begin({ erase: this.erase });
    this.painter.draw(area, (pen) => {
      pen.beginPath();
      for (const { x, y } of points) pen.lineTo(x, y);
      pen.fill();
    });
    this.painter.end();
  }
}

class Rectangle extends Outlined {
  down(point, erase) {
    this.erase = erase;
    this.from = whole(point);
    this.outline([this.from]);
  }

  move(point) {
    this.outline(corners(this.from, whole(point)));
  }

  up() {
    if (this.busy) this.finish(this.busy);
  }

  finish(points) {
    this.fill(points);
  }
}

/** Says which part of the picture the model sees; nothing is painted. */
class Box extends Rectangle {
  finish([first, , third]) {
    this.cancel();
    if (third && third.x !== first.x && third.y !== first.y) this.painter.boxed(between(first, third));
  }
}

class Lasso extends Outlined {
  down(point, erase) {
    this.erase = erase;
    this.outline([point]);
  }

  move(point) {
    this.outline([...this.busy, point]);
  }

  up() {
    if (this.busy) this.fill(this.busy);
  }
}

/** Each press sets a corner; one on the first corner, or two on one place, closes it. */
class Polygon extends Outlined {
  down(point, erase) {
    const placed = this.corners ?? [];
    if (!placed.length) this.erase = erase;
    const near = (corner) => corner && Math.hypot(corner.x - point.x, corner.y - point.y) * this.painter.view.scale < CLOSE;
    if (placed.length > 2 && (near(placed[0]) || near(placed.at(-1)))) return this.close();
    if (!near(placed.at(-1))) this.corners = [...placed, point];
    return this.outline(this.corners);
  }

  move(point) {
    if (this.corners) this.outline([...this.corners, point]);
  }

  close() {
    this.fill(this.corners);
  }

  cancel() {
    this.corners = null;
    super.cancel();
  }
}

class Fill extends Tool {
  down(point, erase) {
    const { tiles } = this.painter;
    const { x, y } = whole(point);
    if (x < 0 || y < 0 || x >= tiles.width || y >= tiles.height) return;
    const rows = flood(tiles.width, tiles.height, x, y, this.painter.likeness(x, y));
    this.painter.begin({ erase });
    // A pixel more on each side, or the soft rim of a line would stay between the line and what it holds.
    for (const [area, some] of bands(rows)) this.painter.draw(area, (pen) => some.forEach(([row, from, to]) => pen.fillRect(from - 1, row - 1, to - from + 3, 3)));
    this.painter.end();
  }
}

/** The rows in bands of equal height, so that each is drawn to the few tiles that it touches. */
function bands(rows) {
  const found = new Map();
  for (const row of rows) {
    const key = row[0] >> 9;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(row);
  }
  return [...found.values()].map((some) => {
    const left = some.reduce((least, [, from]) => Math.min(least, from), Infinity) - 1;
    const right = some.reduce((most, [, , to]) => Math.max(most, to), 0) + 2;
    const top = some.reduce((least, [row]) => Math.min(least, row), Infinity) - 1;
    const bottom = some.reduce((most, [row]) => Math.max(most, row), 0) + 2;
    return [{ x: left, y: top, width: right - left, height: bottom - top }, some];
  });
}

function whole({ x, y }) {
  return { x: Math.floor(x), y: Math.floor(y) };
}

function between(first, second) {
  const [x, y] = [Math.min(first.x, second.x), Math.min(first.y, second.y)];
  return { x, y, width: Math.abs(first.x - second.x), height: Math.abs(first.y - second.y) };
}

function corners(first, second) {
  const { x, y, width, height } = between(first, second);
  return [{ x, y }, { x: x + width, y }, { x: x + width, y: y + height }, { x, y: y + height }];
}

// name -> what it is called, the key that takes it, its options, and itself
export const TOOLS = {
  brush: { title: "Brush", key: "b", options: ["size", "opacity"], make: Brush },
  eraser: { title: "Eraser", key: "e", options: ["size", "opacity"], make: Eraser },
  lasso: { title: "Lasso", key: "l", options: ["way", "opacity"], make: Lasso },
  polygon: { title: "Polygon lasso", key: "p", options: ["way", "opacity"], make: Polygon },
  rectangle: { title: "Rectangle", key: "r", options: ["way", "opacity"], make: Rectangle },
  fill: { title: "Fill an area", key: "g", options: ["way", "opacity"], make: Fill },
  box: { title: "Box that the model sees", key: "x", options: [], make: Box, boxes: true },
};
