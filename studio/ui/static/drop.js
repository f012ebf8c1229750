// A picture dropped anywhere on the page goes to the button that reads settings from pictures.

import { make } from "./bench.js";

export function wireDrop(bench) {
  const curtain = make("div", { class: "curtain", hidden: true }, make("p", { text: "Drop the picture to bring its settings back" }));
  bench.root.append(curtain);
  const carriesFile = (event) => bench.visible() && [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    curtain.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) curtain.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    curtain.hidden = true;
    if (!carriesFile(event)) return;
    event.preventDefault();
    const input = bench.root.querySelector(".from-picture")?.parentElement.querySelector("input[type=file]");
    const [file] = event.dataTransfer.files;
    if (!input || !file) return;
    const chosen = new DataTransfer();
    chosen.items.add(file);
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
