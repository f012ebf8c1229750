// What a form does as a whole: Live, sentences at the field at fault, dropped pictures.

import { clearComplaint, complain } from "./complaints.js";
import { whenDrawn } from "./workbench.js";
import { wireDrop } from "./drop.js";
import { wireSheet } from "./sheet.js";

const TYPING_MS = 250;
const SLIDING_MS = 120;
const FILLED_MS = 60;
const FILLING = new Set(["model", "preset"]); // these change other fields, so Live waits for them
const UNRENDERED = new Set(["live", "preset", "style-help"]);

export function wireForm(workbench, { submit, shownSeed }) {
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
  wireLive(workbench, submit, shownSeed);
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

function wireLive(workbench, submit, shownSeed) {
  let timer = null;
  let due = 0;
  let pinned = null;
  const on = () => Boolean(workbench.fields.get("live")?.get());
  const request = (delay, { push = true } = {}) => {
    // A typed word waits for a pause; a slider renders while it moves, at a steady pace.
    const at = performance.now() + delay;
    if (timer !== null && !push && due <= at) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(() => {
      timer = null;
      submit();
    }, delay);
  };
  const pin = () => {
    const seed = workbench.fields.get("seed");
    if (String(seed.get()).trim() !== "-1" && String(seed.get()).trim() !== "") return;
    pinned = String(shownSeed() ?? crypto.getRandomValues(new Uint32Array(1))[0]);
    seed.set(pinned, "pin");
  };
  const release = () => {
    const seed = workbench.fields.get("seed");
    if (pinned !== null && String(seed.get()) === pinned) seed.set("-1", "pin");
    pinned = null;
  };
  workbench.on("edit", ({ name, how }) => {
    if (name === "live") {
      if (on()) pin();
      else release();
      if (on() && shownSeed() === null) request(0);
      return;
    }
    if (!on() || how === "pin" || UNRENDERED.has(name)) return;
    if (name === "seed") pin();
    if (FILLING.has(name)) request(400);
    else if (how === "slide") request(SLIDING_MS, { push: false });
    else request(how === "typing" ? TYPING_MS : 0);
  });
  workbench.on("filled", () => {
    if (on() && timer !== null && due - performance.now() > FILLED_MS) request(FILLED_MS);
  });
  workbench.on("submitting", () => {
    clearTimeout(timer);
    timer = null;
  });
}
