// What can be done with the chosen pictures: a bar over the grid's lower edge while there are any.

import { copiesPictures } from "./clipboard.js";
import { icon } from "./icons.js";
import { menuButton } from "./menu.js";
import { make } from "./workbench.js";

export class Bar {
  /** `open(index)`: show one in large; `compare(first, second)`. */
  constructor(source, selection, actions, { open, compare }) {
    Object.assign(this, { source, selection, actions });
    const chosen = () => [...selection.ids];
    const first = () => selection.images[0];
    this.words = make("p", { role: "status" });
    this.buttons = {};
    const add = (name, text, act, sign = name) => (this.buttons[name] = button(sign, text, act));
    this.root = make("div", { class: "gallery-bar", role: "toolbar", "aria-label": "Chosen pictures", hidden: true },
      button("remove", "Choose none", () => selection.clear()), this.words,
      add("open", "Open", () => open(source.find(first().id)), "full"),
      add("favourite", "Favourite", () => actions.favour(selection.images, chosen())),
      (this.send = menuButton(add("send", "Send to", null), () => actions.places(first()))),
      add("compare", "Compare", () => compare(...selection.images)),
      add("copy", "Copy", () => actions.copy(first())),
      add("download", "Download", () => actions.download(chosen())),
      add("folder", "Folder", () => actions.folder(first())),
      add("restore", "Restore", () => actions.restore(chosen()), "undo"),
      add("trash", "Delete", () => actions.trash(chosen())),
      add("purge", "Delete for good", () => actions.purge(chosen()), "trash"));
  }

  render() {
    const { buttons, selection, source } = this;
    const count = selection.ids.size;
    const one = count === 1 && selection.images.length === 1;
    const trash = Boolean(source.query.trash);
    const size = `${count.toLocaleString()} chosen`;
    if (this.words.textContent !== size) this.words.textContent = count ? size : "";
    const offered = { open: one, favourite: !trash, send: one && !trash, compare: selection.images.length === 2 && count === 2 && !trash, copy: one && !trash && copiesPictures, download: !trash, folder: one && !trash, restore: trash, trash: !trash, purge: trash };
    for (const [name, element] of Object.entries(buttons)) element.hidden = !offered[name];
    this.send.hidden = !offered.send;
    const all = selection.images.length === count && selection.images.every(({ favourite }) => favourite);
    buttons.favourite.setAttribute("aria-pressed", String(all));
    const held = this.root.contains(document.activeElement);
    this.root.hidden = !count;
    if (held && !count) document.querySelector(".gallery-list").focus({ preventScroll: true });
  }
}

function button(sign, text, act) {
  const element = make("button", { type: "button", class: `canvas-tool is-${sign}`, "aria-label": text, title: text }, icon(sign), make("span", { text }));
  if (act) element.addEventListener("click", act);
  return element;
}
