// Takes the picture of the canvas to another tab of the same workbench, as the one to start from.

import { usePicture } from "./picture.js";
import { tabs } from "./tabs.js";

// Which tab, and which of its controls.
const PLACES = [
  { tab: "image_to_image", within: ".field.is-task-image" },
  { tab: "inpaint", within: ".field.is-task-image" },
  { tab: "controlnet", within: ".part-group[data-kind=controlnet]" },
];
const LOST = "The chosen model has no place for a picture there. Choose another model first.";

/** { text, act, tab: its name } for each tab of the page that starts from a picture; `say` is called where the model takes none. */
export function places(workbench, image, say) {
  const found = PLACES.map((place) => ({ ...place, tab: tabs.list.find(({ name }) => name === place.tab) })).filter(({ tab }) => tab);
  const starts = found.map(({ tab, within }) => ({ text: `Use in ${tab.title}`, tab: tab.name, act: () => send(workbench, image, tab, within, say) }));
  const shows = tabs.list.some(({ name }) => name === "visualizer");
  return shows ? [...starts, { text: "Open in Visualizer", act: () => (location.hash = `visualizer?image=${image}`) }] : starts;
}

async function send(workbench, image, tab, within, say) {
  await opened(tab);
  const place = workbench.root.querySelector(within);
  if (place) workbench.emit("reveal", { element: place });
  if (usePicture(workbench, image, within)) return;
  const add = workbench.root.querySelector(`${within} .part-add`);
  if (add?.offsetParent) add.click(); // there is no unit yet
  await frame();
  if (!usePicture(workbench, image, within)) say(LOST);
}

async function opened(tab) {
  if (tabs.open === tab) return;
  await new Promise((resolve) => {
    tabs.addEventListener("open", resolve, { once: true });
    location.hash = tab.address;
  });
  await frame(); // its controls are shown by then
}

function frame() {
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}
