// Who would be in memory at each stage of a run, as one bar a stage against the budget; asked anew at each change.

import { make } from "./workbench.js";
import { labelled } from "./model_fields.js";
import { component, role, size } from "./units.js";

const WAIT_MS = 200; // after the last change
const DTYPES = [["bf16", "bf16"], ["fp16", "fp16"], ["fp32", "fp32"]];
const STAGES = { encode: "Reading the prompt", denoise: "Denoising", decode: "Decoding" };

export class PlanChart {
  constructor(server, model) {
    this.server = server;
    this.model = model;
    const number = (id, value, most, step) => make("input", { id, type: "number", min: step, max: most, step, value, inputmode: "numeric", disabled: model.fixed && step > 1 });
    this.width = number("browser-plan-width", model.width, 8192, 8);
    this.height = number("browser-plan-height", model.height, 8192, 8);
    this.batch = number("browser-plan-batch", 1, 64, 1);
    this.dtype = make("select", { id: "browser-plan-dtype" }, ...DTYPES.map(([value, text]) => make("option", { value, text })));
    this.answer = make("div", { class: "browser-plan", "aria-live": "polite" });
    for (const control of [this.width, this.height, this.batch, this.dtype]) control.addEventListener("input", () => this.soon());
    this.element = make("section", {},
      make("div", {}, make("h3", { text: "What a run would need" }), make("p", { class: "browser-note", text: "Worked out from the files’ headers alone; nothing is loaded." })),
      make("div", { class: "browser-fields is-narrow" }, labelled("Width", this.width), labelled("Height", this.height), labelled("Batch", this.batch), labelled("Number format", this.dtype)),
      this.answer);
  }

  soon() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.ask(), WAIT_MS);
  }

  async ask() {
    const figure = (input) => (input.value === "" ? null : Number(input.value));
    const request = { model: this.model.id, width: figure(this.width), height: figure(this.height), batch: figure(this.batch) ?? 1, dtype: this.dtype.value };
    const number = (this.asked = (this.asked ?? 0) + 1);
    const answer = await this.server.plan(request).catch(() => ({ problem: "No connection" }));
    if (number !== this.asked) return; // a later request is under way
    this.answer.replaceChildren(...(answer.plan ? drawn(answer.plan) : [make("p", { class: "browser-problem", text: answer.problem })]));
  }
}

function drawn(plan) {
  // A budget far beyond the peak would squeeze the bars to nothing: then only the text says it.
  const inSight = plan.budget <= 1.6 * plan.peak;
  const whole = inSight ? Math.max(plan.budget, plan.peak) : plan.peak;
  const comes = plan.whole ? "All of it stays in memory." : "Parts come and go from stage to stage.";
  const how = [comes, ...plan.notes.map((note) => `Images are ${note}.`)].join(" ");
  return [
    make("p", { class: "browser-figures", text: `Peak ${size(plan.peak)} of ${size(plan.budget)}. ${how}` }),
    ...plan.stages.map((stage) => row(stage, whole, inSight ? plan.budget : null)),
    key(plan),
  ];
}

function row(stage, whole, budget) {
  const share = (bytes) => `${(100 * bytes) / whole}%`;
  const segment = (kind, text, bytes) => {
    const part = make("div", { class: `browser-part is-${kind}`, title: `${text}: ${size(bytes)}` });
    part.style.flexBasis = share(bytes);
    return part;
  };
  const bar = make("div", { class: "browser-bar", role: "img", "aria-label": words(stage) },
    ...stage.parts.map((part) => segment(role(part.component), component(part.component), part.bytes)),
    segment("working", "Working memory", stage.working));
  if (budget) {
    const line = make("div", { class: "browser-limit", title: `Budget: ${size(budget)}` });
    line.style.insetInlineStart = share(budget);
    bar.append(line);
  }
  return make("div", { class: "browser-stage" },
    make("div", { class: "browser-line" }, make("span", { text: `${stage.model ? `${stage.model}: ` : ""}${STAGES[stage.name] ?? stage.name}` }), make("span", { class: "browser-size", text: size(stage.peak) })),
    bar);
}

function words(stage) {
  const parts = stage.parts.map((part) => `${component(part.component)} ${size(part.bytes)}${part.streamed ? ", streamed" : ""}`);
  return `${[...parts, `working memory ${size(stage.working)}`].join("; ")}; together ${size(stage.peak)}`;
}

/** Each component once, with its bytes; those that are streamed with the window that they take. */
function key(plan) {
  const parts = new Map(plan.stages.flatMap((stage) => stage.parts).map((part) => [part.component, part]));
  const most = Math.max(...plan.stages.map((stage) => stage.working));
  const entry = (kind, text, bytes) => make("li", {}, make("span", { class: `browser-swatch is-${kind}` }), make("span", { text }), make("span", { class: "browser-size", text: bytes }));
  return make("ul", { class: "browser-parts", "aria-label": "Key" },
    ...[...parts.values()].map((part) => entry(role(part.component), `${component(part.component)}${part.streamed ? ", streamed" : ""}`, size(part.bytes))),
    entry("working", "Working memory", `up to ${size(most)}`));
}
