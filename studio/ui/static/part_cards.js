// The parts of a request: a group for each kind that the chosen model takes, with a card for each part. How a kind is drawn
// comes whole from the server (studio/ui/part_cards.py); the value is the list of cards, those that are off among them.

import { clearComplaint } from "./complaints.js";
import { CONTROLS } from "./controls.js";
import { icon } from "./icons.js";
import { drawRows, withoutRow } from "./part_rows.js";
import { make, workbenchOf } from "./workbench.js";

export function mount({ element, props, trigger, watch }) {
  new PartCards(element.querySelector(".parts"), workbenchOf(element), props, trigger, watch);
}

class PartCards {
  constructor(body, workbench, props, trigger, watch) {
    Object.assign(this, { body, workbench, props, trigger });
    this.cards = []; // { values: { kind, on, and one of each field }, id, element }
    this.numbers = 0;
    this.open = new Map(); // kind -> whether its group is unfolded
    this.filters = new Map(); // kind -> what its rows are filtered by
    watch(["value", "groups"], () => this.receive());
    workbench.on("mode", () => this.render());
    workbench.on("reveal", ({ element }) => this.reveal(element));
    workbench.fields.set("parts", {
      get: () => this.props.value,
      words: () => this.props.groups.map((group) => counted(this.of(group.kind).filter((card) => this.sent(card)), group)).filter(Boolean).join(", "),
      holder: ([number, field]) => this.holder(Number(number), field),
    });
    this.receive();
  }

  /** The server filled in other parts, or the model has changed. */
  receive() {
    const value = this.props.value ?? [];
    const groups = JSON.stringify(this.props.groups);
    const same = JSON.stringify(value) === JSON.stringify(this.values());
    if (same && groups === this.drawn) return;
    if (!same) this.cards = value.map((values) => this.card({ ...values }));
    this.drawn = groups;
    this.render();
    this.workbench.emit("field", { name: "parts", value });
    this.workbench.emit("filled", { name: "parts" });
  }

  values() {
    return this.cards.map((card) => card.values);
  }

  card(values) {
    return { values, id: ++this.numbers, element: null };
  }

  of(kind) {
    return this.cards.filter((card) => card.values.kind === kind);
  }

  group(kind) {
    return this.props.groups.find((group) => group.kind === kind);
  }

  /** Whether a card is part of the request: as `part_cards.read` has it. */
  sent({ values }) {
    const group = this.group(values.kind);
    if (!group || group.locked || !values.on) return false;
    return !group.inline || group.fields.some(({ field }) => values[field] !== "");
  }

  changed(how = "choice") {
    for (const summary of this.body.querySelectorAll(".fold-summary")) summary.textContent = this.summary(summary.closest(".part-group").dataset.kind);
    this.props.value = this.values().map((values) => ({ ...values }));
    this.trigger("input");
    this.workbench.emit("field", { name: "parts", value: this.props.value });
    this.workbench.emit("edit", { name: "parts", how });
  }

  /** "2, 1 off" beside a group's title; why the model takes none, where it does not. */
  summary(kind) {
    const cards = this.of(kind);
    const on = cards.filter((card) => card.values.on).length;
    const off = cards.length - on;
    return this.group(kind).locked || [on || "", off ? `${off} off` : ""].filter(Boolean).join(", ");
  }

  holder(number, field) {
    const card = this.cards.filter((each) => this.sent(each))[number];
    const found = card?.element.querySelector(field ? `.field.is-${CSS.escape(field)}` : ".field");
    if (found) this.reveal(found);
    return found;
  }

  reveal(element) {
    const kind = element.closest(".part-group")?.dataset.kind;
    if (!kind || !this.body.contains(element)) return;
    if (!this.open.get(kind)) this.unfold(kind, true);
    const more = element.closest("details");
    if (more) more.open = true;
  }

  // --- what a person does -----------------------------------------------------------------------------------------

