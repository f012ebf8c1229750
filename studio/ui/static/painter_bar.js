// What stands around the painter's surface: the rail of tools, the options of the one that is taken, and what is done with the
// whole. Knows no pixels.

import { icon } from "./icons.js";
import { TOOLS } from "./painter_tools.js";
import { make } from "./workbench.js";

const COLOURS = ["#000000", "#ffffff", "#808080", "#c8372d", "#e8812a", "#f2c230", "#3d9a50", "#2f64c8", "#6a3fa0", "#8a5a3a", "#f2c9a8", "#8ecae6"];

export class PainterBar {
  constructor(painter) {
    this.painter = painter;
    this.tools = Object.fromEntries(Object.entries(TOOLS).map(([name, tool]) => [name, this.button(name, tool.title, () => painter.take(name), tool.key.toUpperCase())]));
    for (const button of Object.values(this.tools)) button.setAttribute("aria-pressed", "false");
    this.rail = make("div", { class: "painter-rail", role: "toolbar", "aria-label": "Painting tools", "aria-orientation": "vertical" }, ...Object.values(this.tools));
    this.rail.addEventListener("keydown", (event) => walk(event, this.rail));

    this.name = make("span", { class: "painter-tool-name" });
    this.size = slider("Size", "size", (share) => painter.resize(painter.sizeAt(share)));
    this.opacity = slider("Opacity", "opacity", (share) => painter.set({ opacity: Math.max(0.01, share) }));
    this.ways = make("div", { class: "segments painter-option", role: "radiogroup", "aria-label": "What the shape does", "data-option": "way" }, ...["paint", "erase"].map((way) => this.way(way)));
    this.colour = this.colours();
    this.options = make("div", { class: "painter-options", role: "group", "aria-label": "Options of the tool" }, this.name, this.size.root, this.opacity.root, this.ways);

    this.whole = {
      everything: this.button("everything", "Fill everything", () => painter.fillAll(), "A"),
      invert: this.button("invert", "Invert", () => painter.invert(), "I"),
      clear: this.button("trash", "Clear", () => painter.clear(), "Delete"),
      open: this.button("folder", "Take a mask from a file", () => painter.task.choose()),
      undo: this.button("undo", "Undo", () => painter.step(-1), "Ctrl+Z"),
      redo: this.button("redo", "Redo", () => painter.step(1), "Ctrl+Shift+Z"),
    };
    this.percent = make("button", { type: "button", class: "canvas-tool is-percent", onclick: () => painter.toggleScale() });
    this.full = this.button("full", "Full screen", () => painter.toggleFullScreen(), "F");
    this.done = make("button", { type: "button", class: "painter-done", text: "Done", onclick: () => painter.close() });
    const { undo, redo, ...rest } = this.whole;
    this.head = make("div", { class: "painter-head", role: "toolbar", "aria-label": "The whole" }, ...Object.values(rest), make("i", { class: "painter-gap" }), undo, redo, this.percent, this.full, this.done);
  }

  button(name, label, act, keys = "") {
    const title = keys ? `${label} (${keys})` : label;
    const button = make("button", { type: "button", class: `canvas-tool is-${name}`, "aria-label": label, title }, icon(name));
    button.addEventListener("click", (event) => {
      act();
      if (event.detail) this.painter.view.root.focus({ preventScroll: true }); // the next Space is for the picture
    });
    return button;
  }

  way(way) {
    const input = make("input", { type: "radio", name: `${this.painter.id}-way`, value: way, onchange: () => this.painter.set({ way }) });
    return make("label", {}, input, make("span", { text: way === "paint" ? "Paint" : "Erase" }));
  }

  colours() {
    const choose = (colour) => this.painter.set({ colour });
    this.picker = make("input", { type: "color", class: "painter-picker", "aria-label": "Colour", title: "Any colour", oninput: () => choose(this.picker.value) });
    this.swatches = COLOURS.map((colour) => {
      const swatch = make("button", { type: "button", class: "painter-swatch", "aria-label": colour, onclick: () => choose(colour) });
      swatch.style.setProperty("--colour", colour);
      return swatch;
    });
    return make("div", { class: "painter-colours", role: "group", "aria-label": "Colours" }, this.picker, ...this.swatches);
  }

  render() {
    const { painter } = this;
    const { settings, task, history } = painter;
    const mask = task.kind === "mask";
    const tool = TOOLS[painter.toolName];
    for (const [name, button] of Object.entries(this.tools)) {
      button.setAttribute("aria-pressed", String(name === painter.toolName));
      button.tabIndex = name === painter.toolName ? 0 : -1;
      button.hidden = !painter.offers(name);
    }
    this.name.textContent = tool.title;
    for (const option of this.options.querySelectorAll(".painter-option")) option.hidden = !tool.options.includes(option.dataset.option);
    this.colour.hidden = mask;
    this.size.set(painter.shareOf(painter.size), `${Math.round(painter.size)} px`);
    this.opacity.set(settings.opacity, `${Math.round(settings.opacity * 100)}%`);
    this.opacity.root.title = mask ? "Below 100% the mask is grey there: less change" : "";
    for (const input of this.ways.querySelectorAll("input")) input.checked = input.value === settings.way;
    this.picker.value = settings.colour;
    for (const swatch of this.swatches) swatch.setAttribute("aria-pressed", String(swatch.ariaLabel === settings.colour));
    this.whole.invert.hidden = this.whole.open.hidden = !mask;
    this.whole.undo.disabled = !history.canUndo;
    this.whole.redo.disabled = !history.canRedo;
    this.full.hidden = !document.fullscreenEnabled;
    this.scaled();
  }

  scaled() {
    const { view } = this.painter;
    const percent = Math.round(view.scale * devicePixelRatio * 100);
    this.percent.textContent = `${percent}%`;
    this.percent.setAttribute("aria-label", `Zoom ${percent}%`);
    this.percent.title = view.fitted ? "Show its own pixels (1)" : "Fit it (0)";
  }
}

/** A labelled slider from 0 to 1 that says its value in words. */
function slider(title, option, changed) {
  const input = make("input", { type: "range", min: 0, max: 1, step: 0.005, "aria-label": title, oninput: () => changed(Number(input.value)) });
  const words = make("output", {});
  const root = make("label", { class: "painter-slider painter-option", "data-option": option }, make("span", { text: title }), input, words);
  const set = (share, text) => {
    input.value = share;
    input.setAttribute("aria-valuetext", text);
    input.style.setProperty("--filled", `${share * 100}%`);
    words.textContent = text;
  };
  return { root, set };
}

/** The rail is one stop of the Tab key. */
function walk(event, rail) {
  const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  event.stopPropagation();
  const buttons = [...rail.children].filter(({ hidden }) => !hidden);
  const next = buttons[(buttons.indexOf(document.activeElement) + by + buttons.length) % buttons.length];
  next.click();
  next.focus();
}
