// What plays a run back: the film of its steps, the scrubber, play and pause, and which of the two pictures is shown.

import { address, make } from "./workbench.js";
import { icon } from "./icons.js";

const THUMB = 44; // pixels, with its gap
const FRAME_MS = 90;
const LONGEST_MS = 8000; // a run of many steps is played in strides, so that it is over in this time

export class Player {
  /** `kinds`: what kinds of frames there are, { name, title, symbol, help }; the first is the one that ends as the picture. */
  constructor(workbench, kinds, { seek, kind, picked }) {
    this.seek = seek;
    this.picked = picked;
    this.kind = kinds[0].name;
    this.timer = null;
    this.drawn = new Map();

    this.film = make("div", { class: "film", "aria-hidden": "true" });
    this.film.addEventListener("pointerdown", (event) => this.drag(event));
    this.film.addEventListener("pointermove", (event) => event.buttons && this.drag(event));
    this.range = make("input", { type: "range", id: workbench.id("step"), min: 1, max: 1, value: 1, "aria-label": "Step" });
    this.range.addEventListener("input", () => {
      this.stop();
      this.seek(this.range.value - 1);
    });
    this.playing = make("button", { type: "button", class: "tool play", "aria-label": "Play", onclick: () => this.toggle() }, icon("play"));
    this.kinds = kindSwitch(workbench.id("frame-kind"), kinds, (value) => {
      this.kind = value;
      kind();
    });
    this.save = make("a", { class: "tool", "aria-label": "Download", title: "Download the original" }, icon("download"));
    this.words = make("div", { class: "readout" });
    this.images = make("div", { class: "images", role: "group", "aria-label": "Images of this run" });
    const transport = make("div", { class: "transport" }, this.playing, this.range, this.kinds, this.save);
    this.root = make("div", { class: "player", hidden: true }, this.images, this.film, transport, this.words);
    this.root.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.again?.()).observe(this.film);
  }

  render({ feed, frames, image, steps, step, saved }) {
    const last = steps.length - 1;
    this.last = last;
    this.step = step;
    // Once there was something to play its place is kept, so that the picture has one height from run to run.
    const empty = !feed || (last < 0 && !saved);
    this.root.hidden &&= empty;
    this.root.classList.toggle("is-empty", empty);
    this.range.max = Math.max(1, feed?.total ?? 1, last + 1);
    this.range.value = step + 1;
    this.range.disabled = last < 0;
    this.range.setAttribute("aria-valuetext", `Step ${step + 1} of ${last + 1}`);
    this.range.style.setProperty("--filled", `${(step / Math.max(1, this.range.max - 1)) * 100}%`);
    this.playing.disabled = last < 1;
    this.save.hidden = !saved;
    if (saved) {
      this.save.href = address(`images/${saved.id}?download=true`);
      this.save.download = "";
    }
    this.again = () => feed && this.drawFilm(frames, image, Math.max(feed?.total ?? 0, last + 1), step);
    this.film.classList.toggle("is-empty", !steps.some((each) => each?.frames.length));
    this.again();
    this.drawImages(feed, image);
  }

  /** A thumbnail for each step, or for as many as fit, spread evenly. Drawn from the frames that are here. */
  drawFilm(frames, image, total, step) {
    const count = Math.max(1, Math.min(total, Math.floor(this.film.clientWidth / THUMB)));
    while (this.film.children.length > count) this.film.lastChild.remove();
    while (this.film.children.length < count) this.film.append(make("canvas", { width: 72, height: 72 }));
    [...this.film.children].forEach((thumb, place) => {
      const even = evenly(place, total, count);
      const current = nearest(step, total, count) === place;
      const at = current ? step : Math.min(even, this.last);
      // Where a step's own frame is not here yet, an earlier one stands for it.
      const picture = even <= this.last || current ? frames.near(image, at, this.kind) : undefined;
      thumb.dataset.step = even;
      thumb.classList.toggle("current", current);
      if (thumb.picture === picture) return;
      thumb.picture = picture;
      const pen = thumb.getContext("2d");
      pen.clearRect(0, 0, thumb.width, thumb.height);
      if (picture) cover(pen, picture, thumb.width, thumb.height);
    });
  }

  drawImages(feed, chosen) {
    const count = feed?.request?.count ?? 1;
    this.images.hidden = count < 2;
    if (count < 2) return this.images.replaceChildren();
    const saved = [...Array(count).keys()].map((index) => feed.images.get(index));
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

  drag(event) {
    const thumbs = [...this.film.children];
    const thumb = thumbs.findLast((each) => each.getBoundingClientRect().left <= event.clientX) ?? thumbs[0];
    this.stop();
    this.seek(Number(thumb.dataset.step));
  }

  key(event) {
    if (event.key !== " " || event.target.closest("button, a, [type=radio]")) return;
    event.preventDefault();
    this.toggle();
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

function kindSwitch(name, kinds, changed) {
  const group = make("fieldset", { class: "segments" }, make("legend", { class: "only-read", text: "Show" }));
  for (const { name: value, title, symbol, help } of kinds) {
    const attributes = { type: "radio", name, value, checked: value === kinds[0].name, "aria-label": title };
    const radio = make("input", { ...attributes, onchange: () => changed(value) });
    const before = title.replace(/\S+$/, ""); // what stands before the symbol in "Predicted x0"
    const words = make("span", { "aria-hidden": "true" }, before, make("i", { text: "x" }), make("sub", { text: symbol }));
    group.append(make("label", { title: help }, radio, words));
  }
  return group;
}

function nearest(step, total, count) {
  return total < 2 || count < 2 ? count - 1 : Math.round((step * (count - 1)) / (total - 1));
}

/** The step that the thumbnail at this place stands for. */
function evenly(place, total, count) {
  return count === 1 ? total - 1 : Math.round((place * (total - 1)) / (count - 1));
}

function cover(pen, picture, width, height) {
  const scale = Math.max(width / picture.naturalWidth, height / picture.naturalHeight);
  const [w, h] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
  pen.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
}
