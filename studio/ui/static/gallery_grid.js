// The grid of thumbnails. Only the rows in view are drawn, so it is as quick with twenty thousand pictures as with twenty.

import { make } from "./workbench.js";
import { tile } from "./gallery_tile.js";

const GAP = 8;
const BEYOND = 2; // rows drawn above and below those in view
const LIST = "gallery-list";

export class Grid {
  /** `open(index)`: a picture was asked for in large; `lost(id)`: its thumbnail could not be shown; `keys`: name of a key -> what it does. */
  constructor(source, selection, { open, lost, keys }) {
    Object.assign(this, { source, selection, open, lost, keys, side: 168 });
    this.tiles = new Map(); // id of a picture, or its place while it has not come -> element
    this.canvas = make("div", { class: "gallery-canvas" });
    this.date = make("p", { class: "gallery-date", "aria-hidden": "true", hidden: true });
    this.root = make("div", { class: "gallery-list", id: LIST, role: "listbox", tabindex: 0, "aria-multiselectable": "true", "aria-label": "Pictures" }, this.date, this.canvas);
    this.root.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("focus", () => this.render());
    this.root.addEventListener("blur", () => this.render());
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("dblclick", (event) => this.doubled(event));
    new ResizeObserver(() => (this.measure(), this.render())).observe(this.root);
  }

  resize(side) {
    const first = this.firstRow * this.columns;
    this.side = side;
    this.measure();
    this.root.scrollTop = Math.floor(first / this.columns) * this.step;
    this.render();
  }

  toTop() {
    this.root.scrollTop = 0;
  }

  get atTop() {
    return this.root.scrollTop < this.step / 2;
  }

  get firstRow() {
    return this.step ? Math.floor(this.root.scrollTop / this.step) : 0;
  }

  scrolled() {
    this.label();
    if (this.firstRow !== this.drawn) this.render();
  }

  measure() {
    const style = getComputedStyle(this.root);
    const width = this.root.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    this.columns = Math.max(2, Math.floor((width + GAP) / (this.side + GAP)));
    this.cell = Math.floor((width - GAP * (this.columns - 1)) / this.columns);
    this.step = this.cell + GAP;
  }

  render() {
    if (!this.root.clientWidth) return; // its tab is not open
    if (!this.step) this.measure();
    this.drawn = this.firstRow;
    this.focused = document.activeElement === this.root;
    this.root.toggleAttribute("data-choosing", this.selection.ids.size > 0);
    const { columns, step, cell, source } = this;
    const rows = Math.ceil(source.total / columns);
    this.canvas.style.height = `${Math.max(0, rows * step - GAP)}px`;
    const shown = Math.ceil(this.root.clientHeight / step) + 1;
    const first = Math.max(0, this.drawn - BEYOND) * columns;
    const last = Math.min(source.total, (this.drawn + shown + BEYOND) * columns) - 1;
    const before = this.tiles;
    this.tiles = new Map();
    let next = this.canvas.firstChild; // tiles lie in the document in the list's order
    for (let index = first; index <= last; index += 1) {
      const image = source.at(index);
      const key = image?.id ?? index;
      const element = before.get(key) ?? tile(image, this.lost);
      before.delete(key);
      this.tiles.set(key, element);
      this.place(element, index, image);
      element.style.width = element.style.height = `${cell}px`;
      element.style.transform = `translate(${(index % columns) * step}px, ${Math.floor(index / columns) * step}px)`;
      if (element === next) next = element.nextSibling;
      else this.canvas.insertBefore(element, next);
    }
    for (const element of before.values()) element.remove();
    this.point();
    this.label();
    source.need(first, last);
  }

  /** What of a tile changes while it is drawn. */
  place(element, index, image) {
    element.dataset.index = index;
    element.setAttribute("aria-posinset", index + 1);
    element.setAttribute("aria-setsize", this.source.total);
    element.setAttribute("aria-selected", String(Boolean(image) && this.selection.has(image.id)));
    element.toggleAttribute("data-favourite", Boolean(image?.favourite));
    element.toggleAttribute("data-current", index === this.selection.current && this.focused);
  }

  /** Where the keyboard is, for screen readers. */
  point() {
    const element = this.tileAt(this.selection.current);
    if (element) this.root.setAttribute("aria-activedescendant", element.id);
    else this.root.removeAttribute("aria-activedescendant");
  }

  /** The day of the first row in view, once the list was scrolled. */
  label() {
    const image = this.source.at(this.firstRow * this.columns);
    this.date.hidden = !image || this.atTop || this.source.query.sort === "largest";
    if (!this.date.hidden) this.date.textContent = new Date(image.created * 1000).toLocaleDateString(undefined, { dateStyle: "medium" });
  }

  tileAt(index) {
    return this.tiles.get(this.source.at(index)?.id ?? index);
  }

  click(event) {
    const element = event.target.closest(".gallery-tile");
    if (!element) return;
    const index = Number(element.dataset.index);
    const touched = event.pointerType === "touch";
    if (event.shiftKey) this.selection.range(index);
    else if (event.ctrlKey || event.metaKey || event.target.closest(".gallery-check") || (touched && this.selection.ids.size)) this.selection.toggle(index);
    else if (touched) this.open(index);
    else this.selection.only(index);
  }

  doubled(event) {
    const element = event.target.closest(".gallery-tile");
    if (element && !event.target.closest(".gallery-check")) this.open(Number(element.dataset.index));
  }

  key(event) {
    const { selection, source, columns } = this;
    if (event.altKey || !source.total) return;
    const control = event.ctrlKey || event.metaKey;
    const page = Math.max(1, Math.floor(this.root.clientHeight / this.step)) * columns;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page };
    const to = event.key in by ? selection.current + by[event.key] : { Home: 0, End: source.total - 1 }[event.key];
    if (to !== undefined) this.walk(Math.max(0, Math.min(to, source.total - 1)), event.shiftKey, control);
    else if (event.key === " ") selection.toggle(selection.current);
    else if (event.key === "Enter" && !control) this.open(selection.current);
    else if (event.key === "a" && control) selection.all();
    else if (event.key === "Escape" && selection.ids.size) selection.clear();
    else if (!control && this.keys[event.key]) this.keys[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  walk(to, range, control) {
    this.reveal(to);
    if (range) this.selection.range(to);
    else if (control || this.selection.ids.size > 1 || !this.source.at(to)) this.selection.move(to);
    else this.selection.only(to);
  }

  /** Scrolls no further than is needed to see this place. */
  reveal(index) {
    const top = Math.floor(index / this.columns) * this.step;
    const { scrollTop, clientHeight } = this.root;
    if (top < scrollTop) this.root.scrollTop = top;
    else if (top + this.cell > scrollTop + clientHeight) this.root.scrollTop = top + this.cell - clientHeight + GAP;
  }
}
