// What moves the cursor: play, loop, the slider; and where it is: step, t, sigma, log-SNR.

import { make } from "./workbench.js";
import { icon } from "./icons.js";

const FINE = 1000; // positions of the slider over time

export class Transport {
  constructor(cursor) {
    this.cursor = cursor;
    this.play = make("button", { type: "button", class: "tool play", "aria-label": "Play", onclick: () => cursor.toggle() }, icon("play"));
    this.loop = make("button", { type: "button", class: "tool vis-loop", "aria-label": "Loop", "aria-pressed": "false", title: "Play again and again", onclick: () => this.turnLoop() }, icon("reuse"));
    this.range = make("input", { type: "range", min: 0, max: 1, step: 1, value: 0, "aria-label": "Time", oninput: () => this.seek() });
    this.readout = make("p", { class: "vis-readout" });
    this.places = new Map();
    this.root = make("div", { class: "vis-time", role: "group", "aria-label": "Time" }, this.play, this.loop, this.range, this.readout);
    cursor.on(() => this.draw());
  }

  turnLoop() {
    this.cursor.loops = !this.cursor.loops;
    this.loop.setAttribute("aria-pressed", String(this.cursor.loops));
  }

  /** Noise is on the left and the picture on the right, as in the run. */
  seek() {
    const value = Number(this.range.value);
    if (this.cursor.unit === "time") this.cursor.goTime(1 - value / FINE);
    else this.cursor.go(value);
  }

  /** The words of the readout: name -> [symbol, text]; `text` null leaves one out. */
  say(rows) {
    for (const [name, [symbol, text]] of Object.entries(rows)) {
      if (!this.places.has(name)) {
        const value = make("b");
        const row = make("span", { "data-term": name === "t" || name === "logSnr" ? "sigma" : name }, ...(symbol ? [make("i", { text: symbol }), " "] : []), value);
        this.places.set(name, { row, value });
        this.readout.append(row);
      }
      const { row, value } = this.places.get(name);
      row.hidden = text === null;
      if (text !== null && value.textContent !== text) value.textContent = text;
    }
  }

  draw() {
    const { cursor, range, play } = this;
    const byTime = cursor.unit === "time";
    const [most, value] = byTime ? [FINE, Math.round((1 - cursor.time) * FINE)] : [Math.max(1, cursor.last), cursor.step];
    if (Number(range.max) !== most) range.max = String(most);
    if (Number(range.value) !== value) range.value = String(value);
    range.disabled = play.disabled = !cursor.playable;
    range.style.setProperty("--filled", `${(100 * value) / most}%`);
    range.setAttribute("aria-valuetext", byTime ? `t = ${cursor.time.toFixed(3)}` : `Step ${cursor.step + 1} of ${cursor.last + 1}`);
    const name = cursor.playing ? "Pause" : "Play";
    if (play.getAttribute("aria-label") === name) return;
    play.setAttribute("aria-label", name);
    play.replaceChildren(icon(name.toLowerCase()));
  }
}
