// What a workbench is used for just now, as a value that goes with every request; controls of other modes are hidden.

import { tabs } from "./tabs.js";
import { whenDrawn, workbenchOf } from "./workbench.js";

export function mount({ element, props, trigger }) {
  const workbench = workbenchOf(element);
  const place = (panel) => panel.toggleAttribute("data-shown", panel.classList.contains(`of-${workbench.mode}`));
  workbench.on("mode", ({ mode }) => {
    props.value = mode;
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
