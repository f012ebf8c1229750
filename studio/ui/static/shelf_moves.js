// The ledger's latest rows: what came into memory and what left it, with bytes and seconds, predicted beside measured.

import { make } from "./bench.js";
import { component, seconds, size } from "./units.js";

const REST_MS = 700; // between two looks while things move
const WORDS = { load: "Loaded", evict: "Let go", stream: "Streamed", measure: "Working memory" };
const HEADS = ["When", "Move", "What", "Predicted", "Measured", "Took", "Why"];

export class Moves {
  constructor(server) {
    this.server = server;
    this.body = make("tbody");
    this.note = make("p", { class: "shelf-note" });
    this.table = make("table", { class: "shelf-table" },
      make("thead", {}, make("tr", {}, ...HEADS.map((text) => make("th", { text, scope: "col" })))), this.body);
    this.element = make("details", { class: "shelf-moves" },
      make("summary", {}, make("h2", { text: "Moves" }), make("span", { class: "shelf-note", text: "what came into memory and what left it" })),
      this.note, make("div", { class: "shelf-scroll", tabindex: 0, role: "region", "aria-label": "Latest moves" }, this.table));
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
    const told = await this.server.moves().catch(() => ({ problem: "No connection" }));
    const rows = told.moves ?? [];
    this.note.textContent = told.problem ?? (rows.length ? "" : "Nothing has moved yet.");
    this.table.hidden = rows.length === 0;
    this.body.replaceChildren(...rows.map(row));
  }
}

function row(move) {
  const measures = move.move === "measure";
  const off = move.predicted && move.measured ? move.measured / move.predicted : 1;
  const cells = [
    new Date(move.time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
    WORDS[move.move] ?? move.move,
    measures ? move.component : component(move.component),
    move.predicted === null ? "–" : size(move.predicted),
    move.measured === null ? "–" : size(move.measured),
    move.seconds === null ? "–" : seconds(move.seconds),
    [move.stage && `to ${move.stage}`, move.reason].filter(Boolean).join(", ") || "–",
  ];
  const line = make("tr", { class: `is-${move.move}` }, ...cells.map((text, number) => make("td", { text, "data-head": HEADS[number] })));
  if (off > 1.02) line.children[4].classList.add("is-over"); // more than was thought
  return line;
}
