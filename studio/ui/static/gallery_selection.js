// Which pictures of the gallery are chosen, and at which one the keyboard is. Chosen ones are known by their ids, so that they stay
// chosen when the list changes.

export class Selection {
  constructor(source, changed) {
    Object.assign(this, { source, changed });
    this.ids = new Set();
    this.current = 0; // place in the list
    this.id = null; // of the picture there
    this.anchor = 0; // where a range begins
  }

  /** The list is another one: the keyboard stays at its picture, if that is still in view. */
  settle() {
    const now = this.source.at(this.current)?.id;
    if (this.id && now !== this.id) {
      const index = this.source.find(this.id);
      if (index >= 0) this.anchor = this.current = index;
    }
    this.current = Math.max(0, Math.min(this.current, this.source.total - 1));
    this.id = this.source.at(this.current)?.id ?? null;
  }

  has(id) {
    return this.ids.has(id);
  }

  /** The chosen pictures that are known, in the list's order. */
  get images() {
    return this.source.images.filter((image) => image && this.ids.has(image.id));
  }

  /** The keyboard is at this place. */
  at(index) {
    this.current = index;
    this.id = this.source.at(index)?.id ?? null;
  }

  only(index) {
    const image = this.source.at(index);
    this.ids = new Set(image ? [image.id] : []);
    this.at(index);
    this.anchor = index;
    this.changed();
  }

  toggle(index) {
    const image = this.source.at(index);
    if (!image) return;
    if (!this.ids.delete(image.id)) this.ids.add(image.id);
    this.at(index);
    this.anchor = index;
    this.changed();
  }

  /** All from where the last choice was made to here, and no others. */
  async range(index) {
    const [first, last] = [Math.min(this.anchor, index), Math.max(this.anchor, index)];
    this.at(index);
    let ids = this.source.images.slice(first, last + 1).map((image) => image?.id);
    if (ids.length < last - first + 1 || ids.includes(undefined)) ids = (await this.source.ids()).slice(first, last + 1);
    this.ids = new Set(ids);
    this.changed();
  }

  async all() {
    this.ids = new Set(await this.source.ids());
    this.changed();
  }

  clear() {
    if (!this.ids.size) return;
    this.ids = new Set();
    this.changed();
  }

  /** The keyboard goes to this place; what is chosen stays. */
  move(index) {
    this.at(Math.max(0, Math.min(index, this.source.total - 1)));
    this.changed();
  }
}
