// What a form does as a whole: sentences at the field at fault, dropped pictures.

import { clearComplaint, complain } from "./complaints.js";
import { whenDrawn } from "./workbench.js";
import { wireDrop } from "./drop.js";
import { wireSheet } from "./sheet.js";

export function wireForm(workbench) {
  workbench.root.addEventListener("input", (event) => {
    const holder = event.target.closest(".field-text");
    if (holder) workbench.emit("edit", { name: fieldName(holder), how: "typing" });
  });
  whenDrawn(workbench, ".field-text textarea", (area) => {
    area.dir = "auto";
    // A note inside the label would otherwise become part of the name.
    area.setAttribute("aria-label", area.closest("label").querySelector("[data-testid=block-info]").textContent.trim());
  });
  whenDrawn(workbench, ".field-text .info-text", (note) => {
    note.id = workbench.id(`${fieldName(note.closest(".field"))}-note`);
    note.closest("label").querySelector("textarea").setAttribute("aria-describedby", note.id);
  });
  workbench.on("shown", (image) => {
    workbench.shown = image;
  });
  workbench.on("edit", ({ name }) => forgive(workbench, name));
  wireSheet(workbench);
  wireDrop(workbench);
}

function fieldName(holder) {
  return [...holder.classList].find((name) => name.startsWith("is-"))?.slice(3);
}

/** The sentence goes to the field at this path ("steps", "task.strength", "parts.0.weight"), and the field into view. */
export function blame(workbench, path, message) {
  const holder = holderOf(workbench, path);
  if (!holder) return;
  workbench.emit("reveal", { element: holder });
  complain(holder, workbench.id(`${path}-error`), message);
  if (!holder.contains(document.activeElement)) holder.scrollIntoView({ block: "nearest" });
}

export function forgive(workbench, path = null) {
  const holders = path ? [holderOf(workbench, path)] : workbench.root.querySelectorAll(".field");
  for (const holder of holders) if (holder) clearComplaint(holder);
}

/** The element of class "field" around the control. Those in cards are known by the cards. */
function holderOf(workbench, path) {
  const [first, ...rest] = path.split(".");
  const inside = rest.length ? workbench.fields.get(first)?.holder?.(rest) : null;
  if (inside) return inside;
  const found = [...workbench.root.querySelectorAll(`.field.is-${CSS.escape(path.replaceAll(".", "-"))}`)];
  return found.find((holder) => holder.offsetParent) ?? found[0]; // tasks may have a field of one name each
}
