// The Models tab: memory against the budget, every file of the models folders, and what moved.
//
// The memory comes with the studio's events; the list of files is asked for again now and then while the tab is visible.

import { make } from "./workbench.js";
import { Card } from "./model_card.js";
import { Details } from "./model_details.js";
import { labelled } from "./model_fields.js";
import { Memory } from "./model_memory.js";
import { Moves } from "./model_moves.js";
import { studio } from "./studio.js";
import { kindTitle } from "./units.js";

const ASK_MS = 8000;
const HIDDEN = "is-hidden"; // no kind of file
const NOTHING = { used: 0, budget: 0, device: "", residents: [], holders: [], models: [], pinned: [], pending: [], problems: {}, imports: [], prepared: [] };

export function mount({ element, server }) {
  new ModelBrowser(element, server);
}

class ModelBrowser {
  constructor(element, server) {
    this.element = element;
    this.server = server;
    this.models = [];
    this.families = [];
    this.memory = NOTHING;
    this.asked = new Map(); // model id -> a command of this page that has not been answered yet
    this.refused = new Map(); // model id -> why its last command was refused
    this.cards = new Map(); // model id -> its card
    this.looking = false;
    this.status = make("p", { class: "only-read", role: "status" });
    this.purpose = make("p", { class: "browser-purpose" });
    this.notice = make("p", { class: "browser-problem", role: "alert" });
    this.bar = new Memory((command) => this.send(command));
    this.moves = new Moves(server, (id) => this.models.find((model) => model.id === id)?.title ?? id);
    this.details = new Details(server, () => this.ask());
    this.search = make("input", { type: "search", id: "browser-search", placeholder: "Name, family or kind" });
    this.kind = make("select", { id: "browser-kind" });
    this.count = make("p", { class: "browser-count", role: "status" });
    this.list = make("ul", { class: "browser-list", "aria-label": "Models" });
    this.bad = make("ul", { class: "browser-list is-bad", "aria-label": "Files that cannot be used" });
    this.badHead = make("h2", { text: "Cannot be used" });
    this.empty = make("p", { class: "browser-note" });
    this.again = make("button", { type: "button", class: "browser-button", text: "Look again", onclick: () => this.ask() });
    element.querySelector(".browser-body").append(
      this.purpose, this.notice, this.bar.element,
      make("section", { "aria-label": "On disk" },
        make("div", { class: "browser-head" }, make("div", { class: "browser-line" }, make("h2", { text: "On disk" }), this.count), labelled("Search models", this.search), labelled("Show", this.kind)),
        make("div", { class: "browser-nothing" }, this.empty, this.again), this.list, this.badHead, this.bad),
      this.moves.element, this.details.element, this.status);
    this.search.addEventListener("input", () => this.arrange());
    this.kind.addEventListener("change", () => this.arrange());
    // The page holds the tab before it is opened; its first appearance is the time to ask.
    new IntersectionObserver(() => this.look()).observe(element);
    document.addEventListener("visibilitychange", () => this.look());
    studio.on("memory", (memory) => this.follow(memory));
  }

  get seen() {
    return document.visibilityState === "visible" && this.element.offsetParent !== null;
  }

  /** The files are asked for only while the tab is visible. */
  look() {
    if (this.seen === this.looking) return;
    this.looking = this.seen;
    clearTimeout(this.timer);
    if (this.seen) this.ask();
  }

  async ask() {
    clearTimeout(this.timer);
    const answer = await this.server.overview().catch(() => ({ problem: "No connection" }));
    this.notice.textContent = answer.problem ?? "";
    if (!answer.problem) {
      this.purpose.textContent = answer.purpose;
      this.families = answer.families;
      this.memory = answer.memory;
      this.bar.least = answer.least;
      this.stock(answer.models);
      this.refresh();
    }
    if (this.looking) this.timer = setTimeout(() => this.ask(), ASK_MS);
  }

  follow(memory) {
    const moves = ({ residents, prepared }) => JSON.stringify([residents, prepared]);
    const moved = moves(memory) !== moves(this.memory);
    this.memory = memory;
    this.refresh();
    if (moved) this.moves.look();
  }

  /** Send a command; its card shows that at once, and the memory's events what becomes of it. */
  async send(command) {
    const { model = "" } = command;
    this.refused.delete(model);
    this.asked.set(model, command);
    this.refresh();
    const answer = await this.server.manage(command).catch(() => ({ problem: "No connection" }));
    this.asked.delete(model);
    if (answer.problem) this.refused.set(model, answer.problem);
    this.refresh();
  }

