// A control of the Models tab under its label.

import { make } from "./workbench.js";

export function labelled(text, control) {
  const held = control.tagName === "SELECT" ? make("span", { class: "browser-select" }, control) : control;
  return make("div", { class: "browser-label" }, make("label", { for: control.id, text }), held);
}
