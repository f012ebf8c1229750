// How large the picture lies on the stage: fitted to it, or at a scale of its own, and then moved about.

const STEP = 1.25;
const LARGEST = 16;
const SMOOTH_BELOW = 3; // screen pixels for one of the picture; from there on each is drawn as a square
const WHEEL = 0.002;
const NARROW = matchMedia("(max-width: 819px)"); // where the wheel scrolls the page

export class Zoom {
  /** `changed()` is called when the scale or the place is another one. */
  constructor(root, holder, changed) {
    Object.assign(this, { root, holder, changed, scale: null, x: 0, y: 0, size: [1, 1], fit: 1 });
    this.pointers = new Map();
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    root.addEventListener("dblclick", (event) => isGround(event) && this.toggle(event));
    root.addEventListener("pointerdown", (event) => this.down(event));
    root.addEventListener("pointermove", (event) => this.move(event));
    for (const type of ["pointerup", "pointercancel"]) root.addEventListener(type, ({ pointerId }) => this.pointers.delete(pointerId));
  }

  /** The picture's size in its own pixels, and the scale at which it fits. A scale stays for pictures of one size. */
  place(size, fit) {
    if (size.join() !== this.size.join()) this.scale = null;
    Object.assign(this, { size, fit });
    this.apply();
  }

  get shown() {
    return this.scale ?? this.fit;
  }

  /** In hundredths, of the screen's own pixels. */
  get percent() {
    return Math.round(this.shown * devicePixelRatio * 100);
  }

  apply() {
    const [width, height] = this.size.map((side) => side * this.shown);
    if (this.scale === null) this.x = this.y = 0;
    const most = [Math.max(0, (width - this.root.clientWidth) / 2), Math.max(0, (height - this.root.clientHeight) / 2)];
    this.x = Math.min(most[0], Math.max(-most[0], this.x));
    this.y = Math.min(most[1], Math.max(-most[1], this.y));
    this.holder.style.width = `${Math.floor(width)}px`;
    this.holder.style.height = `${Math.floor(height)}px`;
    this.holder.style.transform = this.scale === null ? "" : `translate(${this.x}px, ${this.y}px)`;
    this.root.toggleAttribute("data-zoomed", this.scale !== null);
    this.root.toggleAttribute("data-pixels", this.scale !== null && this.shown * devicePixelRatio >= SMOOTH_BELOW);
    this.changed();
  }

  /** The point at `clientX`, `clientY` stays where it is; without one, the middle does. */
  to(scale, { clientX, clientY } = {}) {
    const before = this.shown;
    const least = Math.min(this.fit, 1 / devicePixelRatio);
    const next = scale === null ? null : Math.min(LARGEST, Math.max(least, scale));
    if (next !== null && clientX !== undefined) {
      const { left, top, width, height } = this.root.getBoundingClientRect();
      const [dx, dy] = [clientX - left - width / 2, clientY - top - height / 2];
      this.x = dx - ((dx - this.x) * next) / before;
      this.y = dy - ((dy - this.y) * next) / before;
    } else if (next !== null) {
      this.x *= next / before;
      this.y *= next / before;
    }
    this.scale = next;
    this.apply();
  }

  /** Fitted, or one pixel of the picture on one of the screen. */
  toggle(point) {
    this.to(this.scale === null ? 1 / devicePixelRatio : null, point);
  }

  by(steps, point) {
    this.to(this.shown * STEP ** steps, point);
  }

  wheel(event) {
    if (!this.holder.firstChild || !isGround(event) || (NARROW.matches && !event.ctrlKey)) return;
    event.preventDefault();
    this.to(this.shown * Math.exp(-event.deltaY * WHEEL * (event.ctrlKey ? 4 : 1)), event);
  }

  down(event) {
    if (!isGround(event) || event.button > 0) return;
    this.pointers.set(event.pointerId, event);
    if (this.scale !== null) this.root.setPointerCapture(event.pointerId);
  }

  /** One pointer moves a picture that has a scale of its own; two change the scale. */
  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const other = [...this.pointers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    if (other) {
      const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
      this.to((this.shown * distance(event, other)) / Math.max(1, distance(before, other)), middle);
    } else if (this.scale !== null) {
      this.x += event.clientX - before.clientX;
      this.y += event.clientY - before.clientY;
      this.apply();
    }
    this.pointers.set(event.pointerId, event);
  }
}

/** Not a control that lies on the stage. */
function isGround({ target }) {
  return !target.closest("button, a, input, .welcome, .compare, .grid");
}

function distance(a, b) {
  return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
}
