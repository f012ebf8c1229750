// What is in memory: a bar of components against the budget, the same part by part for each model, and the budget itself.

import { make } from "./workbench.js";
import { component, deviceTitle, role, size } from "./units.js";

const STEP = 2 ** 26;

export class Memory {
  /** `ask(command)` sends a command to the worker. */
  constructor(ask) {
    this.ask = ask;
    this.held = false; // the slider is being moved
    this.least = 0; // what the smallest usable model takes
    this.bar = make("div", { class: "browser-bar", role: "img" });
    this.figures = make("p", { class: "browser-figures" });
    this.problem = make("p", { class: "browser-problem", role: "alert" });
    this.legend = make("ul", { class: "browser-legend", "aria-label": "Models in memory" });
    this.slider = make("input", { type: "range", id: "browser-budget", min: 0, step: STEP });
    this.limit = make("output", { class: "browser-size", for: "browser-budget" });
    this.empty = make("button", { type: "button", class: "browser-button", text: "Unload all", onclick: () => ask({ action: "unload" }) });
    this.slider.addEventListener("input", () => this.slide());
    this.slider.addEventListener("change", () => this.set());
    this.element = make("section", { class: "browser-memory", "aria-label": "In memory" },
      make("div", { class: "browser-line" }, make("h2", { text: "In memory" }), this.figures),
      this.bar, this.legend, this.problem,
      make("div", { class: "browser-controls" },
        make("label", { class: "browser-budget", for: "browser-budget" }, make("span", { text: "Memory budget" }), this.slider, this.limit),
        this.empty));
  }

  /** `titles`: id -> title of the models on disk; `refused`: why the last command that names no model was refused. */
  show(memory, titles, refused) {
    this.problem.textContent = refused ?? memory.problems[""] ?? "";
    const drawn = JSON.stringify([memory.used, memory.budget, memory.device, memory.residents, memory.holders, memory.pinned, [...titles]]);
    this.showBudget(memory);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const groups = grouped(memory, titles);
    const sentence = memory.budget ? `${size(memory.used)} of ${size(memory.budget)} on ${deviceTitle(memory.device)}` : "No model has been read yet.";
    this.figures.textContent = sentence;
    this.bar.setAttribute("aria-label", `Memory of models: ${sentence}`);
    const whole = Math.max(memory.budget, memory.used, 1);
    this.bar.replaceChildren(...groups.map(({ title, parts, bytes }) => {
      const group = stack(parts, bytes, title);
      group.style.flexBasis = `${(100 * bytes) / whole}%`;
      return group;
    }));
    const most = Math.max(...groups.map(({ bytes }) => bytes), 1);
    this.legend.replaceChildren(...groups.map((group) => row(group, most)));
    this.legend.hidden = groups.length === 0;
  }

  showBudget({ used, budget }) {
    this.slider.disabled = !budget;
    this.empty.disabled = !used;
    if (this.held || !budget) return;
    this.slider.min = Math.min(this.least, budget);
    this.slider.max = Math.max(budget, Number(this.slider.dataset.most) || 0);
    this.slider.dataset.most = this.slider.max;
    this.slider.value = budget;
    this.limit.textContent = size(budget);
    this.paint();
  }

  paint() {
    this.slider.style.setProperty("--filled", `${(100 * (this.slider.value - this.slider.min)) / Math.max(this.slider.max - this.slider.min, 1)}%`);
  }

  slide() {
    this.held = true;
    this.paint();
    this.limit.textContent = size(Number(this.slider.value));
    this.slider.setAttribute("aria-valuetext", this.limit.textContent);
  }

  set() {
    this.held = false;
    const bytes = Number(this.slider.value);
    this.ask({ action: "budget", bytes: bytes + STEP > Number(this.slider.max) ? null : Math.max(bytes, 1) });
  }
}

/** Components by the models that hold them; one that several share stands once, under all their names. */
function grouped({ residents, holders }, titles) {
  const groups = new Map();
  residents.forEach(([name, bytes], number) => {
    const held = holders[number] ?? [];
    const title = held.map((id) => titles.get(id) ?? id).join(", ") || "Held for later";
    if (!groups.has(title)) groups.set(title, { title, shared: held.length > 1, parts: [], bytes: 0 });
    const group = groups.get(title);
    group.parts.push({ name, bytes });
    group.bytes += bytes;
  });
  for (const group of groups.values()) group.parts.sort((a, b) => b.bytes - a.bytes);
  return [...groups.values()].sort((a, b) => b.bytes - a.bytes);
}

/** A bar of parts, each as wide as its share. */
export function stack(parts, whole, title = "") {
  return make("div", { class: "browser-stack" }, ...parts.map(({ name, bytes }) => {
    const part = make("div", { class: `browser-part is-${role(name)}`, title: `${title ? `${title}, ` : ""}${component(name)}: ${size(bytes)}` });
    part.style.flexBasis = `${(100 * bytes) / Math.max(whole, 1)}%`;
    return part;
  }));
}

function row({ title, shared, parts, bytes }, most) {
  const bar = stack(parts, most);
  bar.setAttribute("aria-hidden", "true");
  return make("li", {},
    make("div", { class: "browser-line" },
      make("span", { class: "browser-holder", dir: "auto", text: shared ? `Shared: ${title}` : title }),
      make("span", { class: "browser-size", text: size(bytes) })),
    bar,
    make("ul", { class: "browser-parts", "aria-label": `Parts of ${title}` }, ...parts.map((part) =>
      make("li", {},
        make("span", { class: `browser-swatch is-${role(part.name)}` }),
        make("span", { text: component(part.name) }),
        make("span", { class: "browser-size", text: size(part.bytes) })))));
}
