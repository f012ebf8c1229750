// A number that is chosen in a few plain words; the exact one stands beside its name and can be typed.

import { make } from "./workbench.js";

export function stops({ props, body, id, changed }) {
  const input = make("input", { id, type: "number", step: "any", inputmode: "decimal", autocomplete: "off", title: props.help });
  const group = make("div", { class: "stops", role: "radiogroup", "aria-label": props.label });
  const options = props.stops.map(([value, word]) => {
    const radio = make("input", { type: "radio", name: `${id}-stop`, value: String(value), onchange: () => choose(String(value)) });
    group.append(make("label", { class: "stop", title: `${props.label} ${value}` }, radio, make("span", { text: word })));
    return radio;
  });
  const mark = () => options.forEach((radio) => (radio.checked = input.value !== "" && Number(radio.value) === Number(input.value)));
  const choose = (value) => {
    input.value = value;
    changed(value, "choice");
    mark();
  };
  input.addEventListener("input", () => {
    changed(input.validity.badInput ? "not a number" : input.value, "typing");
    mark();
  });
  body.append(make("div", { class: "field-head stops-head" }, make("label", { for: id, text: props.label, class: "field-label", title: props.help }), input), group);
  const sync = () => {
    if (input.value !== String(props.value)) input.value = props.value ?? "";
    mark();
  };
  return { sync, words: () => input.value };
}
