// The painter: paints a mask over a picture, or colours over a picture or blank ground, at the picture's own size. It lies over
// the canvas of its workbench and is opened by the event "paint". What is painted goes to the studio as a picture soon after each
// change; the control that asked for it is given its hash.

import { History } from "./painter_history.js";
import { PainterBar } from "./painter_bar.js";
import { wireKeys } from "./painter_keys.js";
import { wirePointer } from "./painter_pointer.js";
import { greyPng } from "./painter_png.js";
import { Tiles } from "./painter_tiles.js";
import { TOOLS } from "./painter_tools.js";
import { View } from "./painter_view.js";
import { store } from "./picture.js";
import { boxOf } from "./box.js";
import { address, currentWorkbench, make } from "./workbench.js";

const MASK = [226, 58, 124]; // how a mask is shown; only how much of it there is counts
const STORE_MS = 100; // after a change; strokes that follow each other at once are stored together
const SETTINGS = { size: 0.08, opacity: 1, way: "paint", colour: "#c8372d" }; // `size`: share of the picture's longer side
const STEP = 1.15; // of the brush's size

export class Painter {
  constructor(workbench) {
    Object.assign(this, { workbench, id: workbench.id("painter"), task: {}, tiles: null, history: { canUndo: false, canRedo: false } });
    this.settings = { ...SETTINGS, ...JSON.parse(workbench.recall("painter") ?? "{}") };
    this.toolOf = Object.fromEntries(Object.entries(TOOLS).map(([name, tool]) => [name, new tool.make(this)]));
    this.toolName = "brush";
    this.view = new View(() => this.bar?.scaled());
    this.bar = new PainterBar(this);
    this.alarm = make("p", { class: "painter-alarm", role: "alert", hidden: true });
    this.spoken = make("p", { class: "only-read", role: "status" });
    this.root = make("section", { class: "painter", "data-testid": "painter", hidden: true }, this.bar.head, this.bar.options, this.bar.rail, this.bar.colour, this.view.root, this.alarm, this.spoken);
    wirePointer(this);
    wireKeys(this);
    workbench.on("paint", (task) => this.open(task));
    workbench.on("field", (field) => this.follow(field));
    workbench.on("mode", () => this.close());
    workbench.on("field", ({ name }) => name === "live" && this.beside());
    workbench.on("submitting", () => this.isLive || this.close());
    workbench.root.addEventListener("click", (event) => this.holdBack(event), true);
  }

  get isOpen() {
    return !this.root.hidden;
  }

  get listens() {
    return this.isOpen && currentWorkbench() === this.workbench;
  }

  get tool() {
    return this.toolOf[this.toolName];
  }

  get erasing() {
    return TOOLS[this.toolName].options.includes("way") && this.settings.way === "erase";
  }

  get size() {
    return Math.max(1, this.settings.size * this.longest);
  }

  get longest() {
    return this.tiles ? Math.max(this.tiles.width, this.tiles.height) : 1000;
  }

  get isLive() {
    return Boolean(this.workbench.fields.get("live")?.get());
  }

  /** While Live answers each stroke, the result is seen beside what is painted. */
  beside() {
    this.root.toggleAttribute("data-beside", this.isLive);
  }

  /** What the cursor shows of the tool. */
  get reach() {
    return TOOLS[this.toolName].options.includes("size") ? this.size / 2 : 0;
  }

  get colour() {
    return this.task.kind === "mask" ? `rgb(${MASK})` : this.settings.colour;
  }

