// The row of buttons in the canvas's corner, and the keys that do the same.

import { notices } from "./announcer.js";
import { copiesPictures } from "./clipboard.js";
import { icon } from "./icons.js";
import { menuButton } from "./menu.js";
import { isTyping } from "./play_keys.js";
import { currentWorkbench, make } from "./workbench.js";

const SWITCHES = new Set(["grid", "compare", "recipe", "favourite", "bell"]);

export class Tools {
  /** `toggleGrid()`: show all images of the run beside each other, or one. */
  constructor(workbench, { zoom, actions, toggleGrid }) {
    Object.assign(this, { zoom, actions });
    this.buttons = {};
    const add = (name, label, act, keys = "") => (this.buttons[name] = tool(name, label, act, keys));
    this.percent = make("button", { type: "button", class: "canvas-tool is-percent", onclick: () => zoom.toggle() });
    this.root = make(
      "div",
      { class: "tools", role: "toolbar", "aria-label": "Picture tools" },
      add("compare", "Compare with another picture", () => actions.toggleCompare(), "C"),
      add("zoom-out", "Zoom out", () => zoom.by(-1), "−"),
      this.percent,
      add("zoom-in", "Zoom in", () => zoom.by(1), "+"),
      add("grid", "All images of this run", toggleGrid, "G"),
      add("recipe", "Recipe", () => actions.toggleRecipe(), "R"),
      add("favourite", "Favourite", () => actions.favour(), "S"),
      menuButton(add("send", "Use this picture", null), () => actions.places()),
      add("copy", "Copy the picture", () => actions.copy()),
      add("folder", "Open its folder, or copy its path", () => actions.open()),
      add("trash", "Delete", () => actions.delete(), "Delete"),
      add("bell", "Notify me when a run has ended", () => notices.toggle().then(() => this.render(this.run))),
      add("full", "Full screen", () => actions.toggleFullScreen(), "F"),
    );
    document.addEventListener("keydown", (event) => currentWorkbench() === workbench && this.key(event));
  }

  render(run) {
    this.run = run;
    const { buttons, actions, zoom } = this;
    const { image } = actions;
    const shown = Boolean(actions.stage.picture) && !run?.grid && !actions.compare.isOpen;
    this.root.hidden = !run || (!actions.stage.picture && !run.grid);
    for (const name of ["compare", "favourite", "send", "folder", "trash"]) buttons[name].disabled = !image;
    for (const name of ["zoom-out", "zoom-in", "copy"]) buttons[name].disabled = !shown;
    this.percent.disabled = !shown;
    buttons.grid.hidden = !run || run.count < 2;
    buttons.copy.hidden = !copiesPictures;
    buttons.bell.hidden = !notices.offered;
    press(buttons.bell, notices.on);
    buttons.full.hidden = !document.fullscreenEnabled;
    press(buttons.grid, Boolean(run?.grid));
    const comparison = actions.source ? "Before and after" : "Compare with another picture";
    buttons.compare.setAttribute("aria-label", comparison);
    buttons.compare.title = `${comparison} (C)`;
    buttons.compare.toggleAttribute("data-words", Boolean(actions.source));
    press(buttons.compare, actions.compare.isOpen || Boolean(actions.workbench.comparing));
    press(buttons.recipe, actions.recipe.isOpen);
    press(buttons.favourite, actions.isFavourite);
    this.percent.textContent = `${zoom.percent}%`;
    const [now, next] = zoom.scale === null ? ["fitted", "show its own pixels (1)"] : ["zoomed", "fit it (0)"];
    this.percent.setAttribute("aria-label", `Zoom ${zoom.percent}%, ${now}`);
    this.percent.title = `${zoom.percent}%, ${now}. Click: ${next}`;
  }

  key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const { buttons, zoom, actions } = this;
    if (event.key === "Escape") {
      if (actions.close()) event.preventDefault();
      return;
    }
    const button = { g: "grid", c: "compare", r: "recipe", s: "favourite", f: "full", Delete: "trash", "+": "zoom-in", "=": "zoom-in", "-": "zoom-out" }[event.key];
    const scale = { 0: null, 1: 1 / devicePixelRatio };
    if (button && isUsable(buttons[button])) buttons[button].click();
    else if (event.key in scale && !this.percent.disabled && !this.root.hidden) zoom.to(scale[event.key]);
    else return;
    event.preventDefault();
  }
}

function tool(name, label, act, keys) {
  const title = keys ? `${label} (${keys})` : label;
  const button = make("button", { type: "button", class: `canvas-tool is-${name}`, "aria-label": label, title }, icon(name));
  if (act) button.addEventListener("click", act);
  if (SWITCHES.has(name)) button.setAttribute("aria-pressed", "false");
  return button;
}

function press(button, on) {
  button.setAttribute("aria-pressed", String(on));
}

function isUsable(button) {
  return !button.disabled && !button.hidden && !button.closest("[hidden]");
}
