// The tour: one view after another of the run in view, at each a question to answer before the run's own trace answers it.

import { STOPS } from "./visualizer_stops.js";
import { renewals, traceOf } from "./visualizer_traced.js";
import { make } from "./workbench.js";

const NO_PICTURE = "The tour needs a run whose picture is saved.";
const UNKNOWN = "This run does not show it: go on, or take the tour with another run.";

export class Tour {
  /** `run()`: the one in view; `show(name)`: opens that view. */
  constructor({ run, show }) {
    Object.assign(this, { run, show, at: 0, right: 0, asked: 0 });
    this.button = make("button", { type: "button", class: "browser-button", "aria-expanded": "false", text: "Tour", title: "Ten stops, each with a question that this run answers", onclick: () => (this.root.hidden ? this.begin() : this.end()) });
    renewals.add(() => !this.root.hidden && !this.options.childElementCount && this.go(this.at)); // what was missing may be there
    this.place = make("span", { class: "vis-note" });
    this.question = make("h3", {});
    this.options = make("div", { class: "vis-chips", role: "group", "aria-label": "Answers" });
    this.verdict = make("p", { role: "status" });
    this.next = make("button", { type: "button", class: "browser-button", onclick: () => this.go(this.at + 1) });
    this.root = make("section", { class: "vis-tour", "aria-label": "Tour", hidden: true }, this.place, this.question, this.options, this.verdict, make("div", { class: "vis-controls" }, this.next, make("button", { type: "button", class: "browser-button", text: "End the tour", onclick: () => this.end() })));
  }

  begin() {
    Object.assign(this, { right: 0, asked: 0 });
    this.root.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.go(0);
  }

  end() {
    this.root.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
  }

  async go(at) {
    if (at >= STOPS.length) return this.end();
    const stop = STOPS[(this.at = at)];
    this.show(stop.view);
    this.place.textContent = `Stop ${at + 1} of ${STOPS.length}${this.asked ? ` · ${this.right} of ${this.asked} right` : ""}`;
    this.question.textContent = stop.question;
    this.next.textContent = at + 1 < STOPS.length ? "Next stop" : "Finish";
    this.verdict.textContent = "";
    this.options.replaceChildren();
    try {
      const { ended, saved } = this.run();
      if (!ended || !saved) throw new Error(NO_PICTURE);
      const trace = await traceOf(saved.id);
      if (this.at !== at) return undefined;
      const answer = stop.answer(trace);
      if (!answer) throw new Error(stop.missing ?? UNKNOWN);
      this.options.replaceChildren(...stop.options(trace).map((text, option) => make("button", { type: "button", class: "vis-chip", text, "aria-pressed": "false", onclick: ({ currentTarget }) => this.judge(option, answer, currentTarget) })));
    } catch (error) {
      if (this.at === at) this.verdict.textContent = error.message;
    }
    return undefined;
  }

  judge(option, { right, says }, pressed) {
    const buttons = [...this.options.children];
    for (const each of buttons) each.disabled = true;
    pressed.setAttribute("aria-pressed", "true");
    this.asked += 1;
    this.right += option === right ? 1 : 0;
    this.verdict.textContent = `${option === right ? "Right." : `No: ${buttons[right].textContent.toLowerCase()}.`} ${says}`;
    this.place.textContent = `Stop ${this.at + 1} of ${STOPS.length} · ${this.right} of ${this.asked} right`;
    this.next.focus();
  }
}