  /** `task`: { kind: "mask" or "colour", field, name: of the field that a sketch fills, over: the field of the picture beneath a mask, title, picture: hash or "", value:
   * hash of what was painted before, size: of blank ground, set(hash), choose(): take a file instead, box: { get, set } of the text of
   * a rectangle that can be drawn beside it, tool: the first one }. */
  async open(task) {
    const goesOn = this.tiles && this.task.field === task.field && this.value === task.value && (task.kind === "colour" || this.task.picture === task.picture);
    if (goesOn) task = { ...task, picture: this.task.picture };
    else await this.flush();
    this.task = task;
    this.root.hidden = false;
    this.beside();
    this.root.dataset.kind = task.kind;
    this.root.setAttribute("aria-label", task.title);
    this.view.root.setAttribute("aria-label", `${task.title}: the arrows move a cross, Enter draws with it`);
    this.warn("");
    this.workbench.emit("painting", { open: true });
    if (goesOn) this.view.show(this.tiles, this.ground);
    else await this.begun(task);
    if (this.task !== task) return;
    this.framed();
    this.take(task.tool ?? (this.offers(this.toolName) ? this.toolName : "brush"));
    this.view.root.focus({ preventScroll: true });
  }

  async begun(task) {
    this.isLoading = true;
    try {
      const [ground, painted] = await Promise.all([task.picture, task.kind === "mask" && task.value].map((hash) => (hash ? loaded(hash) : null)));
      if (this.task !== task) return;
      const [width, height] = ground ? [ground.naturalWidth, ground.naturalHeight] : task.size;
      Object.assign(this, { ground, value: task.value || "", tiles: new Tiles(width, height), cross: null, pressed: false });
      if (painted) this.tiles.load(painted, MASK);
      this.history = new History(this.tiles);
      this.view.show(this.tiles, ground);
    } catch (error) {
      if (this.task === task) this.close();
      this.workbench.emit("notice", { sentence: error.message });
    } finally {
      if (this.task === task) this.isLoading = false;
    }
  }

  /** Another picture, or another mask, was put into the form. */
  async follow({ name, value: given }) {
    const { task } = this;
    const value = given || "";
    if (!this.isOpen || this.isLoading) return;
    if (task.kind === "colour" && name === task.name && value !== this.value) {
      this.dirty = false; // what was painted lies on the picture before
      return void this.close();
    }
    if (name === task.over && value !== task.picture) {
      if (value) this.open({ ...task, picture: value, value: this.value });
      else this.close();
    } else if (name === task.field && task.kind === "mask" && value !== this.value && !this.dirty) {
      this.value = value;
      const image = value ? await loaded(value).catch(() => null) : null;
      if (this.task !== task || this.value !== value) return;
      if (image) this.tiles.load(image, MASK);
      else this.tiles.fill(null);
      this.history.keep();
      this.view.draw();
      this.bar.render();
    }
  }

  close() {
    if (!this.isOpen) return;
    this.cancel();
    this.flush();
    if (document.fullscreenElement === this.root) document.exitFullscreen();
    this.root.hidden = true;
    this.workbench.emit("painting", { open: false });
  }

  // --- what tools do -----------------------------------------------------------------------------------------------

  begin({ erase }) {
    this.change = this.tiles.change({ colour: this.colour, opacity: this.settings.opacity, erase });
    return this.change;
  }

  draw(area, draw) {
    this.change.draw(area, draw);
    this.view.draw(area);
  }

  end() {
    this.change = null;
    this.changed();
  }

  drop() {
    this.change?.undo();
    this.change = null;
    this.view.draw();
  }

  likeness(x, y) {
    return this.tiles.likeness(x, y, this.task.kind === "mask" ? undefined : this.ground);
  }

  boxed(box) {
    this.task.box?.set([box.x, box.y, box.width, box.height].map(Math.round).join(","));
    this.framed();
  }

  framed() {
    this.view.box = boxOf(this.task.box?.get());
    this.view.outlined([]);
  }

  cancel() {
    this.pressed = false;
    if (this.tool.isBusy) this.tool.cancel();
  }

  fillAll() {
    this.whole(() => this.tiles.fill(this.colour, this.settings.opacity));
  }

  clear() {
    this.whole(() => this.tiles.fill(null));
  }

  invert() {
    if (this.task.kind === "mask") this.whole(() => this.tiles.invert(this.colour));
  }

  step(by) {
    this.whole(() => this.history.step(by), false);
  }

