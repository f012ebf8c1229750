// Two pictures over each other with a divider to move, and beside them what differs in their recipes.

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
    this.root = make("div", { class: "compare", role: "group", "aria-label": "Comparison", hidden: true }, this.box, close);
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

  /** Both are { id, width, height, seed }. */
  async open(first, second) {
    this.close();
    this.size = [first.width, first.height];
    [this.left, this.right].forEach((image, place) => {
      const { id, seed } = [first, second][place];
      image.src = address(`images/${id}`);
      image.alt = `${place ? "Right" : "Left"}: seed ${seed}`;
      this.labels[place].textContent = `seed ${seed}`;
    });
    this.root.hidden = false;
    this.panel.open(this, "What differs", () => this.close());
    this.fit();
    this.divide(50);
    this.divider.focus({ preventScroll: true });
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
