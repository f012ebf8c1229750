// The control of a ControlNet's picture: the control image itself, and the menu of what makes it from a picture. Choosing an
// annotator makes the control image at once from the source; "None" shows the source again. What is painted on it is kept.

import { clearComplaint } from "./complaints.js";
import { picture } from "./picture.js";
import { address, make } from "./workbench.js";

const NONE = "none";
const SETTLED_MS = 600; // after the last change of the size
const made = new Map(); // control images as an annotator made them, with nothing painted on: hash -> size

export function control(options) {
  const { props, body, id, workbench, card } = options;
  const menu = make("select", { id: `${id}-annotator`, onchange: () => choose(menu.value) });
  const note = make("p", { class: "field-note", role: "status", id: `${id}-annotator-note` });
  menu.setAttribute("aria-describedby", note.id);
  const titleOf = (name) => props.annotators.find((each) => each.name === name)?.title ?? name;
  const option = (each) => make("option", { value: each.name, text: each.problem ? `${each.title} (needs weights)` : each.title, title: each.help });
  menu.append(...props.annotators.map(option));
  const holder = make("div", { class: "field field-select is-annotator annotator" }, make("label", { class: "field-label", for: menu.id, text: "Annotator" }), make("div", { class: "select" }, menu), note);

  let asked = 0;
  /** Another picture was chosen: the annotator makes a control image of it, too. */
  const taken = (digest) => produce(digest, digest ? card.get("annotator") || NONE : NONE);
  const shown = picture({ ...options, changed: taken, painted: (digest) => (card.set({ image: digest }, "choice"), sync()) });
  body.append(holder);

  const set = (values) => {
    card.set(values, "choice");
    sync();
  };
  /** Until it is made the request holds the picture and the annotator, of which the studio makes it before the run. */
  async function produce(digest, annotator) {
    const mine = ++asked;
    clearComplaint(holder);
    set({ image: digest, source: "", annotator });
    if (!digest || annotator === NONE) return;
    say(`Making the control image: ${titleOf(annotator)}`, true);
    const size = wanted().join();
    const answer = await annotated(digest, annotator);
    if (mine !== asked) return;
    say("", false);
    if (answer.id) {
      made.set(answer.id, size);
      set({ image: answer.id, source: digest, annotator });
    } else {
      set({ annotator: NONE });
      say(answer.error, false, true);
    }
  }
  /** Another size of the picture needs another control image; one that was painted on is kept. */
  let due;
  const resized = ({ detail: { name } }) => {
    if (name !== "width" && name !== "height") return;
    if (!body.isConnected) return workbench.removeEventListener("field", resized); // another control was drawn in its place
    clearTimeout(due);
    due = setTimeout(() => {
      const size = made.get(card.get("image"));
      if (body.isConnected && size && size !== wanted().join() && card.get("source")) produce(card.get("source"), card.get("annotator"));
    }, SETTLED_MS);
  };
  workbench.addEventListener("field", resized);
  async function annotated(digest, annotator) {
    const [width, height] = wanted();
    const asking = { annotator, resize: card.get("resize") || "crop", ...(width && height ? { width, height } : {}) };
    const request = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(asking) };
    const answer = await fetch(address(`inputs/${digest}/annotate`), request).catch(() => null);
    if (!answer) return { error: "The studio could not be reached. Choose the annotator again." };
    const said = await answer.json().catch(() => ({}));
    return answer.ok ? said : { error: said.error ?? "The control image could not be made." };
  }
  function choose(name) {
    const problem = props.annotators.find((each) => each.name === name)?.problem;
    if (problem) {
      menu.value = card.get("annotator") || NONE;
      return say(problem, false, true);
    }
    say("", false);
    produce(card.get("source") || card.get("image"), name);
  }
  function say(sentence, busy, wrong = false) {
    note.textContent = sentence || described();
    note.classList.toggle("is-wrong", wrong);
    holder.setAttribute("aria-busy", String(busy));
    body.classList.toggle("is-making", busy);
  }
  const wanted = () => ["width", "height"].map((side) => Number(workbench.fields.get(side)?.words()) || null);
  const described = () => props.annotators.find((each) => each.name === (card.get("annotator") || NONE))?.help ?? "";
  function sync() {
    const name = card.get("annotator") || NONE;
    if (!props.annotators.some((each) => each.name === name)) menu.append(make("option", { value: name, text: name }));
    menu.value = name;
    if (holder.getAttribute("aria-busy") !== "true") say("", false);
    shown.sync();
  }
  return { ...shown, sync };
}
