// What is to race: prompt and model, samplers with their spacings, and within how many evaluations.

import { ask } from "./ask.js";
import { currentWorkbench, eachWorkbench, make } from "./workbench.js";
import { roughly } from "./units.js";

const KEPT = "unnoise-race-form";
const ASK_MS = 350;

export class RaceForm {
  /** `start(race)` may throw an error with a sentence and the field at fault. */
  constructor({ start }) {
    this.start = start;
    this.menu = null;
    this.prompt = make("textarea", { id: "race-prompt", rows: 2, dir: "auto" });
    this.negative = make("input", { id: "race-negative", type: "text", dir: "auto", autocomplete: "off" });
    this.model = make("select", { id: "race-model", onchange: () => this.read(this.model.value) });
    this.guidance = number("race-cfg", "decimal");
    this.seed = number("race-seed", "numeric");
    this.budgets = make("input", { id: "race-evaluations", type: "text", inputmode: "text", autocomplete: "off", value: "4, 8, 16, 32" });
    this.reference = number("race-reference", "numeric");
    this.lanes = make("ul", { class: "race-lanes-form", "aria-label": "Samplers in the race" });
    this.add = make("button", { type: "button", class: "browser-button", text: "Add a sampler", onclick: () => (this.addLane(this.unused()), this.changed()) });
    this.words = make("p", { class: "race-note", role: "status" });
    this.alarm = make("p", { class: "race-problem", role: "alert" });
    this.button = make("button", { type: "submit", class: "race-start", text: "Start the race" });
    this.fields = { prompt: this.prompt, negative_prompt: this.negative, model: this.model, guidance_scale: this.guidance, seed: this.seed, evaluations: this.budgets, reference_steps: this.reference };
    this.root = make("form", { class: "race-form", novalidate: true },
      field("Prompt", this.prompt), field("Model", select(this.model)),
      make("fieldset", {}, make("legend", { text: "Samplers" }), this.lanes, this.add),
      field("Evaluations", this.budgets, "How often the model is asked, the measure of work: most samplers ask once a step, Heun twice. Guidance adds the same to all and is not counted."),
      make("details", { class: "race-more" }, make("summary", { text: "More" }),
        make("div", { class: "race-pair" }, field("CFG", this.guidance), field("Seed", this.seed)),
        field("Negative prompt", this.negative),
        field("Reference steps", this.reference, "Of the run that stands for the exact solution, which errors are measured against. More take longer; the solution is kept for the next race from the same noise.")),
      this.alarm, this.button, this.words);
    this.root.addEventListener("input", () => this.changed());
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  /** The tab was opened: what stood here at the last visit, else what the generation tabs hold. */
  async open() {
    if (this.menu) return this.estimate();
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null");
    const workbench = kept ? null : currentWorkbench() ?? (await firstWorkbench());
    const model = kept?.request.model ?? workbench?.fields.get("model")?.get();
    this.prompt.value = kept?.request.prompt ?? workbench?.root.querySelector(".is-prompt textarea")?.value ?? "";
    await this.read(model || "default", kept);
    return undefined;
  }

  /** The menus of a model; `kept` is a race to fill in. A model that has gone gives way to the default one. */
  async read(model, kept = null) {
    try {
      this.menu = await ask(`races/menu?model=${encodeURIComponent(model)}`);
    } catch (error) {
      if (model !== "default") return this.read("default", kept && { ...kept, lanes: null });
      return this.complain(error);
    }
    const { menu } = this;
    this.model.replaceChildren(...menu.models.map(({ name, title }) => make("option", { value: name, text: title })));
    this.model.value = menu.model;
    this.guidance.value = kept?.request.guidance_scale ?? menu.defaults.guidance_scale;
    this.guidance.disabled = !menu.guided;
    if (kept) {
      this.seed.value = kept.request.seed;
      this.negative.value = kept.request.negative_prompt ?? "";
      this.budgets.value = kept.evaluations.join(", ");
    }
    this.seed.value ||= "0";
    this.reference.value = kept?.reference_steps ?? menu.reference_steps ?? "";
    this.reference.disabled = menu.reference_steps === null;
    this.lanes.replaceChildren();
    const legal = (kept?.lanes ?? []).filter((lane) => this.spacings(lane.sampler).some(({ name }) => name === lane.spacing));
    for (const lane of legal.length ? legal : menu.lanes) this.addLane(lane);
    this.changed();
    return undefined;
  }

  spacings(sampler) {
    return this.menu.samplers.find(({ name }) => name === sampler)?.spacings ?? [];
  }

  /** The first sampler that does not race yet. */
  unused() {
    const taken = this.values().lanes.map(({ sampler }) => sampler);
    const { name } = this.menu.samplers.find((each) => !taken.includes(each.name)) ?? this.menu.samplers[0];
    return { sampler: name, spacing: "default" };
  }

  addLane(lane) {
    const sampler = make("select", { "aria-label": "Sampler" });
    const spacing = make("select", { "aria-label": "Spacing" });
    const title = ({ title, stochastic }) => (stochastic ? `${title} (adds noise)` : title);
    sampler.append(...this.menu.samplers.map((each) => make("option", { value: each.name, text: title(each) })));
    const offer = (chosen) => {
      const offered = this.spacings(sampler.value);
      spacing.replaceChildren(...offered.map(({ name, title }) => make("option", { value: name, text: title })));
      spacing.value = offered.some(({ name }) => name === chosen) ? chosen : offered[0]?.name;
    };
    sampler.value = lane.sampler;
    offer(lane.spacing);
    sampler.addEventListener("change", () => offer(spacing.value));
    const remove = make("button", { type: "button", class: "race-forget", "aria-label": "Remove this sampler", title: "Remove", text: "×", onclick: () => (row.remove(), this.changed()) });
    const row = make("li", {}, select(sampler), select(spacing), remove);
    this.lanes.append(row);
  }

  values() {
    const lanes = [...this.lanes.children].map((row) => {
      const [sampler, spacing] = row.querySelectorAll("select");
      return { sampler: sampler.value, spacing: spacing.value };
    });
    const numbers = this.budgets.value.split(/[\s,;]+/).filter(Boolean).map((text) => (/^-?\d+$/.test(text) ? Number(text) : text));
    const request = { model: this.model.value, prompt: this.prompt.value, seed: this.seed.value.trim() || 0 };
    if (this.negative.value.trim()) request.negative_prompt = this.negative.value;
    if (!this.guidance.disabled) request.guidance_scale = this.guidance.value.trim();
    const race = { request, lanes, evaluations: numbers };
    const steps = this.reference.value.trim();
    return steps ? { ...race, reference_steps: /^-?\d+$/.test(steps) ? Number(steps) : steps } : race;
  }

  changed() {
    if (!this.menu) return;
    this.complain(null);
    localStorage.setItem(KEPT, JSON.stringify(this.values()));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.estimate(), ASK_MS);
  }

