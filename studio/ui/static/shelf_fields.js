// A control of the Models tab under its label.

import { make } from "./bench.js";

export function labelled(text, control) {
  const held = control.tagName === "SELECT" ? make("span", { class: "shelf-select" }, control) : control;
  return make("div", { class: "shelf-label" }, make("label", { for: control.id, text }), held);
}