  whole(act, keep = true) {
    if (this.isLoading || !this.tiles) return;
    this.cancel();
    if (act() === false) return;
    this.view.draw();
    this.changed(keep);
  }

  changed(keep = true) {
    if (keep) this.history.keep();
    this.dirty = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), STORE_MS);
    this.bar.render();
  }

  // --- options -----------------------------------------------------------------------------------------------------

  offers(name) {
    return !TOOLS[name].boxes || Boolean(this.task.box);
  }

  take(name) {
    if (name !== this.toolName) this.cancel();
    this.toolName = name;
    this.root.dataset.tool = name;
    this.view.hovered(this.view.hand, this.reach, this.view.cross);
    this.bar.render();
    this.say(TOOLS[name].title);
  }

  set(settings) {
    Object.assign(this.settings, settings);
    this.workbench.remember("painter", JSON.stringify(this.settings));
    this.view.hovered(this.view.hand, this.reach, this.view.cross);
    this.bar.render();
  }

  resize(pixels) {
    this.set({ size: Math.min(1, Math.max(1, pixels) / this.longest) });
  }

  resizeBrush(steps) {
    const now = this.size;
    this.resize(steps > 0 ? Math.max(now + 1, now * STEP ** steps) : Math.min(now - 1, now * STEP ** steps));
  }

  /** The slider of the size is finer for small brushes. */
  sizeAt(share) {
    return (this.longest / 2) ** share;
  }

  shareOf(size) {
    return Math.log(size) / Math.log(this.longest / 2);
  }

  toggleScale() {
    if (this.view.fitted) this.view.zoom(1 / devicePixelRatio);
    else this.view.fitAll();
  }

  toggleFullScreen() {
    if (document.fullscreenElement) return document.exitFullscreen();
    return this.root.requestFullscreen().catch(() => {});
  }

  hover(point) {
    this.cross = null;
    this.view.hovered(point, this.reach, false);
  }

  holdSpace(held) {
    this.holdsSpace = held && this.isOpen;
    this.view.root.toggleAttribute("data-space", Boolean(this.holdsSpace));
  }

  say(words) {
    this.spoken.textContent = words;
  }

  warn(sentence) {
    this.alarm.textContent = sentence;
    this.alarm.hidden = !sentence;
  }

  // --- to the studio -----------------------------------------------------------------------------------------------

  /** Stores what was painted since it was last stored; done when nothing is left. */
  async flush() {
    clearTimeout(this.timer);
    if (this.dirty) {
      this.dirty = false;
      const { task } = this;
      const saving = Promise.resolve(this.saving).then(() => this.save(task));
      this.saving = saving;
      saving.then(() => this.saving === saving && (this.saving = null));
    }
    await this.saving;
  }

  async save(task) {
    try {
      const value = await this.picture(task).then((picture) => (picture ? store(picture) : ""));
      if (task.field !== this.task.field) return;
      this.value = value;
      task.set(value);
      this.warn("");
    } catch (error) {
      this.dirty = true;
      this.warn(error.message);
      if (!this.isOpen) this.workbench.emit("notice", { sentence: error.message });
    }
  }

  /** What was painted, as a file; null for a mask with nothing in it. */
  async picture({ kind }) {
    const { tiles } = this;
    if (kind === "colour") return tiles.over(this.ground).convertToBlob({ type: "image/png" });
    const bytes = tiles.coverage();
    return bytes.some(Boolean) ? greyPng(bytes, tiles.width, tiles.height) : null;
  }

  /** Generate waits until the last stroke has reached the studio. */
  async holdBack(event) {
    const button = event.target.closest?.(".generate");
    if (!button || (!this.dirty && !this.saving)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    await this.flush();
    if (!this.dirty) setTimeout(() => button.click()); // the form takes the new hash first
  }
}

async function loaded(hash) {
  const image = new Image();
  image.src = address(`inputs/${hash}`);
  await image.decode().catch(() => {
    throw new Error("This picture is not here any more; choose it again.");
  });
  return image;
}
