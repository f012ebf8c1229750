// On the tab of a kind such as LoRA: every file that fits as a row, with its picture, its trigger words and its weights. A row
// that is on has a card, like those of the other tabs; the rest are files that could be used.

import { portrait } from "./portrait.js";
import { address, make } from "./workbench.js";

const COMPARED = [0, 0.4, 0.8, 1.2];

/** The rows of a group. `cards` is the PartCards that holds the cards; it draws their fields. */
export function drawRows(cards, group) {
  const list = make("ul", { class: "file-rows", "aria-label": group.plural });
  const first = (file) => cards.of(group.kind).some((card) => card.values.on && card.values.model === file.name);
  const files = [...group.files.filter(first), ...group.files.filter((file) => !first(file))];
  const drawn = files.map((file) => ({ file, row: drawRow(cards, group, file) }));
  list.append(...drawn.map(({ row }) => row));
  const count = make("span", { class: "file-rows-count", role: "status" });
  const search = make("input", { type: "search", class: "file-rows-filter", placeholder: "Name, trigger word or note", "aria-label": `Filter ${group.plural}`, value: cards.filters.get(group.kind) ?? "" });
  const filter = () => {
    cards.filters.set(group.kind, search.value);
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    [...list.children].forEach((row, place) => {
      const { file } = drawn[place];
      const text = [file.name, file.title, file.description, file.trained, ...file.words].join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    });
    count.textContent = words.length ? `${shown} of ${files.length}` : "";
  };
  search.addEventListener("input", filter);
  filter();
  const none = make("p", { class: "part-help", text: group.fields.find(({ kind }) => kind === "file")?.empty ?? "" });
  return files.length ? [make("div", { class: "file-rows-head" }, search, count), list] : [none];
}

/** The cards of the group that have no row: of files that do not fit or are gone, and second uses of one file. */
export function withoutRow(cards, group) {
  const seen = new Set();
  return cards.of(group.kind).filter(({ values }) => {
    const listed = group.files.some(({ name }) => name === values.model) && !seen.has(values.model);
    seen.add(values.model);
    return !listed;
  });
}

function drawRow(cards, group, file) {
  const card = cards.of(group.kind).find(({ values }) => values.model === file.name) ?? null;
  const on = make("input", { type: "checkbox", "aria-label": `Use ${file.title}` });
  on.checked = Boolean(card?.values.on);
  on.disabled = Boolean(group.locked);
  const title = make("span", { class: "row-title", text: file.title, title: file.description || file.name, dir: "auto" });
  const facts = make("span", { class: "row-facts", text: file.trained || file.description.split("\n")[0], dir: "auto" });
  const words = file.words.map((word) =>
    make("button", { type: "button", class: "prompt-chip", text: word, title: `Put “${word}” into the prompt`, onclick: () => addToPrompt(cards.workbench, word) }),
  );
  const weighed = group.fields.some(({ field }) => field === "weight");
  const compare = weighed && make("button", { type: "button", class: "row-compare", text: "Compare weights", title: `The same picture at ${COMPARED.join(", ")}`, "aria-label": `Compare weights of ${file.title}` });
  const row = make("li", { class: "file-row" },
    make("div", { class: "row-head" },
      make("label", { class: "switch" }, on),
      thumbnail(file),
      make("div", { class: "row-text field field-file is-model" }, title, facts, make("div", { class: "row-words" }, ...words)),
      ...(compare ? [compare] : [])));
  row.toggleAttribute("data-on", on.checked);
  if (card) card.element = row;
  if (card?.values.on) row.append(cards.drawFields(card, group, group.fields.filter(({ kind }) => kind !== "file").map((field) => ({ ...field, advanced: false }))));
  const redraw = () => {
    const fresh = drawRow(cards, group, file);
    row.replaceWith(fresh);
    return fresh;
  };
  on.addEventListener("change", () => {
    turn(cards, group, file, card, on.checked);
    redraw().querySelector("input").focus();
  });
  if (compare) {
    compare.disabled = Boolean(group.locked);
    compare.addEventListener("click", () => {
      const used = turn(cards, group, file, card, true);
      redraw().querySelector(".row-compare").focus();
      cards.compare(used, COMPARED);
    });
  }
  return row;
}

/** The card of a row, switched on or off; one that is off and as it was drawn first is not kept. */
function turn(cards, group, file, card, on) {
  const fresh = Object.fromEntries(group.fields.map((field) => [field.field, field.kind === "file" ? file.name : field.value]));
  const plain = card && Object.entries(fresh).every(([name, value]) => String(card.values[name]) === String(value));
  const used = card ?? cards.card({ kind: group.kind, on, ...fresh });
  used.values.on = on;
  if (!card) cards.cards.push(used);
  else if (!on && plain) cards.cards = cards.cards.filter((each) => each !== card);
  cards.changed();
  return used;
}

function thumbnail(file) {
  const place = make("div", { class: "row-picture" }, portrait(file.name));
  if (!file.preview) return place;
  const image = make("img", { src: address(`previews?model=${encodeURIComponent(file.name)}`), alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => place.replaceChildren(portrait(file.name)), { once: true });
  place.replaceChildren(image);
  return place;
}

/** To the end of the prompt, unless it is there already. */
function addToPrompt(workbench, word) {
  const area = workbench.root.querySelector(".is-prompt textarea");
  if (!area || area.disabled) return;
  if (!area.value.toLowerCase().includes(word.toLowerCase())) {
    const before = area.value.trimEnd().replace(/,$/, "");
    area.value = before ? `${before}, ${word}` : word;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }
  area.focus();
}
