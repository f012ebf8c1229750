// A panel beside the picture: its recipe, or what differs between two.

import { make } from "./workbench.js";
import { icon } from "./icons.js";

export class SidePanel {
  /** `toggled()` is called when it was opened or closed. */
  constructor(id, toggled) {
    this.toggled = toggled;
    this.heading = make("h2", { id });
    const close = make("button", { type: "button", class: "tool", "aria-label": "Close the panel", title: "Close", onclick: () => this.close() }, icon("remove"));
    this.body = make("div", { class: "side-body" });
    this.root = make("aside", { class: "side-panel", "aria-labelledby": id, hidden: true }, make("header", {}, this.heading, close), this.body);
    this.owner = null;
  }

  /** `owner` names who opened it; `closed()` is called when it closes, or shows something else. */
  open(owner, title, closed = () => {}) {
    if (this.owner && this.owner !== owner) this.close();
    Object.assign(this, { owner, closed });
    this.heading.textContent = title;
    this.root.hidden = false;
    this.toggled();
    this.root.scrollIntoView({ block: "nearest" });
  }

  show(...content) {
    this.body.replaceChildren(...content);
  }

  close() {
    if (!this.owner) return;
    const { closed } = this;
    this.owner = this.closed = null;
    this.root.hidden = true;
    this.body.replaceChildren();
    this.toggled();
    closed();
  }
}
