// The pictures that a query fits: how many there are, and those parts of the list that were looked at. A part is asked for when
// it is first needed, so a list of any length begins at once.

import { address } from "./workbench.js";

const PART = 200;

export class Source {
  /** `changed()` is called when the list, or what is known of it, is another one. */
  constructor(changed) {
    Object.assign(this, { changed, query: {}, images: [], total: 0, counts: null, start: "", problem: "", loaded: false });
    this.turn = 0;
    this.asked = new Set(); // parts that were asked for and have not come yet
    this.order = null; // ids of the whole list, once they were needed
  }

  /** The list of this query, from its beginning; the one in view stays until it has come. `recount`: there may be others now. */
  async open(query = this.query, { recount = true } = {}) {
    const turn = ++this.turn;
    if (recount || query.trash !== this.counted?.trash) this.count(query);
    const page = await get("gallery", { ...query, limit: PART }).catch((error) => ({ problem: error.message }));
    if (turn !== this.turn) return;
    this.loaded = true;
    this.problem = page.problem ?? "";
    if (!page.problem) {
      Object.assign(this, { query, total: page.total, start: page.start, order: null });
      this.asked.clear();
      this.images = page.images;
      this.images.length = page.total;
    }
    this.changed();
  }

  /** What the filters offer; the list does not wait for it. */
  async count(query) {
    this.counted = query;
    const counts = await get("gallery/counts", { trash: Boolean(query.trash) }).catch(() => null);
    if (!counts || this.counted !== query) return;
    this.counts = counts;
    this.changed();
  }

  at(index) {
    return this.images[index] ?? null;
  }

  find(id) {
    return this.images.findIndex((image) => image?.id === id);
  }

  /** These places of the list are in view. */
  need(first, last) {
    for (let index = Math.max(0, first); index <= Math.min(last, this.total - 1); index += 1) {
      if (!this.images[index]) this.ask(Math.floor(index / PART) * PART);
    }
  }

  async ask(skip) {
    if (this.asked.has(skip)) return;
    this.asked.add(skip);
    const { turn } = this;
    const page = await get("gallery", { ...this.query, cursor: this.start, skip, limit: PART }).catch((error) => ({ problem: error.message }));
    if (turn !== this.turn) return;
    if (page.problem) this.problem = page.problem; // asked again with the list, not by itself
    else this.asked.delete(skip);
    (page.images ?? []).forEach((image, place) => (this.images[skip + place] = image));
    if (page.images && page.images.length < Math.min(PART, this.total - skip)) this.open(); // the list has become shorter elsewhere
    else this.changed();
  }

  /** Ids of the whole list in its order. */
  async ids() {
    const { turn } = this;
    const order = this.order ?? (await get("gallery/ids", this.query));
    if (turn === this.turn) this.order = order;
    return order;
  }

  /** These pictures left the list by what was done here. */
  remove(ids) {
    const gone = new Set(ids);
    const before = this.images.length;
    const left = [];
    let place = 0;
    for (let index = 0; index < before; index += 1) {
      const image = this.images[index];
      if (image && gone.has(image.id)) continue;
      if (image) left[place] = image;
      place += 1;
    }
    const unseen = gone.size - (before - place); // of parts that were not looked at: their places are not known
    this.images = left;
    this.images.length = this.total = Math.max(0, place - unseen);
    this.turn += 1; // what is on its way was counted from other places
    this.asked.clear();
    this.order = null;
    if (unseen) this.open();
    else this.changed();
  }

  mark(ids, favourite) {
    const marked = new Set(ids);
    for (const image of this.images) if (image && marked.has(image.id)) image.favourite = favourite;
    this.changed();
  }
}

async function get(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== false && value !== null);
  const answer = await fetch(address(`${path}?${new URLSearchParams(given)}`)).catch(() => null);
  if (!answer) throw new Error("The studio could not be reached.");
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? "The studio did not answer.");
  return said;
}
