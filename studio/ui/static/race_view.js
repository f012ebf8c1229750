// One race: how far it is, who is closest within a chosen number of evaluations, every picture, errors as curves and as a table.

import { address, eachWorkbench, make } from "./workbench.js";
import { cancel } from "./feed.js";
import { loading } from "./words.js";
import { roughly, seconds } from "./units.js";
import { RacePlot } from "./race_plot.js";
import { studio } from "./studio.js";
import { tabs } from "./tabs.js";

const STATES = { queued: "Waits", running: "Racing", done: "Done", failed: "Failed", cancelled: "Stopped", interrupted: "Interrupted" };

export class RaceView {
  constructor(id) {
    this.id = id;
    this.race = null;
    this.budget = null;
    this.chosen = null; // the name of the picture that is enlarged
    this.state = make("span", { class: "race-state" });
    this.title = make("h2", { dir: "auto" });
    this.words = make("p", { class: "race-words", role: "status" });
    this.stop = make("button", { type: "button", class: "browser-button", text: "Stop", onclick: () => cancel(id) });
    this.bar = make("div", { class: "race-bar", "aria-hidden": "true" }, make("div"));
    this.alarm = make("p", { class: "race-problem" });
    this.budgets = make("div", { class: "race-budgets", role: "radiogroup", "aria-label": "Evaluations" });
    this.verdict = make("p", { class: "race-verdict" });
    this.use = make("button", { type: "button", class: "race-start", text: "Use it", title: "Set model, sampler, spacing and steps in the generation tabs", onclick: () => useLeg(this.race, this.best()) });
    this.panel = make("section", { class: "race-panel", "aria-label": "Result" }, make("div", { class: "race-choice" }, make("span", { text: "Within" }), this.budgets, make("span", { text: "evaluations" })), this.verdict, this.use);
    this.lanes = make("section", { class: "race-lanes", "aria-label": "Pictures" });
    this.plot = new RacePlot((budget) => this.choose(budget));
    this.table = make("div", { class: "race-table", role: "region", "aria-label": "Errors", tabindex: 0 });
    this.note = make("p", { class: "race-note" });
    this.root = make("article", { class: "race-view" },
      make("header", { class: "race-head" }, make("div", {}, this.title, this.state), this.stop),
      this.bar, this.words, this.alarm, this.panel, this.lanes, make("div", { class: "race-figures" }, this.plot.root, this.table), this.note);
    studio.on("queue", () => this.root.isConnected && this.race && this.drawProgress());
  }

  take(race) {
    const pictures = race.results.legs.length;
    const changed = !this.race || pictures !== this.race.results.legs.length || race.state !== this.race.state || Boolean(race.results.reference) !== Boolean(this.race.results.reference);
    this.race = race;
    this.budget ??= defaultBudget(race);
    this.drawProgress();
    if (changed) this.draw();
  }

  choose(budget) {
    this.budget = budget;
    this.draw();
  }

  drawProgress() {
    const { race } = this;
    const job = studio.queued.find(({ id }) => id === this.id);
    const latest = job?.latest;
    const going = ["queued", "running"].includes(race.state);
    this.title.textContent = race.race.request.prompt || "No prompt";
    this.state.textContent = STATES[race.state];
    this.state.dataset.state = race.state;
    this.stop.hidden = !going;
    this.bar.hidden = !going;
    this.alarm.textContent = race.message;
    const share = latest?.kind === "step" ? (latest.index + 1) / latest.total : 0;
    this.bar.firstChild.style.transform = `scaleX(${share})`;
    this.words.textContent = going ? progress(race, latest) : described(race);
  }

  draw() {
    const { race } = this;
    const known = race.results.reference !== null;
    this.panel.hidden = !known;
    this.budgets.replaceChildren(...race.race.evaluations.map((budget) => this.budgetButton(budget)));
    this.verdict.textContent = race.verdicts[this.budget] ?? "No sampler here can do it in so few.";
    this.use.hidden = !this.best();
    this.drawLanes();
    this.plot.root.hidden = !known;
    if (known) this.plot.draw(race, this.budget);
    this.table.replaceChildren(...(known ? [this.rows()] : []));
    this.note.textContent = race.lanes.every(({ stochastic }) => !stochastic) ? race.note : "";
  }

