// Formulas as MathML, with places for numbers that change, and the cards that explain them.

import { make } from "./workbench.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";

function element(tag, ...children) {
  const made = document.createElementNS(MATHML, tag);
  made.append(...children);
  return made;
}

/** Letters become identifiers, digits numbers, the rest operators: row("x", "=", sub("a", "t")). */
export function row(...parts) {
  return element("mrow", ...parts.map(node));
}

function node(part) {
  if (typeof part !== "string") return part;
  if (/^[\d.]+$/.test(part)) return element("mn", part);
  return /^[\p{L}\u0300-\u036f]+$/u.test(part) ? element("mi", part) : element("mo", part);
}

export const sub = (base, index) => element("msub", node(base), node(index));
export const square = (base) => element("msup", node(base), node("2"));
export const frac = (above, below) => element("mfrac", node(above), node(below));
export const sqrt = (inner) => element("msqrt", node(inner));
export const hat = (base) => element("mover", node(base), element("mo", "^"));
export const bar = (base) => element("mover", node(base), element("mo", "¯"));
export const parts = (...inner) => element("mrow", bracket("("), ...inner.map(node), bracket(")"));

function bracket(text) {
  const made = element("mo", text);
  made.setAttribute("stretchy", "false");
  return made;
}

/** This is what the views call `name`: while the pointer is on it, it is lit wherever it stands. */
export function term(name, inner) {
  const made = row(inner);
  made.dataset.term = name;
  return made;
}

/** A place for the number of this name. */
export function slot(name, of = null) {
  const made = element("mn", "–");
  made.dataset.slot = name;
  if (of) made.dataset.term = of;
  return made;
}

export function math(...content) {
  const made = element("math", row(...content));
  made.setAttribute("display", "block");
  return made;
}

/** A live number in a sentence. */
export function live(name, of = null) {
  return make("b", { class: "vis-number", "data-slot": name, "data-term": of, text: "–" });
}

/** What explains one thing: a title, sentences (rows of text and `live` numbers), formulas, and the paper. */
export class Card {
  constructor({ title, says, formulas = [], paper = "", term: of = null }) {
    const sentences = says.map((sentence) => make("p", {}, ...[sentence].flat()));
    const lines = formulas.map((formula) => make("div", { class: "vis-formula" }, formula));
    const foot = paper ? [make("p", { class: "vis-paper", text: paper })] : [];
    this.root = make("article", { class: "vis-card", "data-term": of }, make("h3", { text: title }), ...sentences, ...lines, ...foot);
    this.slots = [...this.root.querySelectorAll("[data-slot]")];
  }

  /** `values`: name -> text of the number at the cursor. */
  update(values) {
    for (const place of this.slots) {
      const text = values[place.dataset.slot] ?? "–";
      if (place.textContent !== text) place.textContent = text;
    }
  }
}

/** Without a mathematical font browsers do not lower an index; styles do so where `root` is marked. */
export function lowerIndices(root) {
  const [base, index] = [element("mi", "x"), element("mi", "x")];
  const probe = element("math", element("msub", base, index));
  root.append(probe);
  root.toggleAttribute("data-lower", index.getBoundingClientRect().bottom - base.getBoundingClientRect().bottom < 1);
  probe.remove();
}

/** Lights everything that has the name of what the pointer is on. */
export function lightTerms(root) {
  let lit = null;
  const light = (name) => {
    if (name === lit) return;
    lit = name;
    for (const each of root.querySelectorAll(".is-lit")) each.classList.remove("is-lit");
    if (name) for (const each of root.querySelectorAll(`[data-term="${CSS.escape(name)}"]`)) each.classList.add("is-lit");
  };
  root.addEventListener("pointerover", ({ target }) => {
    const on = target.closest(".vis-card [data-term], .vis-readout [data-term]");
    light(on?.dataset.term ?? null);
  });
  root.addEventListener("pointerleave", () => light(null));
}