  /** Keep a file out of the lists, or bring it back. */
  async hide(model, hidden) {
    this.refused.delete(model.id);
    const answer = await this.server.override({ model: model.id, changes: { hidden: hidden || null } }).catch(() => ({ problem: "No connection" }));
    if (answer.problem) {
      this.refused.set(model.id, answer.problem);
      return this.refresh();
    }
    await this.ask();
    this.status.textContent = hidden ? `${model.title} is hidden. Choose Hidden under Show to bring it back.` : `${model.title} is shown again.`;
    return undefined;
  }

  /** New cards for new files, none for those that are gone. */
  stock(models) {
    const titles = new Map(this.families);
    this.models = models.map((model) => ({ ...model, familyTitle: titles.get(model.family) ?? model.family.replaceAll("_", " ") }));
    const now = JSON.stringify(this.models);
    if (now === this.stocked) return;
    this.stocked = now;
    const actions = { ask: (command) => this.send(command), open: (model) => this.details.open(model, this), hide: (model, hidden) => this.hide(model, hidden), say: (text) => (this.status.textContent = text) };
    const cards = new Map();
    for (const model of this.models) {
      const card = this.cards.get(model.id) ?? new Card(model, actions);
      card.describe(model);
      cards.set(model.id, card);
    }
    this.cards = cards;
    this.offerKinds();
    this.arrange();
  }

  offerKinds() {
    const counts = new Map();
    const hidden = this.models.filter((model) => model.hidden).length;
    for (const model of this.models) if (!model.hidden) counts.set(model.kind, (counts.get(model.kind) ?? 0) + 1);
    const chosen = this.kind.value;
    const choices = [...counts].sort().map(([kind, count]) => [kind, `${kindTitle(kind)} (${count})`]);
    if (hidden) choices.push([HIDDEN, `Hidden (${hidden})`]);
    counts.set(HIDDEN, hidden);
    this.kind.replaceChildren(...[["", "All kinds"], ...choices].map(([value, text]) => make("option", { value, text })));
    this.kind.value = counts.get(chosen) ? chosen : "";
  }

  /** Which cards are shown, and where: those that can be used, then those that cannot, each with its reason. */
  arrange() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const ofHidden = this.kind.value === HIDDEN;
    const here = this.models.filter((model) => model.hidden === ofHidden);
    const wanted = here.filter((model) => {
      const text = `${model.title} ${model.id} ${model.family} ${model.familyTitle} ${model.kind} ${model.variant} ${model.facts.join(" ")}`.toLowerCase();
      return (!this.kind.value || ofHidden || model.kind === this.kind.value) && words.every((word) => text.includes(word));
    });
    const total = `${here.length} ${ofHidden ? "hidden " : ""}${here.length === 1 ? "file" : "files"}`;
    const besides = ofHidden || here.length === this.models.length ? "" : `, ${this.models.length - here.length} hidden`;
    this.count.textContent = (wanted.length === here.length ? total : `${wanted.length} of ${total}`) + besides;
    const held = document.activeElement.closest(".browser-card");
    const after = held && (held.nextElementSibling ?? held.previousElementSibling);
    place(this.list, wanted.filter(({ problem }) => !problem).map(({ id }) => this.cards.get(id).element));
    place(this.bad, wanted.filter(({ problem }) => problem).map(({ id }) => this.cards.get(id).element));
    // The focus moves to the file after the one that has left.
    if (held && !held.isConnected) ((after?.isConnected && after.querySelector("button:not([hidden])")) || this.kind).focus();
    this.badHead.hidden = this.bad.childElementCount === 0;
    this.again.hidden = this.models.length > 0;
    this.empty.textContent = this.models.length === 0
      ? "No models are here yet. Put checkpoints (.safetensors) or diffusers folders into the models folder, and they show up here by themselves."
      : here.length === 0 ? "Every file is hidden. Choose Hidden under Show to bring one back."
      : wanted.length === 0 ? "Nothing here matches."
      : here.every(({ problem }) => problem) && !ofHidden ? "None of these files can be used as it is." : "";
    for (const control of [this.search, this.kind]) control.closest(".browser-label").hidden = this.models.length === 0;
    this.count.hidden = this.models.length === 0;
  }

  refresh() {
    this.bar.show(this.memory, new Map(this.models.map(({ id, title }) => [id, title])), this.refused.get(""));
    for (const [id, card] of this.cards) card.stand(this.memory, this.asked.get(id), this.refused.get(id));
  }
}

/** Put the elements into the list in this order, moving only those that are elsewhere, so that focus stays where it is. */
function place(list, elements) {
  const wanted = new Set(elements);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  elements.forEach((element, number) => {
    if (list.children[number] !== element) list.insertBefore(element, list.children[number] ?? null);
  });
}
