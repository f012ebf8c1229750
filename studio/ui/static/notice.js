// One line that says what has just happened to the form. It clears itself when the form is edited.

import { benchOf } from "./bench.js";

export function mount({ element, props, watch }) {
  const line = element.querySelector(".notice-body");
  const sync = () => {
    line.textContent = props.value?.sentence ?? "";
  };
  watch("value", sync);
  const bench = benchOf(element);
  bench.hear("submitting", () => (line.textContent = ""));
  bench.hear("say", ({ sentence }) => (line.textContent = sentence));
  sync();
}
