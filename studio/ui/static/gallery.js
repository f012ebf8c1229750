// The Gallery tab: every picture the studio made. Filters decide which list is in view, the grid draws it, the selection is what is
// chosen in it, the bar and the view do something with that; whatever is done changes the list, and the list is drawn anew.

import { Actions } from "./gallery_actions.js";
import { Bar } from "./gallery_bar.js";
import { isSketch } from "./feed.js";
import { Filters } from "./gallery_filters.js";
import { Grid } from "./gallery_grid.js";
import { Selection } from "./gallery_selection.js";
import { Source } from "./gallery_source.js";
import { studio } from "./studio.js";
import { tabs } from "./tabs.js";
import { Toast } from "./toast.js";
import { View } from "./gallery_view.js";
import { make } from "./workbench.js";

const SIDE = "unnoise-gallery-side"; // how large thumbnails are drawn, as this browser remembers it
const NARROW = matchMedia("(max-width: 819px)");
const AGAIN_MS = 1500; // after a thumbnail was lost

export function mount({ element }) {
  new Gallery(element);
}

class Gallery {
  constructor(element) {
    this.element = element;
    this.source = new Source(() => this.render());
    this.selection = new Selection(this.source, () => this.render());
    this.toast = new Toast();
    this.actions = new Actions(this.source, this.selection, (sentence, undo) => (this.view.isOpen ? this.view.toast : this.toast).say(sentence, undo));
    this.grid = new Grid(this.source, this.selection, { open: (index) => this.open(index), lost: (id) => this.lose(id), keys: this.keys() });
    this.bar = new Bar(this.source, this.selection, this.actions, { open: (index) => this.open(index), compare: (first, second) => this.view.compareTwo(first, second) });
    this.view = new View(this.source, this.actions, { moved: (index) => this.returned(index) });
    const side = Number(localStorage.getItem(SIDE)) || (NARROW.matches ? 112 : 176);
    this.filters = new Filters({ changed: (query) => this.ask(query), sized: (size) => this.resize(size), side });
    this.count = make("p", { class: "gallery-count", role: "status" });
    this.fresh = make("button", { type: "button", class: "gallery-fresh", text: "New pictures", hidden: true, onclick: () => (this.grid.toTop(), this.source.open()) });
    this.empty = make("button", { type: "button", class: "browser-button is-alarm", text: "Empty the trash", hidden: true, onclick: () => this.actions.emptyTrash() });
    this.none = make("div", { class: "gallery-none", hidden: true });
    const head = make("div", { class: "gallery-line" }, this.count, this.empty);
    element.querySelector(".gallery-body").append(this.filters.root, head, make("div", { class: "gallery-ground" }, this.grid.root, this.none, this.fresh, this.bar.root, this.toast.root), this.view.dialog);
    this.lostIds = new Set();
    this.grid.side = side;
    this.wire();
  }

  wire() {
    tabs.on(() => setTimeout(() => this.look())); // its place is drawn by then
    document.addEventListener("visibilitychange", () => this.look());
    let before = null;
    studio.on("queue", ({ newest, running }) => {
      const now = `${newest} ${running.filter((job) => !isSketch(job))}`;
      if (before !== null && now !== before && this.source.loaded) this.refresh();
      before = now;
    });
  }

  keys() {
    const chosen = () => [...this.selection.ids];
    const trash = () => this.source.query.trash;
    return {
      Delete: () => chosen().length && (trash() ? this.actions.purge(chosen()) : this.actions.trash(chosen())),
      s: () => chosen().length && !trash() && this.actions.favour(this.selection.images, chosen()),
    };
  }

  get seen() {
    return document.visibilityState === "visible" && this.element.offsetParent !== null;
  }

  /** The list is asked for when the tab is opened, and again each time: pictures may have come and gone. */
  look() {
    if (this.seen && !this.looking) this.source.open(this.filters.query);
    this.looking = this.seen;
  }

  ask(query) {
    this.selection.clear();
    this.selection.move(0);
    this.selection.id = null;
    this.grid.toTop();
    return this.source.open(query, { recount: false });
  }

  /** A run has ended: at the list's beginning its pictures show up at once, further down a button offers them. */
  refresh() {
    if (!this.seen) return;
    if (this.grid.atTop && !this.view.isOpen) this.source.open();
    else if (!this.source.query.trash && this.source.query.sort === "newest") this.fresh.hidden = false;
  }

  resize(side) {
    localStorage.setItem(SIDE, side);
    this.grid.resize(side);
  }

  /** A thumbnail could not be shown. Its file may be gone, which the studio finds out when the list is asked for anew. */
  lose(id) {
    if (this.lostIds.has(id)) return;
    this.lostIds.add(id);
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.source.open();
    }, AGAIN_MS);
  }

  open(index) {
    this.selection.move(index);
    this.view.open(index);
  }

  returned(index) {
    if (index >= 0) {
      this.grid.reveal(index);
      this.selection.only(index);
    }
    if (this.seen) this.grid.root.focus({ preventScroll: true });
  }

  render() {
    const { source, filters, selection } = this;
    if (!source.loaded) return;
    if (source.counts) filters.offer(source.counts);
    const trash = Boolean(source.query.trash);
    selection.settle();
    const all = filters.areClear || !source.counts ? source.total : trash ? source.counts.trash : source.counts.pictures;
    const words = (count) => `${count.toLocaleString()} ${count === 1 ? "picture" : "pictures"}`;
    const count = source.total === all ? words(source.total) : `${source.total.toLocaleString()} of ${words(all)}`;
    this.count.textContent = source.problem || `${count}${trash ? " in the trash" : ""}`;
    this.count.classList.toggle("is-alarm", Boolean(source.problem));
    this.empty.hidden = !trash || !source.total || !filters.areClear;
    if (this.grid.atTop) this.fresh.hidden = true;
    this.say(trash);
    this.grid.render();
    this.bar.render();
    this.view.render();
  }

  /** What is said in place of pictures. */
  say(trash) {
    const { source, filters } = this;
    this.none.hidden = source.total > 0 || Boolean(source.problem && !source.counts);
    this.grid.root.hidden = !this.none.hidden;
    if (this.none.hidden) {
      this.said = "";
      return;
    }
    const button = (text, act) => make("button", { type: "button", class: "browser-button", text, onclick: act });
    const first = tabs.list[0];
    const [sentence, offer] = !filters.areClear
      ? ["No picture matches.", button("Clear search and filters", () => filters.clear())]
      : trash ? ["The trash is empty.", button("Back to all pictures", () => filters.trash.click())]
      : ["Every picture that you make is kept here. There is none yet.", button("Make the first one", () => (location.hash = first.address))];
    if (this.said === sentence) return; // a button that has the focus stays
    this.said = sentence;
    this.none.replaceChildren(make("p", { text: sentence }), offer);
  }
}