  add(group) {
    const used = new Set(this.of(group.kind).map((card) => card.values.model));
    const values = { kind: group.kind, on: true };
    for (const field of group.fields) {
      const free = field.choices.find((choice) => !used.has(choice.name)) ?? field.choices[0];
      values[field.field] = field.kind === "file" ? (free?.name ?? "") : field.value;
    }
    const card = this.card(values);
    this.cards.push(card);
    this.changed();
    this.render();
    card.element.querySelector("select, .card-fields input")?.focus();
  }

  /** Make the same picture with each of these weights of one card. */
  compare(card, weights) {
    this.trigger("select", { card: this.cards.indexOf(card), weights });
  }

  remove(card) {
    const { kind } = card.values;
    this.cards = this.cards.filter((each) => each !== card);
    this.changed();
    this.render();
    this.body.querySelector(`[data-kind="${kind}"] .part-add, [data-kind="${kind}"] .fold-button`)?.focus();
  }

  /** One place up (-1) or down (1) among those of its kind. */
  move(card, way) {
    const own = this.of(card.values.kind);
    const other = own[own.indexOf(card) + way];
    const [from, to] = [this.cards.indexOf(card), this.cards.indexOf(other)];
    [this.cards[from], this.cards[to]] = [this.cards[to], this.cards[from]];
    this.changed();
    this.render();
    const name = way < 0 ? ".card-up" : ".card-down";
    const button = card.element.querySelector(`${name}:not(:disabled)`) ?? card.element.querySelector(".card-up, .card-down");
    button.focus();
  }

  unfold(kind, open) {
    this.open.set(kind, open);
    this.workbench.remember(`parts-${kind}`, open ? "open" : "closed");
    const section = this.body.querySelector(`[data-kind="${kind}"]`);
    section?.toggleAttribute("data-folded", !open);
    section?.querySelector(".fold-button")?.setAttribute("aria-expanded", String(open));
  }

  // --- drawing ----------------------------------------------------------------------------------------------------

  render() {
    this.body.replaceChildren(...this.props.groups.map((group) => this.drawGroup(group)).filter(Boolean));
  }

  drawGroup(group) {
    const large = (this.props.large[this.workbench.mode] ?? []).includes(group.kind);
    if (group.inline) return group.locked ? null : this.drawInline(group);
    const rows = large && group.rows;
    const cards = rows ? withoutRow(this, group) : this.of(group.kind);
    if (group.locked && !cards.length && !large) return null;
    const section = make("section", { class: "fold part-group", "data-kind": group.kind });
    section.toggleAttribute("data-large", large);
    section.toggleAttribute("data-aside", Boolean(group.locked));
    if (!this.open.has(group.kind)) this.open.set(group.kind, this.workbench.recall(`parts-${group.kind}`) === "open");
    const open = large || this.open.get(group.kind);
    section.toggleAttribute("data-folded", !open);
    const list = make("ol", { class: "cards" }, ...cards.map((card, place) => this.drawCard(card, group, place, cards.length)));
    const add = make("button", { type: "button", class: "part-add", onclick: () => this.add(group) }, icon("add"), make("span", { text: `Add ${group.title}` }));
    const file = group.fields.find(({ kind }) => kind === "file");
    const none = !rows && file && !file.choices.length ? file.empty : "";
    add.hidden = rows || Boolean(none) || Boolean(group.locked) || (!group.many && cards.length > 0);
    const says = make("p", { class: "part-help", text: none && !group.locked ? `${group.help} ${none}.` : group.help });
    const other = large && group.other.length ? [this.drawOther(group.other)] : [];
    section.append(this.drawHead(group, large, open), make("div", { class: "part-body" }, says, ...other, list, ...(rows ? drawRows(this, group) : []), add));
    return section;
  }

  /** In a kind's own tab, where the chosen model takes none: the way to one that does. */
  drawOther([model, title]) {
    const change = () => this.workbench.fields.get("model").set(model, "choice");
    return make("button", { type: "button", class: "plain-button part-other", text: `Change to ${title}`, onclick: change });
  }

