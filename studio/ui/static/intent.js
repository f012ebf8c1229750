// A row of large choices that says what something is for. A choice sets other fields, as the studio says that they suit the model;
// what it set is shown beneath, and whatever a person sets instead is kept when the model changes.

import { icon } from "./icons.js";
import { make } from "./workbench.js";

const ICONS = { fill: "brush", add: "add", remove: "eraser", background: "portrait", extend: "full" };

export function intent({ props, workbench, body, id, changed, server }) {
  const group = make("div", { class: "intents", role: "radiogroup", "aria-label": props.label });
  const help = make("p", { class: "field-help intent-help", id: `${id}-help`, role: "status" });
  const said = make("p", { class: "field-note intent-sets" });
  const again = make("button", { type: "button", class: "notice-step", text: "Set again", title: "Put back what the choice sets", onclick: () => apply(settings) });
  body.append(make("span", { class: "field-label", text: props.label, title: props.help }), group, help, said);
  let settings = [];
  let asked = 0;

  const field = (name) => workbench.fields.get(name);
  const isOwn = ({ key, value }) => String(field(key)?.get() ?? "") === String(value);
  const apply = (some) => some.forEach(({ key, value }) => field(key)?.set(value, "set"));
  const tell = () => setTimeout(() => {
    // when the controls show what was set
    said.replaceChildren();
    for (const each of settings.filter(({ key }) => field(key))) {
      const own = isOwn(each);
      const words = own ? each.text : field(each.key).words() || field(each.key).get();
      said.append(make("span", { class: own ? "" : "is-overruled", title: own ? null : `${props.label} sets ${each.text}` }, `${each.title} `, make("b", { text: words })));
    }
    if (!settings.every(isOwn)) said.append(again);
  });
  /** Asks what the choice sets for the model; `chosen`: all of it is set, else what a person has not overruled. */
  const ask = async (chosen) => {
    const number = ++asked;
    const given = { mode: workbench.taskMode, model: field("model")?.get() ?? "", field: props.field, value: props.value };
    const answer = await server.what_it_sets(given).catch(() => null);
    if (!answer || number !== asked) return;
    const kept = chosen ? [] : settings.filter((each) => !isOwn(each)).map(({ key }) => key);
    const known = settings.length > 0;
    settings = answer.settings;
    help.textContent = answer.help;
    if (chosen || known) apply(settings.filter(({ key }) => !kept.includes(key)));
    tell();
  };
  const choose = (value) => {
    changed(value, "choice");
    for (const each of workbench.fields.values()) if (each.only?.[0] === props.field && each.only[1] !== value) each.set(each.only[2], "set");
    ask(true);
  };
  const options = props.choices.map(({ name, title }) => {
    const input = make("input", { type: "radio", name: id, value: name, onchange: () => choose(name), "aria-describedby": help.id });
    return make("label", { class: "intent" }, input, make("span", {}, icon(ICONS[name] ?? "create"), make("span", { text: title })));
  });
  group.append(...options);

  let model = null;
  workbench.on("field", ({ name, value }) => {
    if (name === "model" && value !== model) {
      model = value;
      ask(false);
    } else if (settings.some(({ key }) => key === name)) tell();
  });
  workbench.on("mode", () => body.offsetParent && ask(false));
  const sync = () => {
    for (const option of options) option.firstChild.checked = option.firstChild.value === props.value;
    settings = []; // filled in together with the fields that it sets
    ask(false);
  };
  return { sync, words: () => props.choices.find(({ name }) => name === props.value)?.title ?? "" };
}