  budgetButton(budget) {
    const chosen = budget === this.budget;
    const button = make("button", { type: "button", role: "radio", "aria-checked": String(chosen), tabindex: chosen ? 0 : -1, text: String(budget), onclick: () => this.choose(budget) });
    button.addEventListener("keydown", ({ key }) => {
      const all = this.race.race.evaluations;
      const next = all[all.indexOf(budget) + ({ ArrowRight: 1, ArrowLeft: -1 }[key] ?? 0)];
      if (next === undefined || next === budget) return;
      this.choose(next);
      this.budgets.querySelector("[aria-checked=true]").focus();
    });
    return button;
  }

  /** The leg of each lane with the most evaluations within the budget: those with an error, the smallest first. */
  ranked() {
    const fitting = new Map();
    const legs = this.race.results.legs.toSorted((one, other) => one.evaluations - other.evaluations);
    for (const leg of legs) if (leg.error !== null && leg.budget <= this.budget) fitting.set(leg.lane, leg);
    return [...fitting.values()].sort((one, other) => one.error - other.error);
  }

  best() {
    return this.ranked()[0] ?? null;
  }

  /** A row a sampler, its picture at each number of evaluations; the reference stands at the end of each. */
  drawLanes() {
    const { race } = this;
    const budgets = race.race.evaluations;
    const made = new Map(race.results.legs.map((leg) => [leg.picture, leg]));
    const planned = new Map(race.legs.map((leg) => [leg.picture, leg]));
    const row = (lane, number) => {
      const cells = budgets.map((budget) => this.cell(lane, budget, planned.get(`${number}-${budget}`), made.get(`${number}-${budget}`)));
      return make("div", { class: "race-lane", role: "row", "data-lane": number },
        make("div", { class: "race-lane-name", role: "rowheader" }, make("i", { class: "race-swatch", style: lane.stochastic ? null : `--swatch: var(--race-${(number % 8) + 1})`, "data-stochastic": lane.stochastic }), make("span", { text: lane.title })),
        ...cells);
    };
    const head = make("div", { class: "race-lane is-head", role: "row" }, make("div", { role: "columnheader", text: "Evaluations" }),
      ...budgets.map((budget) => make("div", { role: "columnheader", "data-chosen": budget === this.budget, text: String(budget) })));
    const rows = race.lanes.map((lane, number) => ({ lane, element: row(lane, number) }));
    const apart = rows.filter(({ lane }) => lane.stochastic);
    const grid = make("div", { class: "race-grid", role: "table", "aria-label": "Pictures of each sampler", style: `--columns: ${budgets.length}` },
      head, ...rows.filter(({ lane }) => !lane.stochastic).map(({ element }) => element),
      ...(apart.length ? [make("p", { class: "race-apart", text: race.note }), ...apart.map(({ element }) => element)] : []));
    const { reference } = race.results;
    const solution = reference && make("figure", { class: "race-reference" }, picture(race.id, "reference", "The reference solution"),
      make("figcaption", {}, make("strong", { text: "Reference" }), make("span", { text: `${reference.title}, ${reference.steps.toLocaleString("en")} steps${reference.kept ? ", kept from an earlier race" : ""}` })));
    this.lanes.replaceChildren(make("div", { class: "race-scroll", tabindex: 0, role: "group", "aria-label": "Pictures, scrolls sideways" }, grid),
      make("div", { class: "race-large" }, ...[solution, this.enlarged()].filter(Boolean)));
  }

  /** The picture that was chosen, to be seen beside the reference. */
  enlarged() {
    const leg = this.race.results.legs.find((each) => each.picture === this.chosen);
    if (!leg) return null;
    const off = leg.error === null ? "" : `, ${percent(leg.error)} off`;
    return make("figure", { class: "race-reference" }, picture(this.id, leg.picture, "The chosen picture"),
      make("figcaption", {}, make("strong", { text: this.race.lanes[leg.lane].title }), make("span", { text: `${counted(leg)}${off}` }), ...(leg.note ? [make("span", { text: leg.note })] : []),
        make("button", { type: "button", class: "browser-button", text: "Use these settings", onclick: () => useLeg(this.race, leg) })));
  }

  enlarge(leg) {
    this.chosen = leg.picture === this.chosen ? null : leg.picture;
    this.drawLanes();
    this.lanes.querySelector(`[data-leg="${leg.picture}"]`).focus({ preventScroll: true });
  }

