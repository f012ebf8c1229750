// A picture dropped on a workbench, or anywhere while it is the one in use, goes to its button that reads settings from pictures.

import { currentWorkbench, make } from "./workbench.js";

export function wireDrop(workbench) {
  const overlay = make("div", { class: "overlay", hidden: true }, make("p", { text: "Drop the picture to restore its settings" }));
  workbench.root.append(overlay);
  const isMeant = ({ target }) => !target.closest?.(".picture-control") && (target.closest?.(".workbench") ?? currentWorkbench()?.root) === workbench.root;
  const carriesFile = (event) => isMeant(event) && workbench.visible && [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    overlay.hidden = !carriesFile(event);
    if (!overlay.hidden) event.preventDefault();
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) overlay.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    overlay.hidden = true;
    if (!carriesFile(event)) return;
    event.preventDefault();
    const input = workbench.root.querySelector(".from-picture > input[type=file]");
    const [file] = event.dataTransfer.files;
    if (!input || !file) return;
    const chosen = new DataTransfer();
    chosen.items.add(file);
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
