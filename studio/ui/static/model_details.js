// A model's details: what its file is, what a person has set instead, and what a run of it would need.

import { address, make } from "./workbench.js";
import { portrait } from "./portrait.js";
import { labelled } from "./model_fields.js";
import { PlanChart } from "./model_plan.js";
import { kindTitle, size } from "./units.js";

const PREDICTIONS = [["epsilon", "Noise (epsilon)"], ["v_prediction", "Velocity (v)"], ["sample", "The clean picture (sample)"], ["flow_prediction", "Flow"], ["consistency", "Consistency"]];
const VARIANTS = [["inpaint", "Inpainting"], ["few-step", "Few steps (turbo, lightning, LCM)"]];

export class Details {
  /** `server` answers `plan` and `override`; `changed()` is called after an override was stored. */
  constructor(server, changed) {
    this.server = server;
    this.changed = changed;
    this.body = make("div", { class: "browser-sheet" });
    this.element = make("dialog", { class: "browser-details", "aria-labelledby": "browser-details-title" }, this.body);
    this.element.addEventListener("click", (event) => event.target === this.element && this.element.close());
    this.element.addEventListener("close", () => this.leave());
  }

  /** The focus goes back to where it was, or, if that is gone, to the model browser's menu. */
  leave() {
    this.body.replaceChildren();
    setTimeout(() => !this.opener.isConnected && this.browser.kind.focus());
  }

  /** `browser`: { models, families, kind }, what there is to choose from, and the menu of what is shown. */
  open(model, browser) {
    this.model = model;
    this.browser = browser;
    this.opener = document.activeElement;
    this.plan = null;
    this.heading = make("h2", { id: "browser-details-title", dir: "auto", text: model.title });
    const picture = make("div", { class: "browser-picture" }, model.preview ? photo(model) : portrait(model.id));
    const close = make("button", { type: "button", class: "browser-button", text: "Close", onclick: () => this.element.close() });
    const parts = [
      make("header", { class: "browser-top" },
        picture,
        make("div", {}, this.heading, model.description && make("p", { class: "browser-note", text: model.description }), model.problem && make("p", { class: "browser-problem", text: model.problem })),
        close),
      facts(model),
      this.words(model, browser),
    ];
    if (model.usable) {
      this.plan = new PlanChart(this.server, model);
      parts.push(this.plan.element);
    }
    this.body.replaceChildren(...parts);
    this.element.showModal();
    close.focus();
    if (model.usable) this.plan.ask();
  }

  /** The form of overrides. A change is stored at once; what is left as found is not. */
  words(model, { models, families }) {
    this.note = make("p", { class: "browser-note", role: "status" });
    const set = (name) => model.overridden.includes(name);
    // What was found is known only while there is no override.
    const found = (name, choices) => {
      const [, text] = choices.find(([value]) => value === model[name]) ?? [];
      return [["", set(name) ? "As found" : `As found${text ? `: ${text}` : model[name] ? `: ${model[name]}` : ""}`], ...choices];
    };
    const title = make("input", { id: "browser-own-title", type: "text", maxlength: 120, value: model.title });
    title.addEventListener("change", () => this.keep({ title: title.value.trim() || null }, title));
    const fields = [labelled("Title", title)];
    if (model.runnable) {
      const vaes = models.filter((each) => each.kind === "vae" && !each.problem && (!each.hidden || each.id === model.vae)).map((each) => [each.id, each.title]);
      if (model.vae && !vaes.some(([id]) => id === model.vae)) vaes.push([model.vae, `${model.vae} (not here)`]);
      fields.push(
        this.menu("vae", "VAE", [["", "Its own"], ...vaes], model.vae),
        this.menu("prediction", "Predicts", found("prediction", PREDICTIONS), set("prediction") ? model.prediction : ""));
      if (model.kind !== "diffusers") {
        fields.push(
          this.menu("family", "Family", found("family", families), set("family") ? model.family : ""),
          this.menu("variant", "Variant", found("variant", VARIANTS), set("variant") ? model.variant : ""));
      }
    }
    return make("section", {},
      make("div", {}, make("h3", { text: "Overrides" }), make("p", { class: "browser-note", text: "What is set here counts instead of what was found in the file." })),
      make("div", { class: "browser-fields" }, ...fields),
      this.hider(model),
      this.note);
  }

  hider(model) {
    const box = make("input", { id: "browser-own-hidden", type: "checkbox", checked: model.hidden, "aria-describedby": "browser-own-hidden-help" });
    box.addEventListener("change", () => this.keep({ hidden: box.checked || null }, box));
    return make("div", { class: "browser-hider" },
      make("label", { class: "switch", for: box.id }, box, make("span", { text: "Hidden" })),
      make("span", { class: "browser-note", id: "browser-own-hidden-help", text: "Kept out of lists and menus. The file stays as it is." }));
  }

  menu(name, text, choices, chosen) {
    const menu = make("select", { id: `browser-own-${name}` }, ...choices.map(([value, title]) => make("option", { value, text: title })));
    menu.value = chosen;
    if (menu.selectedIndex < 0) menu.selectedIndex = 0;
    menu.addEventListener("change", () => this.keep({ [name]: menu.value || null }, menu));
    return labelled(text, menu);
  }

  async keep(changes, control) {
    this.note.textContent = "Saving…";
    const answer = await this.server.override({ model: this.model.id, changes }).catch(() => ({ problem: "No connection" }));
    this.note.textContent = answer.problem ?? "Saved. It takes effect with the model’s next use.";
    this.note.classList.toggle("is-alarm", Boolean(answer.problem));
    control.setAttribute("aria-invalid", String(Boolean(answer.problem)));
    if (answer.problem) return;
    this.plan?.ask(); // another VAE, or another family, is another plan
    await this.changed();
    const now = this.browser.models.find(({ id }) => id === this.model.id);
    if (now) this.heading.textContent = now.title;
  }
}

function facts(model) {
  const rows = [
    ["File", model.id],
    ["Kind", [kindTitle(model.kind), model.familyTitle].filter(Boolean).join(", ")],
    ["Size", [size(model.bytes), model.dtype].filter(Boolean).join(", ")],
    model.runnable && ["Pictures", `${model.width} × ${model.height}`],
    model.enlargers.length && ["Enlarged by", model.enlargers.join(", then ")],
    model.kind !== "diffusers" && ["SHA-256", model.sha256 || "not computed yet"],
  ].filter(Boolean);
  return make("dl", { class: "browser-facts" }, ...rows.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value, dir: "auto" })]));
}

function photo(model) {
  const image = make("img", { src: address(`previews?model=${encodeURIComponent(model.id)}`), alt: `Preview of ${model.title}` });
  image.addEventListener("error", () => image.replaceWith(portrait(model.id)), { once: true });
  return image;
}
