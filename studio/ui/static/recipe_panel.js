// The recipe of the picture in view, to read and to copy.

import { archive } from "./archive.js";
import { copyText } from "./clipboard.js";
import { make } from "./workbench.js";

export class RecipePanel {
  /** `say(sentence)` receives a sentence on what was copied; `changed()`: the panel was opened or closed. */
  constructor(panel, { say, changed }) {
    Object.assign(this, { panel, say, changed, id: null });
  }

  get isOpen() {
    return this.panel.owner === this;
  }

  toggle(id) {
    if (this.isOpen) return this.panel.close();
    this.panel.open(this, "Recipe", () => {
      this.id = null;
      this.changed();
    });
    return this.show(id);
  }

  /** While it is open it follows the picture in view. */
  async show(id) {
    if (!this.isOpen || this.id === id) return;
    this.id = id;
    if (!id) return void this.panel.show(make("p", { class: "side-note", text: "It is shown for one finished picture at a time." }));
    try {
      const { rows, recipe, text } = await archive.recipe(id);
      if (this.id === id && this.isOpen) this.panel.show(list(rows), this.buttons(recipe, text));
    } catch (error) {
      if (this.id === id && this.isOpen) this.panel.show(make("p", { class: "side-note", text: error.message }));
    }
  }

  buttons(recipe, text) {
    const button = (words, copied) => make("button", { type: "button", class: "browser-button", text: words, onclick: () => this.copy(copied) });
    return make("div", { class: "side-foot" }, button("Copy as AUTOMATIC1111 text", text), button("Copy as JSON", JSON.stringify(recipe, null, 2)));
  }

  copy(text) {
    copyText(text).then(() => this.say("Copied."), (error) => this.say(error.message));
  }
}

function list(rows) {
  return make("dl", { class: "recipe" }, ...rows.map(([title, text]) => make("div", {}, make("dt", { text: title }), make("dd", { text }))));
}
