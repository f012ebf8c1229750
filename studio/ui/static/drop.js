// A picture dropped anywhere on the page goes to the button that reads settings from pictures.

import { make } from "./workbench.js";

export function wireDrop(workbench) {
  const overlay = make("div", { class: "overlay", hidden: true }, make("p", { text: "Drop the picture to bring its settings back" }));
  workbench.root.append(overlay);
  const carriesFile = (event) => workbench.visible() && [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    overlay.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) overlay.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    overlay.hidden = true;
    if (!carriesFile(event)) return;
    event.preventDefault();
    const input = workbench.root.querySelector(".from-picture")?.parentElement.querySelector("input[type=file]");
    const [file] = event.dataTransfer.files;
    if (!input || !file) return;
    const chosen = new DataTransfer();
    chosen.items.add(file);
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