  cell(lane, budget, planned, made) {
    const holder = make("div", { class: "race-cell", role: "cell", "data-chosen": budget === this.budget });
    if (!planned) {
      holder.append(make("span", { class: "race-empty", text: "–", title: "No number of steps fits into so few evaluations" }));
      return holder;
    }
    if (!made) {
      holder.append(make("span", { class: "race-picture is-waiting" }), make("span", { class: "race-cell-words", text: "" }));
      return holder;
    }
    const words = counted(made);
    const button = make("button", { type: "button", class: "race-pick", "data-leg": made.picture, "aria-pressed": String(made.picture === this.chosen), title: [`${lane.title}: ${words}`, made.note].filter(Boolean).join("\n"), "aria-label": `${lane.title}, ${words}: enlarge`, onclick: () => this.enlarge(made) },
      picture(this.id, made.picture, ""));
    const off = made.error === null ? (lane.stochastic ? "" : "…") : percent(made.error);
    holder.append(button, make("span", { class: "race-cell-words" }, make("b", { text: off }), make("span", { text: made.evaluations === budget ? "" : ` ${made.evaluations} ev.` })));
    return holder;
  }

  rows() {
    const head = ["Sampler", "Evaluations", "Steps", "Error", "Picture", "Time"];
    const help = { Error: "Root mean square of the difference from the reference's latents, as a share of these", Picture: "Root mean square of the difference from the reference's picture, in levels of 255", Time: "Of the whole run" };
    const body = this.ranked().map((leg) => {
      const lane = this.race.lanes[leg.lane];
      const name = make("th", { scope: "row" }, make("i", { class: "race-swatch", style: `--swatch: var(--race-${(leg.lane % 8) + 1})` }), make("span", { text: lane.title }));
      const cells = [leg.evaluations, leg.steps, percent(leg.error), `${leg.picture_error.toFixed(1)} / 255`, seconds(leg.seconds)];
      return make("tr", {}, name, ...cells.map((text) => make("td", { text: String(text) })));
    });
    return make("table", {}, make("caption", { text: `Within ${this.budget} evaluations, closest first` }),
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col", text, title: help[text] })))), make("tbody", {}, ...body));
  }
}

/** Sampler, spacing and steps of a leg in the generation tabs, with the model that they were measured on. */
function useLeg(race, leg) {
  const lane = race.race.lanes[leg.lane];
  const values = { model: race.race.request.model, sampler: lane.sampler, spacing: lane.spacing, steps: leg.steps };
  let used = false;
  eachWorkbench((workbench) => {
    if (!used) workbench.emit("settings", values);
    used = true;
  });
  const target = tabs.list.find(({ mode }) => mode);
  if (target) location.hash = target.address;
}

function counted({ steps, evaluations }) {
  return `${steps} ${steps === 1 ? "step" : "steps"}, ${evaluations} ${evaluations === 1 ? "evaluation" : "evaluations"}`;
}

function picture(race, name, alt) {
  return make("img", { class: "race-picture", src: address(`races/${race}/${name}.png`), alt, loading: "lazy", decoding: "async" });
}

function progress(race, latest) {
  if (race.state === "queued") return "Waits for the jobs before it.";
  if (!latest) return "Starting";
  if (latest.kind === "loading") return loading(latest);
  const all = race.results.legs.length === race.legs.length;
  const what = all && !race.results.reference ? "Reference solution: evaluation" : "Evaluation";
  const left = latest.remaining === null ? "" : `, ${roughly(latest.remaining)} left`;
  return `${what} ${(latest.index + 1).toLocaleString("en")} of ${latest.total.toLocaleString("en")}${left}`;
}

function described({ model, race: { request }, results }) {
  const pace = results.seconds_per_evaluation ? `${seconds(results.seconds_per_evaluation)} an evaluation` : "";
  return [model, `seed ${request.seed}`, `CFG ${request.guidance_scale}`, `${request.width} × ${request.height}`, pace].filter(Boolean).join(" · ");
}

/** What people most often run: the largest number up to 20 evaluations. */
function defaultBudget({ race: { evaluations } }) {
  return evaluations.findLast((budget) => budget <= 20) ?? evaluations[0];
}

export function percent(error) {
  const share = 100 * error;
  return `${share >= 99.5 ? Math.round(share) : Number(share.toPrecision(2))} %`;
}
