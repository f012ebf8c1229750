// What plays a run back: the strip of its steps, the scrubber, play and pause, and which kind of frame is shown.

import { StepStrip } from "./step_strip.js";
import { address, make } from "./workbench.js";
import { icon } from "./icons.js";

const FRAME_MS = 90;
const LONGEST_MS = 8000; // a run of many steps is played in strides, so that it is over in this time

export class Player {
  /** `kinds`: what kinds of frames there are, { name, title, symbol, help }; `first`: the one shown until a person chooses. */
  constructor(workbench, kinds, first, { seek, kind, picked }) {
    Object.assign(this, { seek, picked, timer: null, step: -1, last: -1 });
    const chosen = workbench.recall("frame-kind");
    this.kind = kinds.some(({ name }) => name === chosen) ? chosen : first;
    this.strip = new StepStrip((step) => this.go(step));
    this.range = make("input", { type: "range", id: workbench.id("step"), min: 1, max: 1, value: 1, "aria-label": "Step" });
    this.range.addEventListener("input", () => this.go(this.range.value - 1));
    this.playing = make("button", { type: "button", class: "tool play", "aria-label": "Play", onclick: () => this.toggle() }, icon("play"));
    this.kinds = kindSwitch(workbench.id("frame-kind"), kinds, this.kind, (value) => {
      this.kind = value;
      workbench.remember("frame-kind", value);
      kind();
    });
    this.save = make("a", { class: "tool", "aria-label": "Download", title: "Download the original" }, icon("download"));
    this.words = make("div", { class: "readout" });
    this.images = make("div", { class: "images", role: "group", "aria-label": "Images of this run" });
    const transport = make("div", { class: "transport" }, this.playing, this.range, this.kinds, this.save);
    this.root = make("div", { class: "player" }, this.images, this.strip.root, transport, this.words);
  }

  /** Its place is always kept, so that the picture has one height from run to run. */
  render(run) {
    const last = run?.last ?? -1;
    const step = run?.step ?? -1;
    Object.assign(this, { last, step });
    this.range.max = Math.max(1, run?.feed.total ?? 1, last + 1);
    this.range.value = step + 1;
    this.range.disabled = last < 0;
    this.range.setAttribute("aria-valuetext", `Step ${step + 1} of ${last + 1}`);
    this.range.style.setProperty("--filled", `${(Math.max(0, step) / Math.max(1, this.range.max - 1)) * 100}%`);
    this.playing.disabled = !this.playable;
    const saved = run?.savedAt(run.image);
    this.save.toggleAttribute("data-absent", !saved);
    if (saved) {
      this.save.href = address(`images/${saved.id}?download=true`);
      this.save.download = "";
    }
    this.strip.render(run);
    this.drawImages(run);
  }

  drawImages(run) {
    const count = run?.count ?? 1;
    this.images.hidden = count < 2 || run.grid; // the grid has them all
    if (this.images.hidden) return this.images.replaceChildren();
    const { feed, image: chosen } = run;
    const saved = [...Array(count).keys()].map((index) => run.savedAt(index));
    const key = `${feed.id} ${chosen} ${saved.map((each) => each?.id).join()}`;
    if (this.images.dataset.key === key) return undefined;
    this.images.dataset.key = key;
    const focused = this.images.contains(document.activeElement) ? [...this.images.children].indexOf(document.activeElement) : -1;
    this.images.replaceChildren(
      ...saved.map((each, index) => {
        const name = `Image ${index + 1} of ${count}${each ? `, seed ${each.seed}` : ""}`;
        const inside = each ? make("img", { src: address(`thumbnails/${each.id}`), alt: "" }) : make("span", { text: index + 1 });
        const attributes = { type: "button", "aria-label": name, title: name, "aria-pressed": String(index === chosen) };
        return make("button", { ...attributes, onclick: () => this.picked(index) }, inside);
      }),
    );
    if (focused >= 0) this.images.children[focused]?.focus();
    return undefined;
  }

  /** Shows these [name, value, help] under the scrubber. */
  read(words) {
    const key = JSON.stringify(words);
    if (this.wordsKey === key) return;
    this.wordsKey = key;
    this.words.replaceChildren(
      ...words.map(([name, value, help]) =>
        make("span", { title: help || null }, ...(name ? [make("i", { text: name }), " "] : []), make("b", { text: value })),
      ),
    );
  }

  get playable() {
    return this.last >= 1;
  }

  go(step) {
    this.stop();
    this.seek(step);
  }

  walk(by) {
    this.go(Math.max(0, Math.min(this.step + by, this.last)));
  }

  toggle() {
    if (this.timer) return this.stop();
    if (this.step >= this.last) this.seek(0);
    const stride = Math.max(1, Math.round((this.last * FRAME_MS) / LONGEST_MS));
    this.timer = setInterval(() => {
      if (this.step >= this.last) this.stop();
      else this.seek(Math.min(this.step + stride, this.last));
    }, FRAME_MS);
    return this.showPlaying("Pause", "pause");
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.showPlaying("Play", "play");
  }

  showPlaying(name, picture) {
    if (this.playing.getAttribute("aria-label") === name) return;
    this.playing.setAttribute("aria-label", name);
    this.playing.replaceChildren(icon(picture));
  }
}

function kindSwitch(name, kinds, chosen, changed) {
  const group = make("fieldset", { class: "segments" }, make("legend", { class: "only-read", text: "Show" }));
  for (const { name: value, title, symbol, help } of kinds) {
    const attributes = { type: "radio", name, value, checked: value === chosen, "aria-label": title };
    const radio = make("input", { ...attributes, onchange: () => changed(value) });
    const before = title.replace(/\S+$/, ""); // what comes before the symbol in "Predicted x0"
    const words = make("span", { "aria-hidden": "true" }, before, make("i", { text: "x" }), make("sub", { text: symbol }));
    group.append(make("label", { title: help }, radio, words));
  }
  return group;
}