  drawHead(group, large, open) {
    const title = make("span", { text: group.title });
    const summary = make("span", { class: "fold-summary", text: this.summary(group.kind) });
    const words = large
      ? make("span", { class: "fold-title" }, title, summary)
      : make("button", { type: "button", class: "fold-button", "aria-expanded": String(open), onclick: () => this.unfold(group.kind, !this.open.get(group.kind)) }, title, summary);
    return make("div", {}, make("div", { class: "fold-head" }, make("h2", {}, words)));
  }

  /** The head says what the card is: the menu of its file, where the kind has one. */
  drawCard(card, group, place, number) {
    const { values } = card;
    const on = make("input", { type: "checkbox", "aria-label": `Use ${group.title} ${place + 1}` });
    on.checked = values.on;
    on.disabled = Boolean(group.locked);
    on.addEventListener("change", () => {
      values.on = on.checked;
      card.element.toggleAttribute("data-off", !values.on);
      this.changed();
    });
    const tool = (name, label, does, disabled = false) =>
      make("button", { type: "button", class: `tool card-${name}`, "aria-label": `${label} ${group.title} ${place + 1}`, title: label, disabled, onclick: does }, icon(name));
    const order = number > 1 ? [tool("up", "Move up", () => this.move(card, -1), place === 0), tool("down", "Move down", () => this.move(card, 1), place === number - 1)] : [];
    const menu = group.fields.find((field) => field.kind === "file");
    const name = menu ? this.drawField(card, group, menu) : make("span", { class: "card-title", text: group.title });
    name.inert = Boolean(group.locked);
    const head = make("div", { class: "card-head" }, make("label", { class: "switch" }, on), name, ...order, tool("remove", "Remove", () => this.remove(card)));
    const fields = this.drawFields(card, group, group.fields.filter((field) => field !== menu && !field.within));
    card.element = make("li", { class: "card", role: "group", "aria-label": `${group.title} ${place + 1}` }, head, fields);
    card.element.toggleAttribute("data-off", !values.on);
    return card.element;
  }

  /** The fields of a kind that needs no card: they are a part as soon as something stands in one of them. */
  drawInline(group) {
    let [card] = this.of(group.kind);
    const fresh = !card;
    card ??= this.card(Object.fromEntries([["kind", group.kind], ["on", true], ...group.fields.map(({ field, value }) => [field, value])]));
    const fields = this.drawFields(card, group, group.fields, () => {
      if (fresh && !this.cards.includes(card)) this.cards.push(card);
    });
    card.element = make("div", { class: "part-inline", role: "group", "aria-label": group.title, "data-kind": group.kind }, fields);
    return card.element;
  }

  drawFields(card, group, fields, edited = () => {}) {
    const drawn = fields.map((field) => [field, this.drawField(card, group, field, edited)]);
    const holders = (advanced) => drawn.filter(([field]) => Boolean(field.advanced) === advanced).map(([, holder]) => holder);
    const element = make("div", { class: "card-fields", inert: Boolean(group.locked) }, ...holders(false));
    const behind = holders(true);
    if (behind.length) element.append(make("details", { class: "card-more" }, make("summary", { text: "More" }), make("div", {}, ...behind)));
    return element;
  }

  drawField(card, group, field, edited = () => {}) {
    const body = make("div", { class: "field-body" });
    const holder = make("div", { class: `field field-${field.kind} is-${field.field}` }, body);
    const props = { ...field, value: card.values[field.field] ?? field.value };
    const changed = (value, how) => {
      props.value = value;
      card.values[field.field] = value;
      clearComplaint(holder);
      edited();
      this.changed(how);
    };
    const id = this.workbench.id(`part-${card.id}-${field.field}`);
    const of = {
      get: (name) => card.values[name],
      set: (values, how) => {
        Object.assign(card.values, values);
        props.value = card.values[field.field];
        clearComplaint(holder);
        this.changed(how);
      },
    };
    CONTROLS[field.kind]({ props, workbench: this.workbench, body, id, changed, card: of }).sync();
    return holder;
  }
}

function counted(cards, group) {
  if (!cards.length) return "";
  return cards.length === 1 ? group.title : `${cards.length} ${group.plural}`;
}
