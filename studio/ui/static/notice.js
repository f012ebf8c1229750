// One line that says what has just happened to the form. It clears itself when the form is edited.

import { workbenchOf } from "./workbench.js";

export function mount({ element, props, watch }) {
  const line = element.querySelector(".notice-body");
  const sync = () => {
    line.textContent = props.value?.sentence ?? "";
  };
  watch("value", sync);
  const workbench = workbenchOf(element);
  workbench.on("submitting", () => (line.textContent = ""));
  workbench.on("notice", ({ sentence }) => (line.textContent = sentence));
  sync();
}
