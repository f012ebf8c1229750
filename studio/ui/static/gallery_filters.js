// Above the gallery's grid: the search, what the list is filtered by, how it is sorted, and how large its pictures are drawn.

import { make } from "./workbench.js";
import { icon } from "./icons.js";

const TYPING_MS = 220;
const DAY = 86400;
const SORTS = [["newest", "Newest first"], ["oldest", "Oldest first"], ["largest", "Largest first"]];
const TIMES = [["", "Any time"], ["0", "Today"], ["7", "Last 7 days"], ["30", "Last 30 days"], ["365", "Last year"], ["between", "Between days"]];
// Which of the counts each menu offers, and what it says when it filters nothing.
const MENUS = { model: ["models", "Filter by model", "Any model"], task: ["tasks", "Filter by task", "Any task"], sampler: ["samplers", "Filter by sampler", "Any sampler"], size: ["sizes", "Filter by size", "Any size"], lora: ["loras", "Filter by LoRA", "Any LoRA"] };

export class Filters {
  /** `changed(query)`: the list is another one; `sized(side)`: the pictures are. */
  constructor({ changed, sized, side }) {
    this.changed = changed;
    this.search = make("input", { type: "search", id: "gallery-search", placeholder: "Words of the prompt; -word leaves out", "aria-label": "Search prompts", autocomplete: "off", spellcheck: "false", enterkeyhint: "search" });
    this.menus = Object.fromEntries(Object.entries(MENUS).map(([name, [, label]]) => [name, menu(label, `gallery-${name}`)]));
    this.time = menu("Filter by date", "gallery-time", TIMES);
    this.sort = menu("Sort pictures", "gallery-sort", SORTS);
    this.days = ["First day", "Last day"].map((label) => make("input", { type: "date", "aria-label": label }));
    this.between = make("div", { class: "gallery-days", hidden: true }, this.days[0], make("span", { text: "to" }), this.days[1]);
    this.favourites = make("button", { type: "button", class: "gallery-switch", "aria-pressed": "false", title: "Favourites only" }, icon("favourite"), make("span", { text: "Favourites" }));
    this.trash = make("button", { type: "button", class: "gallery-switch", "aria-pressed": "false" }, icon("trash"), make("span", { text: "Trash" }));
    this.size = make("input", { type: "range", min: 96, max: 288, step: 16, value: side, "aria-label": "Size of thumbnails", title: "Size of thumbnails" });
    this.fold = make("button", { type: "button", class: "gallery-switch gallery-fold", "aria-expanded": "false", onclick: () => this.unfold() }, icon("settings"), make("span", { text: "Filters" }));
    this.more = make("div", { class: "gallery-more" }, ...[...Object.values(this.menus), this.time].map(boxed), this.between, boxed(this.sort));
    this.root = make("div", { class: "gallery-filters", role: "search" },
      make("div", { class: "gallery-first" }, make("div", { class: "gallery-search" }, icon("search"), this.search), this.fold, this.favourites, this.trash, this.size), this.more);
    this.wire(sized);
  }

  wire(sized) {
    let timer;
    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.changed(this.query), TYPING_MS);
    };
    this.search.addEventListener("input", soon);
    for (const each of [...Object.values(this.menus), this.time, this.sort, ...this.days]) each.addEventListener("change", () => this.turn());
    for (const each of [this.favourites, this.trash]) each.addEventListener("click", () => (press(each, !pressed(each)), this.turn()));
    this.size.addEventListener("input", () => sized(Number(this.size.value)));
  }

  turn() {
    this.between.hidden = this.time.value !== "between";
    this.changed(this.query);
  }

  unfold() {
    const open = this.root.toggleAttribute("data-open");
    this.fold.setAttribute("aria-expanded", String(open));
  }

  /** As the studio's route takes it. */
  get query() {
    const chosen = Object.fromEntries(Object.entries(this.menus).map(([name, { value }]) => [name, value]));
    return { search: this.search.value.trim(), ...chosen, ...this.times, favourites: pressed(this.favourites), trash: pressed(this.trash), sort: this.sort.value };
  }

  /** By this machine's days. */
  get times() {
    if (!this.time.value) return {};
    const [since, until] = this.days.map(({ value }) => (value ? new Date(`${value}T00:00`).getTime() / 1000 : null));
    if (this.time.value === "between") return { since, until: until === null ? null : until + DAY };
    return { since: new Date().setHours(0, 0, 0, 0) / 1000 - DAY * Number(this.time.value) };
  }

  /** Whether the list is all there is, or all there is in the trash. */
  get areClear() {
    const { sort, trash, ...rest } = this.query;
    return Object.values(rest).every((value) => value === "" || value === false || value === null);
  }

  clear() {
    this.search.value = this.time.value = "";
    for (const each of [...Object.values(this.menus), ...this.days]) each.value = "";
    press(this.favourites, false);
    this.turn();
  }

  /** What there is to choose from. A value that is chosen stays, also where nothing has it any more. */
  offer(counts) {
    for (const [name, element] of Object.entries(this.menus)) {
      const [plural, , any] = MENUS[name];
      const choices = counts[plural].map(({ value, title, count }) => [value, `${title} (${count.toLocaleString()})`]);
      const chosen = element.value;
      if (chosen && !choices.some(([value]) => value === chosen)) choices.push([chosen, `${chosen} (0)`]);
      element.parentElement.hidden = !chosen && choices.length < (name === "lora" ? 1 : 2);
      fill(element, [["", any], ...choices]);
      element.value = chosen;
    }
    const set = [...Object.values(this.menus), this.time].filter(({ value }) => value).length;
    this.fold.lastChild.textContent = set ? `Filters (${set})` : "Filters";
    this.trash.lastChild.textContent = counts.trash ? `Trash (${counts.trash.toLocaleString()})` : "Trash";
    for (const each of [...Object.values(this.menus), this.time]) each.toggleAttribute("data-set", Boolean(each.value));
  }
}

function menu(label, id, choices = []) {
  const element = make("select", { id, "aria-label": label, title: label });
  fill(element, choices);
  return element;
}

/** With the sign of a menu, which is drawn beside it. */
function boxed(select) {
  return make("span", { class: "browser-select" }, select);
}

function fill(element, choices) {
  const now = JSON.stringify(choices);
  if (element.dataset.choices === now) return;
  element.dataset.choices = now;
  element.replaceChildren(...choices.map(([value, text]) => make("option", { value, text })));
}

function pressed(button) {
  return button.getAttribute("aria-pressed") === "true";
}

function press(button, on) {
  button.setAttribute("aria-pressed", String(on));
}
