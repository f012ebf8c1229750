// A picture's descent as rows of thumbnails: what it was made from, and what was made from it.

import { address, make } from "./workbench.js";

/** `show(image)` is called with the one that was clicked. Nothing is drawn where there are none. */
export async function descent(id, show) {
  const answer = await fetch(address(`images/${id}/relatives`)).catch(() => null);
  if (!answer?.ok) return [];
  const { made_from: from, made_into: into, source } = await answer.json();
  const given = source && !from.length ? [make("li", {}, make("img", { src: address(`inputs/${source}`), alt: "The picture that it started from", onerror: ({ target }) => target.closest("section").remove() }))] : [];
  return [row("Made from", [...from.map((image) => item(image, show)), ...given]), row("Made from it", into.map((image) => item(image, show)))].filter(Boolean);
}

function row(title, items) {
  if (!items.length) return null;
  return make("section", { class: "descent" }, make("h3", { text: title }), make("ul", {}, ...items));
}

function item(image, show) {
  const name = `${image.prompt || "No prompt"}, seed ${image.seed}`;
  const picture = make("img", { src: address(`thumbnails/${image.id}`), alt: "", loading: "lazy", onerror: ({ target }) => target.closest("li").remove() });
  return make("li", {}, make("button", { type: "button", "aria-label": name, title: name, onclick: () => show(image) }, picture));
}
