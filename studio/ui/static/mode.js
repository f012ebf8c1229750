// What a workbench is used for just now, as a value that goes with every request; panels of other modes are hidden.

import { whenDrawn, workbenchOf } from "./workbench.js";

export function mount({ element, props }) {
  const workbench = workbenchOf(element);
  const place = (panel) => panel.toggleAttribute("data-shown", panel.classList.contains(`of-${workbench.mode}`));
  workbench.on("mode", ({ mode }) => {
    props.value = mode;
    workbench.root.querySelectorAll(".mode-panel").forEach(place);
  });
  workbench.turn(workbench.mode ?? props.value);
  whenDrawn(workbench, ".mode-panel", place);
}