  /** How much work it would be, or what is wrong with it, before anything is started. */
  async estimate() {
    if (!this.menu) return;
    const number = (this.asked = (this.asked ?? 0) + 1);
    try {
      const found = await ask("races/estimate", this.values());
      if (number === this.asked) this.words.textContent = estimateWords(found);
    } catch (error) {
      if (number === this.asked) this.complain(error);
    }
  }

  async submit() {
    this.button.disabled = true;
    try {
      await this.start(this.values());
    } catch (error) {
      this.complain(error, true);
    }
    this.button.disabled = false;
  }

  complain(error, focus = false) {
    this.alarm.textContent = error?.message ?? "";
    if (error) this.words.textContent = "";
    for (const input of Object.values(this.fields)) input.removeAttribute("aria-invalid");
    const input = this.fields[error?.field];
    if (!input) return;
    const fold = input.closest("details");
    if (fold) fold.open = true;
    input.setAttribute("aria-invalid", "true");
    if (focus) input.focus();
  }
}

function estimateWords({ evaluations, reference_evaluations: reference, reference_kept: kept, seconds }) {
  const solution = !reference ? "" : kept ? "; the reference is kept from before" : ` and ${reference.toLocaleString("en")} for the reference`;
  const time = seconds === null ? "How long that takes is known after the first." : `${roughly(seconds).replace(/^./, (letter) => letter.toUpperCase())}.`;
  return `${evaluations.toLocaleString("en")} evaluations${solution}. ${time}`;
}

function field(title, control, help = "") {
  const input = control.matches("span") ? control.firstElementChild : control;
  const note = help && make("p", { class: "race-note", id: `${input.id}-help`, text: help });
  if (note) input.setAttribute("aria-describedby", note.id);
  return make("div", { class: "race-field" }, make("label", { for: input.id, text: title }), control, ...(note ? [note] : []));
}

function select(control) {
  return make("span", { class: "browser-select" }, control);
}

function number(id, inputmode) {
  return make("input", { id, type: "text", inputmode, autocomplete: "off" });
}

function firstWorkbench() {
  return new Promise((resolve) => {
    eachWorkbench(resolve);
    setTimeout(() => resolve(null), 2000); // a page without one
  });
}
