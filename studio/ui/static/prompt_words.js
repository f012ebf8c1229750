// Beneath the prompt: how many tokens it has, what is cut off, which words the model does not know, and what it can draw.
// Those words are underlined by a copy of the text that lies over the text area, of which only the lines are seen.

import { promptHistory } from "./prompt_history.js";
import { changeWeight } from "./prompt_weights.js";
import { make, whenDrawn, workbenchOf } from "./workbench.js";

const ASK_MS = 150;
const OFFERED = 9; // words that are offered at first
const COPIED = "fontFamily fontSize fontWeight fontStyle fontVariantNumeric lineHeight letterSpacing padding border textAlign tabSize".split(" ");

export function mount({ element, server }) {
  new PromptWords(element.querySelector(".prompt-words"), workbenchOf(element), server);
}

class PromptWords {
  constructor(body, workbench, server) {
    Object.assign(this, { workbench, server });
    this.model = null;
    this.known = {}; // what the model can draw: { title, groups }
    this.reading = {};
    this.count = make("span", { class: "prompt-count" });
    this.note = make("p", { class: "prompt-note", role: "status", id: workbench.id("prompt-words") });
    this.chips = make("div", { class: "prompt-chips" });
    this.parts = make("div", { class: "prompt-chips" });
    this.more = make("button", { type: "button", class: "prompt-more", hidden: true, onclick: () => this.unfold(!this.open) });
    this.groups = make("dl", { class: "prompt-groups", hidden: true, id: workbench.id("prompt-groups") });
    this.more.setAttribute("aria-controls", this.groups.id);
    body.append(this.note, this.parts, this.chips, make("div", { class: "prompt-foot" }, this.more, this.count), this.groups);
    whenDrawn(workbench, ".is-prompt textarea", (area) => this.watch(area));
    workbench.on("field", ({ name }) => ["model", "syntax"].includes(name) && this.soon());
    workbench.on("filled", () => this.soon());
  }

  watch(area) {
    this.area = area;
    area.closest(".field").append(...promptHistory(this.workbench, area));
    this.marks = make("div", { class: "prompt-marks", "aria-hidden": "true", dir: "auto" });
    area.after(this.marks);
    area.parentElement.classList.add("prompt-marked");
    const style = getComputedStyle(area);
    for (const name of COPIED) this.marks.style[name] = style[name];
    this.marks.style.borderColor = "transparent";
    new ResizeObserver(() => this.follow()).observe(area);
    area.addEventListener("scroll", () => this.follow());
    area.addEventListener("keydown", (event) => changeWeight(event, area));
    area.addEventListener("input", () => {
      this.mark([]); // what was marked has moved
      this.soon();
    });
    const described = [area.getAttribute("aria-describedby"), this.note.id].filter(Boolean).join(" ");
    area.setAttribute("aria-describedby", described);
    this.soon();
  }

  follow() {
    const { style } = this.marks;
    style.top = `${this.area.offsetTop}px`;
    style.left = `${this.area.offsetLeft}px`;
    style.width = `${this.area.offsetWidth}px`;
    style.height = `${this.area.offsetHeight}px`;
    this.marks.scrollTop = this.area.scrollTop;
  }

  soon() {
    this.timer ??= setTimeout(() => ((this.timer = null), this.ask()), ASK_MS);
  }

  async ask() {
    const model = this.workbench.fields.get("model")?.get();
    if (!this.area || !model) return;
    const text = this.area.disabled ? "" : this.area.value;
    if (model === this.model && text === this.text) return void this.show();
    const asked = (this.asked = Symbol());
    const [reading, known] = await Promise.all([
      this.server.read_prompt({ model, text }),
      model === this.model ? this.known : this.server.vocabulary(model),
    ]).catch(() => [{}, {}]);
    if (asked !== this.asked) return undefined;
    Object.assign(this, { model, text, reading, known });
    this.show();
    return undefined;
  }

