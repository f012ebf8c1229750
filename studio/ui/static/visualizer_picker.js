// The recent pictures and stopped runs, to choose one from.

import { address, make } from "./workbench.js";

export class Picker {
  /** `chosen({ job, image })`. */
  constructor(chosen) {
    this.chosen = chosen;
    this.list = make("ul", { class: "results", "aria-label": "Recent runs" });
    this.root = make("section", { class: "vis-recent", hidden: true }, this.list);
    this.list.addEventListener("keydown", (event) => this.walk(event));
  }

  draw(items) {
    const known = new Map([...this.list.children].map((item) => [item.dataset.id, item]));
    this.list.replaceChildren(...items.map((item) => known.get(item.id) ?? this.entry(item)));
    this.mark(this.image, this.job);
  }

  entry({ id, job, index, seed, prompt, picture, stopped }) {
    const words = `${prompt || "No prompt"}, ${stopped ?? `seed ${seed}`}`;
    const shown = make("img", { src: address(picture ?? `thumbnails/${id}`), alt: "", loading: "lazy", decoding: "async" });
    const button = make("button", { type: "button", "data-id": id, "data-job": job, "aria-label": words, title: words, onclick: () => this.chosen({ job, image: index }) }, shown);
    return make("li", { "data-id": id }, button, ...(stopped ? [make("span", { class: "stopped", text: "Stopped" })] : []));
  }

  /** The list is one stop of the Tab key: at the run in view, else at the newest. */
  mark(image, job) {
    Object.assign(this, { image, job });
    const buttons = [...this.list.querySelectorAll("button")];
    const here = buttons.find(({ dataset }) => (image ? dataset.id === image : dataset.id === `stopped-${job}`));
    for (const button of buttons) {
      button.tabIndex = button === (here ?? buttons[0]) ? 0 : -1;
      if (button === here) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  walk(event) {
    const buttons = [...this.list.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    buttons[Math.max(0, Math.min(to, buttons.length - 1))].focus();
  }
}
