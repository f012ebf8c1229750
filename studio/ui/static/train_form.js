// The form of a new run: the settings of a recipe, the first few at once and the rest behind folds by their group.

import { DataLook, uploader } from "./train_data.js";
import { make } from "./workbench.js";

export class RecipeForm {
  /** `start(changes)`: changes by dotted name, those alone that differ from the recipe. */
  constructor(recipe, start) {
    this.recipe = recipe;
    this.inputs = new Map(); // dotted name -> { input, field, holder }
    this.alarm = make("p", { class: "train-problem", role: "alert" });
    this.button = make("button", { type: "submit", class: "train-start", text: "Start training" });
    this.button.disabled = Boolean(recipe.problem);
    const first = recipe.fields.filter((field) => field.first);
    const groups = Map.groupBy(recipe.fields.filter((field) => !field.first), ({ group }) => group || "Run");
    const folds = [...groups].map(([title, fields]) => make("details", { class: "train-fold" }, make("summary", { text: title }), this.grid(fields)));
    const look = new DataLook({ request: () => ({ recipe: recipe.name, changes: this.changes() }), complain: (...said) => this.complain(...said) });
    look.root.hidden = Boolean(recipe.problem) || !recipe.fields.some(({ name }) => name === "data.name");
    this.root = make("form", { class: "train-form", novalidate: true },
      make("h2", { text: recipe.title }), make("p", { class: "train-note", text: recipe.problem || recipe.about }),
      this.grid(first), look.root, ...folds, this.alarm, this.button);
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit(start);
    });
  }

  grid(fields) {
    return make("div", { class: "train-fields" }, ...fields.map((field) => this.row(field)));
  }

  row(field) {
    const id = `train-${field.name.replaceAll(".", "-")}`;
    const input = control(field, id);
    const help = make("p", { class: "train-help", id: `${id}-help`, text: field.help });
    input.setAttribute("aria-describedby", help.id);
    const holder = make("div", { class: "train-field" }, make("label", { for: id, text: field.title }), input, help);
    if (field.kind === "pictures") input.after(uploader(input, (...said) => this.complain(...said)));
    if (field.kind === "values" || field.kind === "pictures") holder.classList.add("is-wide");
    this.inputs.set(field.name, { input, field, holder });
    return holder;
  }

  async submit(start) {
    this.complain("");
    let changes;
    try {
      changes = this.changes();
    } catch (error) {
      return this.complain(error.message, error.field);
    }
    this.button.disabled = true;
    try {
      await start(changes);
    } catch (error) {
      this.complain(error.message, error.field);
      this.button.disabled = false;
    }
    return undefined;
  }

  changes() {
    const found = {};
    for (const [name, { input, field }] of this.inputs) {
      const value = read(input, field);
      if (JSON.stringify(value) !== JSON.stringify(field.value)) found[name] = value;
    }
    return found;
  }

  complain(sentence, name) {
    this.alarm.textContent = sentence;
    for (const { input } of this.inputs.values()) input.removeAttribute("aria-invalid");
    const at = [...this.inputs].find(([dotted]) => dotted === name || name?.startsWith(`${dotted}.`) || name?.endsWith(dotted));
    if (!sentence || !at) return;
    const [, { input }] = at;
    const fold = input.closest("details");
    if (fold) fold.open = true;
    input.setAttribute("aria-invalid", "true");
    input.focus();
  }
}

function control(field, id) {
  if (field.kind === "choice") {
    return make("select", { id }, ...field.choices.map((value) => make("option", { value, text: value, selected: value === field.value })));
  }
  if (field.kind === "boolean") return make("input", { id, type: "checkbox", checked: field.value });
  if (field.kind === "values") {
    const area = make("textarea", { id, rows: 2, spellcheck: "false" });
    area.value = JSON.stringify(field.value, null, 1).replace(/\n\s*/g, " ");
    return area;
  }
  return make("input", { id, type: "text", inputmode: field.kind === "text" || field.kind === "pictures" ? "text" : "decimal", value: field.value ?? "", autocomplete: "off" });
}

function read(input, field) {
  if (field.kind === "boolean") return input.checked;
  const text = input.value.trim();
  if (["text", "choice", "pictures"].includes(field.kind)) return text === "" && field.value === null ? null : text;
  if (field.kind === "values") {
    try {
      return JSON.parse(text);
    } catch {
      throw Object.assign(new Error(`${field.title}: this is not JSON.`), { field: field.name });
    }
  }
  const number = Number(text);
  if (text === "" || !Number.isFinite(number)) throw Object.assign(new Error(`${field.title} must be a number.`), { field: field.name });
  return number;
}