  show() {
    if (this.area.value !== this.text && !this.area.disabled) return void this.soon();
    const { tokens, limit, cut, unknown = [] } = this.reading;
    const spans = this.workbench.fields.get("syntax")?.get() === "literal" ? [] : (this.reading.spans ?? []);
    const wrong = spans.find(({ kind }) => kind === "error");
    const groups = this.known.groups ?? [];
    const letters = Array.from(this.text); // positions count characters, and a string of JavaScript counts halves of some
    const words = unknown.map(({ start, end, alike }) => ({ start, end, alike, text: letters.slice(start, end).join("") }));
    const late = cut === null || cut === undefined ? "" : letters.slice(cut).join("");
    this.count.textContent = tokens ? `${tokens} of ${limit} tokens` : "";
    this.count.title = limit ? "A token is a word or a piece of one; syntax is none. The model reads no more than this; CLIP reads on in chunks." : "";
    this.count.classList.toggle("is-over", Boolean(late));
    this.note.textContent = [wrong?.note, unread(late), this.unknownSentence(words)].filter(Boolean).join(" ");
    this.note.classList.toggle("is-wrong", Boolean(wrong));
    this.offer(words, groups);
    this.parts.replaceChildren(...spans.filter(({ kind }) => kind === "lora").map(({ note }) => make("span", { class: "prompt-part", text: note })));
    const marks = spans.map((span) => ({ ...span, name: `is-${span.kind}`, tint: tintOf(span.weight) }));
    const more = [...words.map((word) => ({ ...word, name: "is-unknown" })), ...(late ? [{ start: cut, end: letters.length, name: "is-late" }] : [])];
    this.mark([...marks, ...more], letters);
    return undefined;
  }

  unknownSentence(words) {
    if (!words.length) return "";
    const named = [...new Set(words.map(({ text }) => `“${text}”`))];
    const listed = named.length > 3 ? `${named.slice(0, 3).join(", ")} and ${named.length - 3} more` : named.join(", ");
    return `${this.known.title} does not know ${listed}.`;
  }

  /** Words to click: those spelled like an unknown one first, then some of each group. */
  offer(words, groups) {
    const things = groups.slice(0, 2).flatMap(([, names]) => names);
    const offered = words.length ? [...new Set([...words.flatMap(({ alike }) => alike), ...things])].slice(0, OFFERED) : [];
    this.chips.replaceChildren(...offered.map((name) => this.chip(name)));
    this.more.hidden = !groups.length || this.area.disabled;
    this.groups.replaceChildren(
      ...groups.map(([title, names]) => make("div", {}, make("dt", { text: title }), make("dd", {}, ...names.map((name) => this.chip(name))))),
    );
    this.unfold(Boolean(this.open) && !this.more.hidden);
  }

  unfold(open) {
    this.open = open;
    this.groups.hidden = !open;
    this.more.textContent = open ? "Hide the words" : "What can it draw?";
    this.more.setAttribute("aria-expanded", String(open));
  }

  chip(name) {
    return make("button", { type: "button", class: "prompt-chip", text: name, onclick: () => this.take(name) });
  }

  /** The word goes into the place of the first unknown one, else to the end. */
  take(name) {
    const text = this.area.value;
    const first = this.text === text ? this.reading.unknown?.[0] : null;
    const letters = Array.from(text);
    const before = first ? letters.slice(0, first.start).join("") : text.trimEnd() + (text.trim() ? " " : "");
    const after = first ? letters.slice(first.end).join("") : "";
    this.area.value = before + name + after;
    this.area.dispatchEvent(new Event("input", { bubbles: true }));
    this.area.focus();
    this.area.setSelectionRange(before.length + name.length, before.length + name.length);
  }

  /** Spans may overlap: the text is cut at each edge, and a piece has the classes of all that cover it. */
  mark(spans, letters = []) {
    const edges = [...new Set([0, letters.length, ...spans.flatMap(({ start, end }) => [start, end])])].sort((a, b) => a - b);
    const pieces = edges.slice(0, -1).map((start, number) => {
      const text = letters.slice(start, edges[number + 1]).join("");
      const over = spans.filter((span) => span.start <= start && start < span.end);
      if (!over.length) return text;
      const mark = make("mark", { class: [...new Set(over.map(({ name }) => name))].join(" "), text });
      const tint = over.findLast(({ tint }) => tint)?.tint;
      if (tint) mark.style.setProperty("--tint", tint);
      return mark;
    });
    this.marks.replaceChildren(...pieces, "\u200b");
    this.follow();
  }
}

/** How strongly a weight is tinted, in percent; below 1 it is another colour. */
function tintOf(weight) {
  if (weight === null || weight === undefined) return "";
  const strength = Math.min(45, 12 + Math.abs(weight - 1) * 50).toFixed(0);
  return `color-mix(in srgb, var(${weight > 1 ? "--accent" : "--ink-3"}) ${strength}%, transparent)`;
}

function unread(late) {
  if (!late.trim()) return "";
  const words = late.trim();
  return `The model stops reading at “${words.length > 40 ? `${words.slice(0, 40)}…` : words}”.`;
}
