// Draws one control of the form: native inputs, named by their labels. A number's value is the text in its box.

import { workbenchOf, make } from "./workbench.js";
import { icon } from "./icons.js";

const KINDS = { select, number, seed, switch: switchBox };

export function mount(tools) {
  const { element, props, watch } = tools;
  const workbench = workbenchOf(element);
  const body = element.querySelector(".field-body");
  const id = workbench.id(props.field);
  const changed = (value, how) => {
    const old = props.value;
    props.value = value;
    tools.trigger("input");
    workbench.emit("field", { name: props.field, value });
    workbench.emit("edit", { name: props.field, how, old });
  };
  const control = KINDS[props.kind]({ ...tools, workbench, body, id, changed });
  const watched = ["value", "choices", "choices_by", "placeholder", "locked", "advice", "note", "absent"];
  watch(watched, () => {
    control.sync();
    workbench.emit("field", { name: props.field, value: props.value });
    workbench.emit("filled", { name: props.field });
  });
  control.sync();
  workbench.fields.set(props.field, {
    get: () => props.value,
    words: control.words,
    set: (value, how = "set") => {
      changed(value, how);
      control.sync();
    },
  });
  workbench.emit("field", { name: props.field, value: props.value });
}

function label(props, id) {
  return make("label", { for: id, text: props.label, class: "field-label", title: props.help || null });
}

function select({ props, body, id, changed, workbench }) {
  const input = make("select", { id, onchange: () => (changed(input.value, "choice"), explain()) });
  const help = make("p", { class: "field-help", id: `${id}-help` });
  input.setAttribute("aria-describedby", help.id);
  body.append(label(props, id), make("div", { class: "select" }, input), help);
  let leader = props.depends ? workbench.fields.get(props.depends)?.get() : null;

  const choices = () => (props.depends ? props.choices_by?.[leader ?? "default"] : props.choices) ?? [];
  const explain = () => {
    const none = choices().length ? "" : props.empty_help;
    help.textContent = none || choices().find((choice) => choice.name === input.value)?.help || props.help;
  };
  const sync = () => {
    const offered = choices();
    input.replaceChildren(...offered.map((choice) => make("option", { value: choice.name, text: choice.title })));
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
  return { sync, words: () => input.selectedOptions[0]?.textContent ?? "" };
}

function number({ props, body, id, changed, workbench }) {
  const input = make("input", { id, type: "number", step: "any", inputmode: "decimal", autocomplete: "off" });
  const [least, most, step] = props.soft;
  const range = most !== undefined && make("input", { type: "range", min: least, max: most, step });
  const paint = () => {
    if (!range) return;
    range.value = input.value === "" ? least : input.value;
    range.style.setProperty("--filled", `${((range.value - least) / (most - least)) * 100}%`);
  };
  input.addEventListener("input", () => (changed(typed(input), "typing"), paint()));
  body.append(make("div", { class: "field-head" }, label(props, id), input));
  if (range) {
    // Arrow keys in the box should move as the slider does.
    input.step = step;
    range.setAttribute("aria-label", `${props.label} slider`);
    range.addEventListener("input", () => {
      input.value = range.value;
      changed(range.value, "slide");
      paint();
    });
    body.append(range);
  } else {
    input.step = props.field === "width" || props.field === "height" ? 8 : 1;
  }
  const note = make("p", { class: "field-note", id: `${id}-note`, role: "status" });
  body.append(note);
  const advise = () => {
    note.textContent = props.locked || advised(props, workbench, typed(input)) || props.note || "";
    if (note.textContent) input.setAttribute("aria-describedby", note.id);
    else input.removeAttribute("aria-describedby");
  };
  input.addEventListener("input", advise);
  range && range.addEventListener("input", advise);
  const sync = () => {
    if (typed(input) !== props.value) input.value = props.value ?? "";
    input.placeholder = props.placeholder || "";
    for (const control of [input, range]) if (control) control.disabled = Boolean(props.locked);
    input.title = props.help;
    body.closest(".field").classList.toggle("is-absent", Boolean(props.absent));
    paint();
    advise();
  };
  // The menus settle between them what goes together before anything is said of it.
  workbench.on("field", ({ name }) => (name === "sampler" || name === "spacing") && setTimeout(advise));
  return { sync, words: () => input.value || input.placeholder };
}

/** What is to be said of this number with the sampler and spacing that are chosen; it is advice, and nothing is refused. */
function advised(props, workbench, value) {
  const chosen = (name) => workbench.fields.get(name)?.get() || "default";
  const told = props.advice?.[chosen("sampler")]?.[chosen("spacing")];
  return told && value !== "" && Number(value) < told.below && Number(value) >= 1 ? told.sentence : "";
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
    words: () => input.value,
    sync: () => {
      if (input.value !== String(props.value)) input.value = props.value;
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
