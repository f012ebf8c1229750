// What a workbench is used for just now, as a value that goes with every request; controls of other modes are hidden.

import { tabs } from "./tabs.js";
import { make, whenDrawn, workbenchOf } from "./workbench.js";

export function mount({ element, props, trigger, watch }) {
  const workbench = workbenchOf(element);
  const shown = (panel) => [workbench.mode, props.value].some((mode) => panel.classList.contains(`of-${mode}`));
  const place = (panel) => panel.toggleAttribute("data-shown", shown(panel));
  const turn = (mode) => workbench.turn(mode, props.creating.includes(mode) ? mode : workbench.taskMode);
  // The tab of a part leaves the task as it is; where that is not the first one, it says which.
  const task = make("strong", {});
  const first = make("button", { type: "button", class: "plain-button", onclick: () => workbench.turn(workbench.mode, props.creating[0]) });
  const note = make("p", { class: "mode-note", role: "status", hidden: true }, "Goes with ", task, first);
  whenDrawn(workbench, ".actions", (actions) => actions.after(note));
  const title = (mode) => tabs.list.find(({ name }) => name === mode)?.title ?? "";
  workbench.on("mode", () => {
    note.hidden = workbench.mode === workbench.taskMode || workbench.taskMode === props.creating[0];
    task.textContent = title(workbench.taskMode);
    first.textContent = `${title(props.creating[0])} instead`;
    props.value = workbench.taskMode;
    workbench.root.querySelectorAll(".mode-panel").forEach(place);
  });
  workbench.turn(props.value, props.value);
  whenDrawn(workbench, ".mode-panel", place);

  const page = workbench.root.closest(".page")?.id;
  watch("value", () => {
    // Settings of another task were filled in.
    if (props.value === workbench.taskMode) return;
    const tab = tabs.list.find(({ name }) => name === props.value);
    const looked = !tabs.open || tabs.open.page === page; // who looks at another page stays there
    if (looked && tab?.page === page && workbench.mode === workbench.taskMode) location.hash = tab.address;
    else workbench.turn(workbench.mode === workbench.taskMode ? props.value : workbench.mode, props.value);
  });
  let away = false;
  tabs.on((tab) => {
    if (tab.page !== page) return void (away = true);
    if (tab.mode && tab.name !== workbench.mode) turn(tab.name);
    if (away) trigger("select"); // models may have come or gone meanwhile
    away = false;
    return undefined;
  });
}
