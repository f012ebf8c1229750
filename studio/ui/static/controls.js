// The controls of the form and of its cards: native inputs, named by their labels. A number's value is the text in its box.
//
// Each takes { props, workbench, body, id, changed, server, card }: `props` are those of `Field` (studio/ui/fields.py), `card` is
// { get(field), set(values) } of the part that it belongs to, and
// `changed(value, how)` keeps a new value. It returns { sync, words }: `sync` shows what props say,
// `words` is the value in a few words.

import { make } from "./workbench.js";
import { icon } from "./icons.js";
import { box } from "./box.js";
import { control } from "./control_image.js";
import { intent } from "./intent.js";
import { mask } from "./mask.js";
import { picture } from "./picture.js";
import { stops } from "./stops.js";

export const CONTROLS = { select, file, number, seed, switch: switchBox, line, picture, mask, intent, box, control, stops };

const ASK_MS = 60;

function label(props, id) {
  return make("label", { for: id, text: props.label, class: "field-label", title: props.help || null });
}

function select({ props, body, id, changed, workbench }) {
  const input = make("select", { id, onchange: () => (changed(input.value, "choice"), explain()) });
  const help = make("p", { class: "field-help", id: `${id}-help` });
  input.setAttribute("aria-describedby", help.id);
  body.append(label(props, id), make("div", { class: "select" }, input), help);
  let leader = props.depends ? workbench.fields.get(props.depends)?.get() : null;

  const choices = () => (props.depends ? props.choices_by[leader ?? "default"] : props.choices) ?? [];
  const suits = (choice) => !choice.modes || !workbench.taskMode || choice.modes.includes(workbench.taskMode);
  const explain = () => {
    const chosen = choices().find((choice) => choice.name === input.value);
    const refused = chosen && !suits(chosen) ? `${chosen.title} ${props.refusals[workbench.taskMode]}` : "";
    help.classList.toggle("field-refusal", Boolean(refused));
    help.textContent = refused || (choices().length ? "" : props.empty_help) || chosen?.help || props.help;
  };
  const sync = () => {
    const offered = choices();
    const option = (choice) => make("option", { value: choice.name, text: choice.title, disabled: !suits(choice) });
    input.replaceChildren(...offered.map(option));
    if (!offered.length) input.append(make("option", { value: "", text: props.empty || "Nothing to choose" }));
    input.disabled = !offered.length;
    if (offered.some((choice) => choice.name === props.value)) input.value = props.value;
    else if (offered.length) {
      input.value = offered[0].name; // what is no longer legal is not kept
      props.value = input.value;
    }
    explain();
  };
  if (props.depends) {
    workbench.on("field", ({ name, value }) => {
      if (name !== props.depends || value === leader) return;
      leader = value;
      sync();
    });
  }
  if (Object.keys(props.refusals).length) workbench.on("mode", sync);
  return { sync, words: () => input.selectedOptions[0]?.textContent.replace(" (default)", "") ?? "" };
}

/** A menu of files. What was chosen is kept where it is not offered: the request says what is wrong with it. */
function file({ props, body, id, changed }) {
  const input = make("select", { id, onchange: () => changed(input.value, "choice") });
  body.append(label(props, id), make("div", { class: "select" }, input));
  const sync = () => {
    const kept = props.value && !props.choices.some((choice) => choice.name === props.value);
    const options = props.choices.map((choice) => make("option", { value: choice.name, text: choice.title, title: choice.help }));
    if (kept) options.unshift(make("option", { value: props.value, text: `${props.value} (does not fit)` }));
    if (!props.value) options.unshift(make("option", { value: "", text: options.length ? "Choose a file" : props.empty }));
    input.replaceChildren(...options);
    input.value = props.value;
    input.disabled = !props.choices.length && !kept;
  };
  return { sync, words: () => input.selectedOptions[0]?.textContent ?? "" };
}

