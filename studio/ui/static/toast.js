// A sentence on the stage that goes away by itself, with a button for what can still be undone.

import { make } from "./workbench.js";

const SHOWN_MS = 8000;

export class Toast {
  constructor() {
    this.sentence = make("p");
    this.button = make("button", { type: "button", class: "plain-button" });
    this.root = make("div", { class: "toast", role: "status", hidden: true }, this.sentence, this.button);
    for (const type of ["pointerenter", "focusin"]) this.root.addEventListener(type, () => clearTimeout(this.timer));
    for (const type of ["pointerleave", "focusout"]) this.root.addEventListener(type, () => this.wait());
  }

  /** `undo`: { text, act }, or nothing. */
  say(sentence, undo = null) {
    this.sentence.textContent = sentence;
    this.button.hidden = !undo;
    this.button.textContent = undo?.text ?? "";
    this.button.onclick = () => {
      this.hide();
      undo.act();
    };
    this.root.hidden = false;
    this.wait();
  }

  wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hide(), SHOWN_MS);
  }

  hide() {
    clearTimeout(this.timer);
    this.root.hidden = true;
  }
}
