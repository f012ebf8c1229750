// Keeps what is set in the form: for the next visit, and to step back to when settings of another picture were filled in.

import { whenDrawn, workbenchOf } from "./workbench.js";

const WRITE_MS = 200;
const SETTLED_MS = 60; // the controls that one answer fills are filled one after the other
const STEPS_KEPT = 20;

export function mount({ element, props, trigger, watch }) {
  new Draft(workbenchOf(element), props, trigger, watch);
}

class Draft {
  constructor(workbench, props, trigger, watch) {
    Object.assign(this, { workbench, props, trigger });
    this.areas = new Map(); // name -> textarea, which are Gradio's own controls
    this.edited = new Set(); // before the form held what was kept
    this.back = [];
    this.forward = [];
    this.now = null; // null until the form holds what was kept
    whenDrawn(workbench, ".field-text textarea", (area) => this.areas.set(nameOf(area), area));
    watch("read", () => this.begin());
    workbench.on("edit", ({ name }) => this.edit(name));
    workbench.on("filled", () => this.settle());
    workbench.on("mode", () => this.settle());
    workbench.on("notice-shown", ({ undo }) => undo && this.mark());
    addEventListener("pagehide", () => this.write());
  }

  /** What stands in the controls now. */
  read() {
    const fields = {};
    for (const [name, field] of this.workbench.fields) if (name !== "live") fields[name] = structuredClone(field.get());
    for (const [name, area] of this.areas) fields[name] = area.value;
    return { mode: this.workbench.taskMode, fields };
  }

  put(name, value) {
    const area = this.areas.get(name);
    if (!area) return void this.workbench.fields.get(name)?.set(value);
    area.value = value;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** The form holds what was kept at the last visit; what a person was quicker with goes before it. */
  begin() {
    const early = this.early?.fields ?? {};
    setTimeout(() => {
      for (const name of this.edited) this.put(name, early[name]);
      this.edited.clear();
      this.now = this.read();
      this.workbench.root.dataset.restored = "";
    }, SETTLED_MS);
  }

  edit(name) {
    if (this.now && name === "preset") this.chosen = this.now; // its settings follow
    if (this.now) return void this.keep();
    this.edited.add(name);
    this.early = this.read();
    return undefined;
  }

  keep() {
    this.now = this.read();
    this.timer ??= setTimeout(() => this.write(), WRITE_MS);
  }

  write() {
    clearTimeout(this.timer);
    this.timer = null;
    if (this.now) this.workbench.remember("draft", JSON.stringify(this.now));
  }

  /** Controls are being filled; they are read when all are. */
  settle() {
    if (!this.now || this.settling) return;
    this.settling = setTimeout(() => {
      this.settling = null;
      this.keep();
    }, SETTLED_MS);
  }

  /** Settings were filled in: what stood before can be had back. */
  mark() {
    if (!this.now) return;
    const before = this.chosen ?? this.now;
    this.chosen = null;
    setTimeout(() => {
      this.keep();
      if (same(before, this.now)) return;
      this.back = [...this.back, before].slice(-STEPS_KEPT);
      this.forward = [];
      this.offer();
    }, SETTLED_MS);
  }

  step(from, to) {
    const target = from.pop();
    if (!target) return;
    to.push(this.read());
    this.props.value = target;
    this.trigger("submit");
    this.offer();
  }

  offer() {
    const step = (from, to) => (from.length ? () => this.step(from, to) : null);
    this.workbench.emit("steps", { undo: step(this.back, this.forward), redo: step(this.forward, this.back) });
  }
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

function nameOf(area) {
  return [...area.closest(".field").classList].find((name) => name.startsWith("is-")).slice(3);
}
