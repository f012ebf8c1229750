// A control that holds a picture: chosen from a file, dropped, pasted, or taken from the canvas. The picture goes to the
// studio at once; the value is the hash that addresses it there, or nothing.

import { address, currentWorkbench, make } from "./workbench.js";
import { clearComplaint, complain } from "./complaints.js";
import { icon } from "./icons.js";

const TYPES = "image/png,image/jpeg,image/webp,image/bmp";
const BLANK = 512; // a side of blank ground where the form says no size
const LOST = "This picture is not here any more; choose it again.";
const controls = new Set(); // { workbench, element, take, empty }

/** `painted(hash)`: takes what was painted on the picture; left out, it is another picture. */
export function picture({ props, body, id, changed, workbench, painted = null }) {
  const input = make("input", { id, type: "file", accept: TYPES, class: "only-read" });
  const image = make("img", { alt: `${props.label}, as chosen`, hidden: true, draggable: "false" });
  const words = make("span", { class: "picture-words" });
  const zone = make("div", { class: "picture-zone", onclick: () => input.click() }, image, words);
  const reuse = make("button", { type: "button", class: "picture-reuse", text: "Use the picture shown" });
  const draw = make("button", { type: "button", class: "picture-reuse picture-draw", onclick: () => workbench.emit("paint", sketch()) });
  const clear = make("button", { type: "button", class: "tool picture-clear", title: "Remove the picture", "aria-label": `Remove ${props.label.toLowerCase()}` }, icon("remove"));
  const size = make("span", { class: "picture-size" });
  const holder = make("div", { class: "picture-control" }, input, zone, size, clear);
  const help = make("p", { class: "field-help", id: `${id}-help`, text: props.help });
  input.setAttribute("aria-describedby", help.id);
  body.append(make("label", { for: id, text: props.label, class: "field-label" }), holder, make("div", { class: "picture-foot" }, help, reuse, draw));

  let busy = 0;
  let shown = null;
  const say = (sentence) => complain(holder.closest(".field"), `${id}-error`, sentence);
  const sync = () => {
    const path = props.value ? address(`inputs/${props.value}`) : "";
    if (path && image.src !== path) image.src = path;
    image.hidden = !path || image.dataset.lost === path;
    clear.hidden = !props.value;
    size.hidden = image.hidden;
    draw.hidden = !props.drawable;
    draw.textContent = image.hidden ? "Draw" : "Paint on it";
    holder.classList.toggle("has-picture", !image.hidden);
    words.textContent = busy ? "Storing the picture" : image.hidden ? "Drop or paste a picture, or choose a file" : "";
    holder.setAttribute("aria-busy", String(busy > 0));
  };
  const set = (value) => {
    clearComplaint(holder.closest(".field"));
    changed(value, "choice");
    sync();
  };
  /** What the painter is asked for: colours over the picture, or over blank ground of the form's size. */
  const sketch = () => ({
    kind: "colour",
    field: id,
    name: props.field,
    title: `Paint: ${props.label}`,
    picture: image.hidden ? "" : props.value,
    value: props.value,
    size: ["width", "height"].map((side) => Number(workbench.fields.get(side)?.words()) || BLANK),
    set: painted ?? set,
  });
  const take = async (file) => {
    const mine = ++busy;
    sync();
    try {
      const digest = await store(await file);
      if (mine === busy) set(digest);
    } catch (error) {
      if (mine === busy) say(error.message);
    }
    if (mine === busy) busy = 0;
    sync();
  };
  image.addEventListener("load", () => {
    size.textContent = `${image.naturalWidth} × ${image.naturalHeight}`;
    delete image.dataset.lost;
    sync();
  });
  image.addEventListener("error", () => {
    if (!props.value || image.dataset.lost === image.src) return;
    image.dataset.lost = image.src;
    sync();
    say(LOST);
  });
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = "";
  });
  clear.addEventListener("click", () => (set(""), input.focus()));
  reuse.addEventListener("click", () => shown && take(fetched(shown)));
  const offer = (image) => {
    shown = image?.id ?? null;
    reuse.hidden = !shown || !props.reusable;
  };
  workbench.on("shown", offer);
  offer(workbench.shown);
  wireDrop(holder, take);
  controls.add({ workbench, element: holder, take, empty: () => !props.value });
  return { sync, set, say, words: () => (props.value ? props.label.toLowerCase() : "") };
}

/** A result of the studio as the picture to start from: to the first empty control that can be seen, or else the first.
 * `within`: a selector of what the control lies in. */
export function usePicture(workbench, imageId, within = "*") {
  const found = target(workbench, within);
  found?.take(fetched(imageId));
  return Boolean(found);
}

function target(workbench, within = "*") {
  const seen = [...controls].filter((each) => {
    if (!each.element.isConnected) controls.delete(each);
    return each.workbench === workbench && each.element.offsetParent !== null && each.element.closest(within) && !each.element.closest("[inert]");
  });
  return seen.find((each) => each.element.contains(document.activeElement)) ?? seen.find((each) => each.empty()) ?? seen[0];
}

async function fetched(imageId) {
  const answer = await fetch(address(`images/${imageId}`)).catch(() => null);
  if (!answer?.ok) throw new Error("That picture could not be read.");
  return answer.blob();
}

/** Stores the picture; its hash, or an error with the sentence for people. */
export async function store(file) {
  const answer = await fetch(address("inputs"), { method: "POST", body: file }).catch(() => null);
  if (!answer) throw new Error("The studio could not be reached. Choose the picture again.");
  const stored = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(stored.error ?? "The studio did not take this picture.");
  return stored.id;
}

function wireDrop(holder, take) {
  const file = (event) => [...(event.dataTransfer?.items ?? [])].some((item) => item.kind === "file");
  holder.addEventListener("dragover", (event) => {
    if (!file(event)) return;
    event.preventDefault();
    holder.classList.add("is-over");
  });
  holder.addEventListener("dragleave", (event) => holder.contains(event.relatedTarget) || holder.classList.remove("is-over"));
  holder.addEventListener("drop", (event) => {
    holder.classList.remove("is-over");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere on the page a picture is dropped for its settings
    take(event.dataTransfer.files[0]);
  });
}

// A pasted picture goes to the control that has the focus, else to the first empty one; text goes where it is typed.
document.addEventListener("paste", (event) => {
  const typing = event.target.matches?.("textarea, input:not([type='file'])") && event.clipboardData?.getData("text/plain");
  if (typing) return;
  const pasted = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
  const workbench = currentWorkbench();
  const control = pasted && workbench && target(workbench);
  if (!control) return;
  event.preventDefault();
  control.take(pasted);
});
