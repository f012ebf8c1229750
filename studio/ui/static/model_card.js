// One model in the model browser: its picture, what it is, its state, and its buttons. Drawn once, then updated.

import { address, make } from "./workbench.js";
import { portrait } from "./portrait.js";
import { doing, kindTitle, percent, size } from "./units.js";

const DOING = { load: "Loading", unload: "Unloading", pin: "Pinning", unpin: "Unpinning" };

export class Card {
  /** `ask(command)` sends a command to the worker; `open(model)` shows the model's details; `hide(model, hidden)` keeps it out
   *  of the lists, or brings it back; `say(text)` is read out by a screen reader. */
  constructor(model, { ask, open, hide, say }) {
    this.model = model;
    this.say = say;
    this.announced = null;
    const command = (action) => () => ask({ action, model: this.model.id });
    this.picture = make("div", { class: "browser-picture" });
    this.title = make("h3", { class: "browser-title", dir: "auto" });
    this.marks = make("div", { class: "browser-marks" });
    this.facts = make("p", { class: "browser-facts-line" });
    this.id = make("p", { class: "browser-id", dir: "auto" });
    this.problem = make("p", { class: "browser-problem" });
    this.progress = make("div", { class: "browser-progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, make("div"));
    this.status = make("p", { class: "browser-status" });
    // A button that waits is marked as disabled but is not, because a disabled one would lose the focus.
    const button = (text, act) => make("button", { type: "button", class: "browser-button", text, onclick: (event) => event.currentTarget.getAttribute("aria-disabled") !== "true" && act() });
    this.load = button("Load", () => command(this.there ? "unload" : "load")());
    this.pin = button("Pin", () => command(this.pinned ? "unpin" : "pin")());
    this.prepare = button("Prepare", () => command(this.importing ? "cancel_import" : "import")());
    this.hider = button("Hide", () => hide(this.model, !this.model.hidden));
    this.details = button("Details", () => open(this.model));
    this.element = make("li", { class: "browser-card" },
      this.picture,
      make("div", { class: "browser-text" }, this.title, this.marks, this.facts, this.id, this.problem, this.progress, this.status),
      make("div", { class: "browser-acts" }, this.load, this.pin, this.prepare, this.hider, this.details));
    this.describe(model);
  }

  /** What the file is. */
  describe(model) {
    const before = this.described;
    this.described = JSON.stringify(model);
    this.model = model;
    if (before === this.described) return;
    this.title.textContent = model.title;
    this.title.title = model.title;
    this.id.textContent = model.id;
    this.id.title = model.sha256 ? `${model.id}\nsha256 ${model.sha256}` : model.id;
    this.facts.textContent = [kindTitle(model.kind), model.bytes && size(model.bytes), ...model.facts.map((fact) => fact.replaceAll(" ", "\u00a0"))].filter(Boolean).join(" · ");
    this.badges = [model.familyTitle, model.variant, model.vae && "other VAE"].filter(Boolean);
    this.element.classList.toggle("is-bad", Boolean(model.problem));
    this.details.hidden = Boolean(model.problem) && !model.runnable;
    this.hider.hidden = !model.hidden && !this.details.hidden; // else it is among the details
    name(this.details, "Details", model.title);
    name(this.hider, model.hidden ? "Show again" : "Hide", model.title);
    this.paint();
  }

  paint() {
    const fallback = portrait(this.model.id);
    if (!this.model.preview) return this.picture.replaceChildren(fallback);
    const image = make("img", { src: address(`previews?model=${encodeURIComponent(this.model.id)}`), alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => image.replaceWith(fallback), { once: true });
    return this.picture.replaceChildren(image);
  }

  /** Its state, as the memory has it; `asked` is a command of this page that has not been answered yet, `refused`
   *  why its last one was not taken. */
  stand(memory, asked, refused) {
    const { id, title, usable, kind } = this.model;
    const command = memory.pending.find((each) => each.model === id) ?? asked;
    const taken = memory.imports.find((each) => each.model === id);
    const prepared = memory.prepared.includes(id);
    const standing = JSON.stringify([this.described, command, taken, prepared, memory.models.includes(id), memory.pinned.includes(id), memory.problems[id], refused]);
    if (standing === this.standing) return; // hundreds of cards get every event
    this.standing = standing;
    this.there = memory.models.includes(id);
    this.pinned = memory.pinned.includes(id);
    this.importing = Boolean(taken) && !taken.problem;
    const problem = this.model.problem || refused || memory.problems[id] || taken?.problem || "";
    const marks = [this.there && (this.pinned ? "in memory, pinned" : "in memory"), prepared && kind !== "diffusers" && "prepared"].filter(Boolean);
    this.marks.replaceChildren(
      ...marks.map((text) => make("span", { class: "browser-mark is-there", text })),
      ...this.badges.map((text) => make("span", { class: "browser-mark", text })));
    this.problem.textContent = problem;
    this.load.hidden = !this.there && (!usable || this.model.hidden); // what came with another model can go as well
    this.pin.hidden = !usable || (this.model.hidden && !this.pinned);
    this.act(command);
    const held = document.activeElement === this.prepare;
    this.prepare.hidden = !usable || (this.model.hidden && !this.importing) || kind === "diffusers" || (prepared && !taken);
    if (held && this.prepare.hidden) this.details.focus(); // what is prepared needs no such button, but the keyboard a place
    name(this.prepare, this.importing ? "Stop preparing" : taken?.problem ? "Prepare again" : "Prepare", title);
    this.report(command, taken, problem);
  }

  act(command) {
    const busy = command && DOING[command.action];
    name(this.load, this.there ? "Unload" : "Load", this.model.title);
    name(this.pin, this.pinned ? "Unpin" : "Pin", this.model.title);
    for (const button of [this.load, this.pin]) button.setAttribute("aria-disabled", String(Boolean(busy)));
    if (this.there && this.pinned) this.load.setAttribute("aria-disabled", "true");
    this.load.title = this.there && this.pinned ? "Pinned models stay; unpin it first" : "";
    this.pin.title = this.pinned ? "" : "Keep it in memory, whatever else is asked for";
    this.element.setAttribute("aria-busy", String(Boolean(busy)));
  }

  report(command, taken, problem) {
    let text = "";
    let fraction = null;
    if (command && DOING[command.action]) {
      text = `${DOING[command.action]}${command.what ? `: ${doing(command.what)}` : "…"}`;
      fraction = command.fraction ?? null;
    } else if (this.importing) {
      fraction = taken.fraction;
      text = fraction === null ? "Waiting to be prepared" : `Preparing${taken.what ? `: ${doing(taken.what)}` : ""} ${percent(fraction)}`;
    }
    this.status.textContent = text;
    this.progress.hidden = fraction === null;
    if (fraction !== null) {
      this.progress.setAttribute("aria-label", text);
      this.progress.setAttribute("aria-valuenow", Math.floor(100 * fraction));
      this.progress.firstChild.style.transform = `scaleX(${Math.min(Math.max(fraction, 0), 1)})`;
    }
    const state = `${this.there} ${this.pinned} ${this.importing} ${problem}`;
    if (this.announced !== null && this.announced !== state) this.say(`${this.model.title}: ${problem || (this.importing ? "being prepared" : this.pinned ? "in memory, pinned" : this.there ? "in memory" : "not in memory")}`);
    this.announced = state;
  }
}

function name(button, text, title) {
  if (button.textContent !== text) button.textContent = text;
  button.setAttribute("aria-label", `${text} ${title}`);
}
