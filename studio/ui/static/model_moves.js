// The ledger's latest rows: what came into memory and what left it, with bytes and seconds, predicted beside measured.

import { make } from "./workbench.js";
import { component, seconds, size } from "./units.js";

const REST_MS = 700; // between two looks while things move
const WORDS = { load: "Loaded", evict: "Unloaded", stream: "Streamed", measure: "Ran", import: "Converted" };
const COLUMNS = { when: "When", move: "Move", model: "Model", part: "Part", predicted: "Predicted", measured: "Measured", took: "Took", why: "Why" };
const NOTHING = "–";

export class Moves {
  /** `titled(id)` is the title of a model. */
  constructor(server, titled) {
    this.server = server;
    this.titled = titled;
    this.body = make("tbody");
    this.note = make("p", { class: "browser-note" });
    this.table = make("table", { class: "browser-table", "aria-label": "Memory log" },
      make("thead", {}, make("tr", {}, ...Object.entries(COLUMNS).map(([name, text]) => make("th", { class: `is-${name}`, text, scope: "col" })))), this.body);
    this.element = make("details", { class: "browser-moves" },
      make("summary", {}, make("h2", { text: "Memory log" }), make("span", { class: "browser-note", text: "what came into memory and what left it" })),
      this.note, make("div", { class: "browser-scroll", tabindex: 0, role: "region", "aria-label": "Latest moves" }, this.table));
    this.element.addEventListener("toggle", () => this.look());
  }

  /** Asks at once; then not again for a moment, after which what came meanwhile is looked at. */
  look() {
    if (!this.element.open) return;
    if (this.resting) {
      this.again = true;
      return;
    }
    this.resting = true;
    this.ask().finally(() => setTimeout(() => {
      const again = this.again;
      this.resting = this.again = false;
      if (again) this.look();
    }, REST_MS));
  }

  async ask() {
    const answer = await this.server.moves().catch(() => ({ problem: "No connection" }));
    const rows = answer.moves ?? [];
    this.note.textContent = answer.problem ?? (rows.length ? "" : "Nothing has moved yet.");
    this.table.parentElement.hidden = rows.length === 0;
    this.body.replaceChildren(...rows.map((move) => row(move, this.titled)));
  }
}

function row(move, titled) {
  const ran = move.move === "measure";
  const off = move.predicted && move.measured ? move.measured / move.predicted : 1;
  const models = move.models.map(titled).join(", ") || (ran && move.component); // an older ledger names it there
  const cells = {
    when: moment(move.time),
    move: WORDS[move.move] ?? move.move,
    model: models || NOTHING,
    part: ran ? "Working memory" : component(move.component) || NOTHING,
    predicted: move.predicted === null ? NOTHING : size(move.predicted),
    measured: move.measured === null ? NOTHING : size(move.measured),
    took: move.seconds === null ? NOTHING : seconds(move.seconds),
    why: [move.stage && `to ${move.stage}`, move.reason].filter(Boolean).join(", ") || NOTHING,
  };
  const line = make("tr", {}, ...Object.entries(cells).map(([name, text]) => make("td", { class: `is-${name}`, text })));
  const [model, measured] = [line.querySelector(".is-model"), line.querySelector(".is-measured")];
  for (const cell of line.children) cell.classList.toggle("is-nothing", cell.textContent === NOTHING);
  model.dir = "auto";
  model.title = models || "";
  if (off > 1.02) measured.classList.add("is-over"); // more than was thought
  return line;
}

/** The time of day, and the day where it is another than today. */
function moment(time) {
  const at = new Date(time * 1000);
  const clock = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  if (at.toDateString() === new Date().toDateString()) return clock;
  return `${at.toLocaleDateString([], { day: "numeric", month: "short" })}, ${clock}`;
}
