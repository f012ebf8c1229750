// On a phone the settings are a sheet over the lower half of the page, with the picture in view above it, so that Live can be
// watched while a setting is changed. On a wide window none of this is drawn (sheet.css).

import { make, whenDrawn } from "./workbench.js";
import { icon } from "./icons.js";

export function wireSheet(workbench) {
  const { root } = workbench;
  const id = workbench.id("settings");
  const opener = make("button", { type: "button", class: "tool sheet-opener", "aria-label": "Settings", "aria-controls": id, onclick: () => set(!isOpen()) }, icon("settings"));
  const done = make("button", { type: "button", class: "sheet-done", text: "Done", onclick: () => set(false) });
  const isOpen = () => root.hasAttribute("data-sheet");
  const set = (open) => {
    root.toggleAttribute("data-sheet", open);
    opener.setAttribute("aria-expanded", String(open));
    if (open) done.focus({ preventScroll: true });
    else opener.focus({ preventScroll: true });
  };
  opener.setAttribute("aria-expanded", "false");
  whenDrawn(workbench, ".actions", (actions) => actions.append(opener));
  whenDrawn(workbench, ".settings", (settings) => {
    settings.id = id;
    settings.prepend(make("div", { class: "sheet-head" }, make("h2", { text: "Settings" }), done));
  });
  workbench.on("reveal", ({ element }) => element.closest(".settings") && root.toggleAttribute("data-sheet", true));
  root.addEventListener("keydown", (event) => event.key === "Escape" && isOpen() && opener.offsetParent && set(false));
}
