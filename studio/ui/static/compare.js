// Two pictures over each other with a divider to move: a result and what it was made from, or two results, and beside those what
// differs in their recipes.

import { archive } from "./archive.js";
import { icon } from "./icons.js";
import { address, make } from "./workbench.js";

export class Compare {
  constructor(workbench, panel) {
    Object.assign(this, { workbench, panel });
    this.left = make("img", { draggable: "false" });
    this.right = make("img", { class: "compare-over", draggable: "false" });
    this.divider = make("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, "aria-label": "Divider", oninput: () => this.divide() });
    this.labels = [make("span", { class: "compare-label" }), make("span", { class: "compare-label" })];
    this.box = make("div", { class: "compare-box" }, this.left, this.right, make("i", { class: "compare-line" }), this.divider, ...this.labels);
    const cancel = make("button", { type: "button", class: "plain-button", text: "Cancel", onclick: () => this.close() });
    this.banner = make("div", { class: "toast", role: "status", hidden: true }, make("p", { text: "Choose a picture in Recent to compare with." }), cancel);
    const close = make("button", { type: "button", class: "tool compare-close", "aria-label": "Close the comparison", title: "Close", onclick: () => this.close() }, icon("remove"));
    this.other = make("button", { type: "button", class: "plain-button compare-other", text: "Compare with another picture", onclick: () => (this.close(), this.ask()) });
    this.root = make("div", { class: "compare", role: "group", "aria-label": "Comparison", hidden: true }, this.box, make("div", { class: "compare-head" }, close, this.other));
    new ResizeObserver(() => this.fit()).observe(this.root);
  }

  get isOpen() {
    return !this.root.hidden;
  }

  /** The next picture chosen in Recent is compared with this one. */
  ask() {
    this.workbench.comparing = true;
    this.banner.hidden = false;
    this.workbench.emit("comparing");
  }

  /** `image`: { id, width, height }; `source`: { hash, fit, sides } of the picture that it was made from: how that was
   * brought to its size, as CSS calls it, and by how many pixels it was extended at the top, right, bottom and left. */
  openSource(image, { hash, fit, sides }) {
    this.lay(image, [
      { path: `inputs/${hash}`, words: "Before", fit },
      { path: `images/${image.id}`, words: "After" },
    ]);
    const shares = sides.map((pixels, side) => (100 * pixels) / (side % 2 ? image.width : image.height));
    const [top, right, bottom, left] = shares;
    this.left.style.cssText += `; inset: ${shares.map((share) => `${share}%`).join(" ")}; width: ${100 - left - right}%; height: ${100 - top - bottom}%`;
    this.other.hidden = false;
    this.workbench.emit("comparing");
  }

  lay({ width, height }, sides) {
    this.close();
    this.size = [width, height];
    [this.left, this.right].forEach((image, place) => {
      const { path, words, fit } = sides[place];
      image.src = address(path);
      image.alt = place ? `Right: ${words}` : `Left: ${words}`;
      image.style.cssText = fit ? `object-fit: ${fit}` : "";
      this.labels[place].textContent = words;
    });
    this.root.hidden = false;
    this.fit();
    this.divide(50);
    this.divider.focus({ preventScroll: true });
  }

  /** Both are { id, width, height, seed }. */
  async open(first, second) {
    this.lay(first, [first, second].map(({ id, seed }) => ({ path: `images/${id}`, words: `seed ${seed}` })));
    this.other.hidden = true;
    this.panel.open(this, "What differs", () => this.close());
    const recipes = await Promise.all([first, second].map(({ id }) => archive.recipe(id))).catch((error) => error);
    if (!this.isOpen || this.panel.owner !== this) return;
    if (recipes instanceof Error) this.panel.show(make("p", { class: "side-note", text: recipes.message }));
    else this.panel.show(differences(...recipes.map(({ rows }) => new Map(rows))));
  }

  divide(value = this.divider.value) {
    this.divider.value = value;
    this.box.style.setProperty("--divider", `${value}%`);
  }

  /** The box has the shape of the first picture; the second lies in it as a whole. */
  fit() {
    if (!this.isOpen) return;
    const { clientWidth, clientHeight } = this.root;
    const scale = Math.min(clientWidth / this.size[0], clientHeight / this.size[1]);
    this.box.style.width = `${Math.floor(this.size[0] * scale)}px`;
    this.box.style.height = `${Math.floor(this.size[1] * scale)}px`;
  }

  close() {
    this.workbench.comparing = false;
    this.banner.hidden = true;
    this.root.hidden = true;
    this.workbench.emit("comparing");
    if (this.panel.owner === this) this.panel.close();
  }
}

function differences(first, second) {
  const titles = [...new Set([...first.keys(), ...second.keys()])].filter((title) => first.get(title) !== second.get(title));
  if (!titles.length) return make("p", { class: "side-note", text: "Nothing: their recipes are the same." });
  const row = (title) => make("div", {}, make("dt", { text: title }), make("dd", { text: first.get(title) ?? "none" }), make("dd", { text: second.get(title) ?? "none" }));
  const head = make("p", { class: "side-note", text: "Left, then right" });
  return make("div", {}, head, make("dl", { class: "recipe is-pair" }, ...titles.map(row)));
}
