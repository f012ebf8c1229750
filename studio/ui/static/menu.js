// A button that opens a short menu: arrows move through it, Escape closes it.

import { make } from "./workbench.js";

/** `items()` are { text, act } at the moment of opening. */
export function menuButton(button, items) {
  const list = make("div", { class: "menu", role: "menu", "aria-label": button.getAttribute("aria-label"), hidden: true });
  const holder = make("div", { class: "menu-holder" }, button, list);
  button.setAttribute("aria-haspopup", "menu");
  const set = (open) => {
    list.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  };
  const close = () => {
    if (list.contains(document.activeElement)) button.focus();
    set(false);
  };
  const open = () => {
    list.replaceChildren(...items().map(({ text, act }) => entry(text, () => (close(), act()))));
    set(true);
    list.firstChild?.focus();
  };
  set(false);
  button.addEventListener("click", () => (list.hidden ? open() : close()));
  holder.addEventListener("focusout", ({ relatedTarget }) => !holder.contains(relatedTarget) && set(false));
  list.addEventListener("keydown", (event) => {
    const all = [...list.children];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape") close();
    else if (to !== undefined) all.at(to % all.length).focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return holder;
}

function entry(text, act) {
  return make("button", { type: "button", role: "menuitem", tabindex: -1, text, onclick: act });
}
