// The Samplers tab: a race is set up on the left, the one in view is on the right. A race is a job of the queue, so it goes on
// while this page is closed; what it has found is asked for while the tab is visible.

import { ask } from "./ask.js";
import { make } from "./workbench.js";
import { RaceForm } from "./race_form.js";
import { RaceView } from "./race_view.js";
import { tabs } from "./tabs.js";

const KEPT = "unnoise-race"; // the race of the last visit
const ENDED = ["done", "failed", "cancelled", "interrupted"];
const LOOK_MS = 1000;

export function mount({ element, props }) {
  new Page(element.querySelector(".race-body"), props.purpose);
}

class Page {
  constructor(root, purpose) {
    this.races = [];
    this.alarm = make("p", { class: "race-problem", role: "alert" });
    this.form = new RaceForm({ start: (race) => this.start(race) });
    this.list = make("ul", { class: "race-past", "aria-label": "Races" });
    this.past = make("section", {}, make("h2", { text: "Races" }), this.list);
    this.none = make("p", { class: "race-none", text: "Choose a prompt and the samplers, then start the race. Every sampler begins with the same noise; its pictures appear here as they are made." });
    this.main = make("div", { class: "race-main" }, this.none);
    root.append(make("p", { class: "race-purpose", text: purpose }), this.alarm,
      make("div", { class: "race-columns" }, make("div", { class: "race-side" }, this.form.root, this.past), this.main));
    tabs.on(() => this.look());
    document.addEventListener("visibilitychange", () => this.look());
  }

  get seen() {
    return document.visibilityState === "visible" && tabs.open?.name === "samplers";
  }

  async look() {
    if (this.seen === this.looking) return;
    this.looking = this.seen;
    clearTimeout(this.timer);
    if (!this.seen) return;
    this.form.open();
    await this.refresh();
    const kept = localStorage.getItem(KEPT);
    const first = this.races.find(({ id }) => id === kept) ?? this.races.find(({ state }) => !ENDED.includes(state)) ?? this.races[0];
    if (!this.view && first) this.show(first);
    this.follow();
  }

  async refresh() {
    try {
      this.races = await ask("races");
      this.alarm.textContent = "";
    } catch (error) {
      this.alarm.textContent = error.message;
    }
    this.draw();
  }

  draw() {
    this.past.hidden = !this.races.length;
    this.list.replaceChildren(...this.races.map((race) => this.row(race)));
  }

  row(race) {
    const samplers = race.lanes.map(({ title }) => title).join(", ");
    const button = make("button", { type: "button", "data-race": race.id, "aria-current": this.view?.id === race.id && "true", onclick: () => this.show(race) },
      make("span", { class: "race-row-name", dir: "auto", text: race.race.request.prompt || "No prompt" }),
      make("span", { class: "race-row-words", text: `${race.model}: ${samplers}` }));
    const remove = make("button", { type: "button", class: "race-forget", "aria-label": `Delete the race ${race.race.request.prompt}`, title: "Delete", text: "×", hidden: !ENDED.includes(race.state), onclick: () => this.remove(race) });
    return make("li", {}, button, remove);
  }

  show(race) {
    localStorage.setItem(KEPT, race.id);
    this.view = new RaceView(race.id);
    this.main.replaceChildren(this.view.root);
    this.view.take(race);
    this.draw();
    this.follow();
  }

  async start(race) {
    const { id } = await ask("races", race);
    await this.refresh();
    this.show(this.races.find((each) => each.id === id) ?? (await ask(`races/${id}`)));
    if (matchMedia("(max-width: 900px)").matches) this.main.scrollIntoView({ block: "start" });
  }

  async remove(race) {
    try {
      await ask(`races/${race.id}/delete`, {});
      if (this.view?.id === race.id) {
        this.view = null;
        this.main.replaceChildren(this.none);
      }
    } catch (error) {
      this.alarm.textContent = error.message;
    }
    await this.refresh();
  }

  /** Ask again while the race in view goes on. */
  async follow() {
    clearTimeout(this.timer);
    const { view } = this;
    if (!view || !this.looking || ENDED.includes(view.race.state)) return;
    try {
      const race = await ask(`races/${view.id}`);
      if (this.view !== view) return;
      view.take(race);
      if (ENDED.includes(race.state)) {
        await this.refresh();
        this.form.estimate(); // its pace is known now
      }
    } catch (error) {
      this.alarm.textContent = error.message;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.follow(), LOOK_MS);
  }
}
