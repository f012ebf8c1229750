// The control of a rectangle in a picture, "left,top,width,height" in pixels: typed, or drawn in the painter.

import { make } from "./workbench.js";

export function box({ props, workbench, body, id, changed }) {
  const input = make("input", { id, type: "text", autocomplete: "off", title: props.help, placeholder: "left,top,width,height" });
  const draw = make("button", { type: "button", class: "plain-button", text: "Draw it", onclick: () => workbench.emit("draw-box", { field: props.field }) });
  input.addEventListener("input", () => changed(input.value, "typing"));
  body.append(make("label", { for: id, text: props.label, class: "field-label" }), make("div", { class: "joined" }, input, draw));
  return {
    words: () => input.value,
    sync: () => {
      if (input.value !== String(props.value)) input.value = props.value;
    },
  };
}

/** { x, y, width, height } of the text, or null. */
export function boxOf(text) {
  const numbers = String(text ?? "").split(/[,x ]+/).map(Number);
  const [x, y, width, height] = numbers;
  return numbers.length === 4 && numbers.every(Number.isFinite) && width > 0 && height > 0 ? { x, y, width, height } : null;
}