function number({ props, body, id, changed, workbench, server }) {
  const input = make("input", { id, type: "number", step: props.step, inputmode: "decimal", autocomplete: "off" });
  const [least, most, step] = props.soft;
  const range = most !== undefined && make("input", { type: "range", min: least, max: most, step });
  const paint = () => {
    if (!range) return;
    range.value = input.value === "" ? least : input.value;
    range.style.setProperty("--filled", `${((range.value - least) / (most - least)) * 100}%`);
  };
  const note = make("p", { class: "field-note", id: `${id}-note`, role: "status" });
  const counted = { text: "" };
  const advise = () => {
    note.textContent = props.locked || advised(props, workbench, typed(input)) || counted.text || props.note || "";
    if (note.textContent) input.setAttribute("aria-describedby", note.id);
    else input.removeAttribute("aria-describedby");
  };
  input.addEventListener("input", () => {
    changed(typed(input), "typing");
    paint();
    advise();
  });
  body.append(make("div", { class: "field-head" }, label(props, id), input));
  if (range) {
    range.setAttribute("aria-label", `${props.label} slider`);
    range.addEventListener("input", () => {
      input.value = range.value;
      changed(range.value, "slide");
      paint();
      advise();
    });
    body.append(range);
  }
  body.append(note);
  const sync = () => {
    if (typed(input) !== props.value) input.value = props.value ?? "";
    input.placeholder = props.placeholder || "";
    for (const control of [input, range]) if (control) control.disabled = Boolean(props.locked);
    input.title = props.help;
    paint();
    advise();
  };
  // The menus settle between them what goes together before anything is said of it.
  if (props.advised) workbench.on("field", ({ name }) => (name === "sampler" || name === "spacing") && setTimeout(advise));
  if (props.counts) countSteps(props, workbench, server, (text) => ((counted.text = text), advise()));
  return { sync, words: () => (props.locked ? "" : input.value || input.placeholder) };
}

/** What is to be said of this number with the sampler and spacing that are chosen; it is advice, and nothing is refused. */
function advised(props, workbench, value) {
  const chosen = (name) => workbench.fields.get(name)?.get() || "default";
  const advice = props.advice[chosen("sampler")]?.[chosen("spacing")];
  return advice && value !== "" && Number(value) < advice.below && Number(value) >= 1 ? advice.sentence : "";
}

/** How many steps will run with this number, asked of the studio, whose tasks know it, whenever what decides it changes. */
function countSteps(props, workbench, server, say) {
  let timer = null;
  let asked = 0;
  const ask = async () => {
    const number = ++asked;
    const of = (name) => workbench.fields.get(name)?.get() ?? "";
    const given = { mode: workbench.taskMode, model: of("model"), steps: of("steps"), field: props.field, value: props.value };
    const said = await server.steps_that_run(given).catch(() => "");
    if (number === asked) say(said ?? "");
  };
  const soon = () => {
    timer ??= setTimeout(() => ((timer = null), ask()), ASK_MS);
  };
  workbench.on("field", ({ name }) => ["model", "steps", props.field].includes(name) && soon());
  workbench.on("mode", soon);
  soon();
}

/** What stands in a number box; the browser says nothing at all about text that is no number. */
function typed(input) {
  return input.validity.badInput ? "not a number" : input.value;
}

function seed({ props, body, id, changed, workbench }) {
  const input = make("input", { id, type: "text", inputmode: "numeric", autocomplete: "off", spellcheck: "false", title: props.help });
  const set = (value) => {
    input.value = value;
    changed(value, "choice");
  };
  const die = make("button", { type: "button", class: "tool", "aria-label": "Random seed", title: "A new seed each time (-1)", onclick: () => set("-1") }, icon("die"));
  const reuse = make("button", { type: "button", class: "tool", "aria-label": "Reuse seed", title: "Take the seed of the image shown", onclick: () => shown !== null && set(String(shown)) }, icon("reuse"));
  let shown = null;
  workbench.on("shown", ({ seed }) => {
    shown = seed ?? null;
    reuse.setAttribute("aria-disabled", String(shown === null));
  });
  reuse.setAttribute("aria-disabled", "true");
  input.addEventListener("input", () => changed(input.value, "typing"));
  body.append(label(props, id), make("div", { class: "joined" }, input, die, reuse));
  return {
    words: () => (input.value.trim() === "-1" ? "random seed" : `seed ${input.value}`),
    sync: () => {
      if (input.value !== String(props.value)) input.value = props.value;
    },
  };
}

function line({ props, body, id, changed }) {
  const input = make("input", { id, type: "text", autocomplete: "off", title: props.help, dir: "auto" });
  input.addEventListener("input", () => changed(input.value, "typing"));
  body.append(label(props, id), input);
  return {
    words: () => input.value,
    sync: () => {
      if (input.value !== String(props.value)) input.value = props.value;
      input.placeholder = props.placeholder || "";
    },
  };
}

function switchBox({ props, body, id, changed }) {
  const input = make("input", { id, type: "checkbox", onchange: () => changed(input.checked, "choice") });
  body.append(make("label", { class: "switch", for: id, title: props.help }, input, make("span", { text: props.label })));
  return {
    words: () => (input.checked ? props.label : ""),
    sync: () => {
      input.checked = Boolean(props.value);
    },
  };
}
