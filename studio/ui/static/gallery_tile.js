// One thumbnail of the gallery's grid; while its picture is not known, an empty place.

import { address, make } from "./workbench.js";
import { icon } from "./icons.js";

const NAME_LENGTH = 120;

/** `lost(id)` is called if the thumbnail cannot be shown. */
export function tile(image, lost) {
  if (!image) return make("div", { class: "gallery-tile is-waiting", role: "option", "aria-label": "Loading" });
  const { id, prompt, title, width, height, created } = image;
  const when = new Date(created * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const facts = `${title}, ${width} × ${height}, ${when}`;
  const picture = make("img", { src: address(`thumbnails/${id}`), alt: "", decoding: "async", draggable: "false" });
  const check = make("span", { class: "gallery-check", "aria-hidden": "true" }, icon("check"));
  const star = make("span", { class: "gallery-star", "aria-hidden": "true" }, icon("favourite"));
  const element = make("div", { class: "gallery-tile", role: "option", id: `gallery-${id}`, "data-id": id, "aria-label": `${short(prompt) || "No prompt"}, ${facts}`, title: `${prompt || "No prompt"}\n${facts}` }, picture, check, star);
  picture.addEventListener("error", () => {
    element.classList.add("is-lost");
    picture.remove();
    lost(id);
  });
  return element;
}

export function short(prompt) {
  return prompt.length > NAME_LENGTH ? `${prompt.slice(0, NAME_LENGTH - 1).trimEnd()}…` : prompt;
}
