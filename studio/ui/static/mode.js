// What a workbench is used for just now, as a value that goes with every request; controls of other modes are hidden.

import { tabs } from "./tabs.js";
import { whenDrawn, workbenchOf } from "./workbench.js";

export function mount({ element, props, trigger }) {
  const workbench = workbenchOf(element);
  const shown = (panel) => [workbench.mode, props.value].some((mode) => panel.classList.contains(`of-${mode}`));
  const place = (panel) => panel.toggleAttribute("data-shown", shown(panel));
  workbench.on("mode", ({ mode }) => {
    if (props.creating.includes(mode)) props.value = mode; // a mode without a task leaves it as it is
    workbench.root.querySelectorAll(".mode-panel").forEach(place);
  });
  workbench.turn(props.value);
  whenDrawn(workbench, ".mode-panel", place);

  const page = workbench.root.closest(".page")?.id;
  let away = false;
  tabs.on((tab) => {
    if (tab.page !== page) return void (away = true);
    if (tab.mode && tab.name !== workbench.mode) workbench.turn(tab.name);
    if (away) trigger("select"); // models may have come or gone meanwhile
    away = false;
    return undefined;
  });
}
