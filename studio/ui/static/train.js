// The Train tab: recipes to start a run from, the runs there are, and the one in view as it learns.
//
// A run is a process of its own, so nothing here has to stay open for it; what it has written is asked for while the tab is visible.

import { ask } from "./ask.js";
import { make } from "./workbench.js";
import { ComparePage } from "./train_compare.js";
import { RecipeForm } from "./train_form.js";
import { RunPage } from "./train_run.js";
import { tabs } from "./tabs.js";
import { stateTitle } from "./train_words.js";

const LIST_MS = 4000;
const OPEN_GROUPS = 2; // the first ones: where to start, and a person's own pictures

export function mount({ element, props }) {
  new Train(element, props.purpose);
}

class Train {
  constructor(element, purpose) {
    this.element = element;
    this.runs = [];
    this.recipes = [];
    this.notice = make("p", { class: "train-problem", role: "alert" });
    this.recipeList = make("div", { class: "train-recipes" });
    this.runList = make("ul", { class: "train-runs", "aria-label": "Runs" });
    this.none = make("p", { class: "train-note", text: "No run yet. Choose a recipe: the first one learns to draw digits in a few minutes." });
    this.main = make("div", { class: "train-main" });
    this.compare = make("button", { type: "button", class: "browser-button train-compare", text: "Compare runs", onclick: () => this.show(new ComparePage(this.runs)) });
    const side = make("div", { class: "train-side" },
      make("section", {}, make("h2", { text: "Runs" }), this.none, this.runList, this.compare),
      make("section", {}, make("h2", { text: "New run" }), this.recipeList));
    element.querySelector(".train-body").append(make("p", { class: "train-purpose", text: purpose }), this.notice, make("div", { class: "train-columns" }, side, this.main));
    tabs.on(() => this.look());
    document.addEventListener("visibilitychange", () => this.look());
  }

  get seen() {
    return document.visibilityState === "visible" && tabs.open?.name === "train";
  }

  async look() {
    if (this.seen === this.looking) return;
    this.looking = this.seen;
    clearTimeout(this.timer);
    this.page?.turn?.(this.seen);
    if (!this.seen) return;
    await this.refresh();
    if (!this.recipes.length) await this.readRecipes();
    if (!this.page) this.openFirst();
  }

  /** What a person most likely comes for: the run of the last visit, else one that is running, else the first recipe. */
  openFirst() {
    const kept = localStorage.getItem("unnoise-train-run");
    const run = this.runs.find(({ id }) => id === kept) ?? this.runs.find(({ state }) => state === "running") ?? this.runs[0];
    if (run) this.openRun(run.id);
    else if (this.recipes.length) this.openRecipe(this.recipes[0]);
  }

  async refresh() {
    clearTimeout(this.timer);
    try {
      this.runs = await ask("runs");
      this.notice.textContent = "";
    } catch (error) {
      this.notice.textContent = error.message;
    }
    this.draw();
    if (this.looking) this.timer = setTimeout(() => this.refresh(), LIST_MS);
  }

  async readRecipes() {
    try {
      this.recipes = await ask("recipes");
    } catch (error) {
      this.notice.textContent = error.message;
    }
    this.recipeList.replaceChildren(...Object.values(Object.groupBy(this.recipes, ({ group_title }) => group_title)).map((recipes, place) => this.recipeGroup(recipes, place < OPEN_GROUPS)));
    this.mark();
  }

  draw() {
    this.none.hidden = this.runs.length > 0;
    this.compare.hidden = this.runs.length < 2;
    const focused = document.activeElement?.dataset?.run;
    this.runList.replaceChildren(...this.runs.map((run) => this.runRow(run)));
    if (focused) this.runList.querySelector(`[data-run="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    this.mark();
  }

  runRow(run) {
    const share = run.steps ? run.step / run.steps : 0;
    const bar = make("span", { class: "train-row-bar", "aria-hidden": "true" }, make("span", { style: `width: ${100 * share}%` }));
    const words = make("span", { class: "train-row-words", text: `${stateTitle(run)}, step ${run.step.toLocaleString("en")} of ${run.steps.toLocaleString("en")}` });
    const name = make("span", { class: "train-row-name", text: run.title });
    const button = make("button", { type: "button", "data-run": run.id, "data-state": run.state, onclick: () => this.openRun(run.id) }, name, words, bar);
    return make("li", {}, button);
  }

  recipeGroup(recipes, open) {
    const title = recipes[0].group_title;
    const count = make("span", { class: "train-row-words", text: String(recipes.length) });
    const list = make("ul", { "aria-label": title }, ...recipes.map((recipe) => this.recipeRow(recipe)));
    return make("details", { class: "train-group", open }, make("summary", {}, title, " ", count), list);
  }

  recipeRow(recipe) {
    const took = recipe.minutes ? `${recipe.minutes} min on ${recipe.measured_on || "this kind of machine"}` : "";
    const words = [recipe.problem || recipe.about, took].filter(Boolean).join(" ");
    const button = make("button", { type: "button", "data-recipe": recipe.name, onclick: () => this.openRecipe(recipe) },
      make("span", { class: "train-row-name", text: recipe.title }), make("span", { class: "train-row-words", text: words }));
    button.toggleAttribute("data-problem", Boolean(recipe.problem));
    return make("li", {}, button);
  }

  mark() {
    const shown = this.page?.key;
    for (const button of this.element.querySelectorAll("[data-run], [data-recipe]")) {
      if (shown && shown === (button.dataset.run ?? `recipe ${button.dataset.recipe}`)) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      if (button.ariaCurrent && button.dataset.recipe) button.closest("details").open = true;
    }
  }

  show(page) {
    this.page?.turn?.(false);
    this.page = page;
    this.main.replaceChildren(page.root);
    page.turn?.(this.seen);
    this.mark();
  }

  openRecipe(recipe) {
    const form = new RecipeForm(recipe, async (changes) => {
      const { id } = await ask("runs", { recipe: recipe.name, changes });
      await this.refresh();
      this.openRun(id);
    });
    this.show(Object.assign(form, { key: `recipe ${recipe.name}` }));
  }

  openRun(id) {
    localStorage.setItem("unnoise-train-run", id);
    const changed = async (other) => {
      await this.refresh();
      if (other) this.openRun(other);
    };
    const gone = async () => {
      localStorage.removeItem("unnoise-train-run");
      this.page = null;
      this.main.replaceChildren();
      await this.refresh();
      this.openFirst();
    };
    this.show(Object.assign(new RunPage(id, { ask, changed, gone }), { key: id }));
  }
}
