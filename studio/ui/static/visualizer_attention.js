// Where each word of the prompt looks: its map over the picture at the cursor's step, and at any place the words that act there.

import { make } from "./workbench.js";
import { figure } from "./words.js";
import { AttentionMaps, excess, mapOf, wordsAt } from "./visualizer_attention_maps.js";
import { Record } from "./visualizer_attention_record.js";
import { Card, frac, live, math, parts, row, slot, sqrt, sub } from "./visualizer_math.js";
import { drawMap, heat } from "./visualizer_pixels.js";
import { Plot } from "./visualizer_plot.js";
import { forget, largest, Traced } from "./visualizer_traced.js";

const ENOUGH = 1e-5; // how near to 1 the shares at a place must sum
const PLAYED = "This step was played back from the picture that the branch left, so there is no attention of it.";
const SAME = "Recorded; the picture came out bit-identical.";

export class Attention {
  name = "attention";
  title = "Attention";
  unit = "step";

  constructor({ cursor, open }) {
    Object.assign(this, { cursor, word: 0, place: { x: 0.5, y: 0.5 }, maps: null });
    this.record = new Record({ open, keep: open, recorded: (id) => this.recorded(id) });
    this.layer = make("select", { "aria-label": "Layer", onchange: () => this.chooseLayer() });
    this.head = make("select", { "aria-label": "Head", onchange: () => this.measure() });
    this.ofHead = make("label", { class: "vis-choice" }, "Head ", this.head);
    this.words = make("div", { class: "vis-words", role: "group", "aria-label": "Words of the prompt" });
    this.picture = make("canvas", { class: "vis-under", "aria-hidden": "true" });
    this.map = make("canvas", { class: "vis-over", role: "img", "data-testid": "vis-attention" });
    this.mark = make("i", { class: "vis-place" });
    this.stage = make("div", { class: "vis-stage", tabindex: 0, role: "group", "aria-label": "The picture: press a place to see its words" }, this.picture, this.map, this.mark);
    this.caption = make("figcaption", {});
    this.ranked = make("ol", { class: "vis-ranked", "aria-label": "Words at this place" });
    this.sum = make("p", { class: "vis-note", "data-testid": "vis-sum" });
    this.share = new Plot("Share of the whole picture’s attention", ["share"], { seek: (x) => cursor.go(x - 1) });
    const beside = make("section", { class: "vis-beside" }, make("h3", { text: "Words at the marked place" }), this.ranked, this.sum, this.share.root);
    this.drawn = make("div", { class: "vis-view" },
      make("div", { class: "vis-controls" }, make("label", { class: "vis-choice" }, "Layer ", this.layer), this.ofHead), this.words,
      make("div", { class: "vis-attention" }, make("figure", { class: "vis-picture" }, this.stage, this.caption), beside));
    this.state = make("p", { class: "vis-notice", role: "status" });
    this.root = make("div", { class: "vis-view" }, this.state, this.drawn, this.record.root);
    this.traced = new Traced(this.root, this.drawn, (trace) => this.ready(trace), () => this.lacks());
    this.wire();
  }

  wire() {
    const press = ({ clientX, clientY }) => {
      const { left, top, width, height } = this.stage.getBoundingClientRect();
      this.put((clientX - left) / width, (clientY - top) / height);
    };
    this.stage.addEventListener("pointerdown", press);
    this.stage.addEventListener("pointermove", (event) => event.buttons && press(event));
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    this.stage.addEventListener("keydown", (event) => {
      const move = moves[event.key];
      if (!move || !this.found || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.put(this.place.x + move[0] / this.found.width, this.place.y + move[1] / this.found.height);
    });
  }

  show(run) {
    if (this.run?.saved?.id !== run.saved?.id) this.state.textContent = "";
    this.run = run;
    this.traced.follow(run);
    if (this.traced.trace || !run.saved) this.record.show(run, this.has);
    else this.record.root.hidden = true;
  }

  /** How much of the attention is recorded. */
  get has() {
    if (!this.maps) return "nothing";
    return this.maps.layers.some(({ heads }) => heads > 1) ? "heads" : "means";
  }

  lacks() {
    this.maps = null;
    if (this.here) this.here.root.hidden = true;
    this.record.root.hidden = true;
  }

  ready(trace) {
    this.maps = trace.info.attention ? new AttentionMaps(trace) : null;
    this.drawn.hidden = !this.maps;
    if (this.here) this.here.root.hidden = !this.maps;
    this.record.show(this.run, this.has);
    if (!this.maps) return;
    const { words, marks, layers } = this.maps;
    const first = words.findIndex((word, at) => !marks.has(at) && word.length > 2);
    if (!(this.word < words.length) || this.of !== words.join(" ")) this.word = Math.max(0, first);
    this.of = words.join(" ");
    const titles = layers.map(({ name, width, height }) => `${nameOf(name)}, ${width} × ${height}`);
    this.layer.replaceChildren(make("option", { value: "", text: "mean of all" }), ...titles.map((text, value) => make("option", { value, text })));
    this.chips = words.map((word, at) => this.chip(word, at));
    this.words.replaceChildren(...this.chips.map(({ root }) => root));
    this.chooseLayer();
  }

  chip(word, at) {
    const canvas = make("canvas", { class: "vis-map", "aria-hidden": "true" });
    const root = make("button", { type: "button", class: "vis-word", "data-mark": this.maps.marks.has(at) ? "" : null, "aria-pressed": "false", onclick: () => this.choose(at) }, canvas, make("span", { text: word }));
    return { root, canvas };
  }

  recorded(id) {
    forget(id);
    this.traced.of = null;
    this.state.textContent = SAME;
    this.show(this.run);
  }

  chooseLayer() {
    const heads = this.layer.value === "" ? 1 : this.maps.layers[Number(this.layer.value)].heads;
    this.ofHead.hidden = heads < 2;
    this.head.replaceChildren(make("option", { value: "", text: "mean of all" }), ...[...Array(heads).keys()].map((at) => make("option", { value: at, text: String(at + 1) })));
    this.measure();
  }

  /** What of the maps is chosen: [layer, head], null for the mean. */
  get chosen() {
    return [this.layer.value, this.head.value].map((value) => (value === "" ? null : Number(value)));
  }

  measure() {
    this.overall = this.maps.overall(...this.chosen);
    this.plot();
    this.cursor.changed();
  }

  plot() {
    this.share.draw([this.overall.map((_, step) => step + 1), this.overall.map((shares) => shares?.[this.word] ?? null)], true);
  }

  choose(word) {
    this.word = word;
    this.plot();
    this.cursor.changed();
  }

  put(x, y) {
    const inside = (value) => Math.max(0, Math.min(0.999999, value));
    this.place = { x: inside(x), y: inside(y) };
    this.cursor.changed();
  }

  draw() {
    const { maps, cursor } = this;
    if (!maps || !this.traced.trace || !this.root.isConnected) return;
    const step = Math.min(cursor.step, maps.steps - 1);
    const found = (this.found = maps.at(step, ...this.chosen));
    this.drawPicture(step);
    for (const element of [this.map, this.mark, this.ranked]) element.hidden = !found;
    this.share.at(step + 1);
    if (!found) return void ((this.sum.textContent = PLAYED), (this.caption.textContent = ""));
    maps.words.forEach((_, at) => this.drawWord(found, at));
    const most = this.paint(this.map, found, this.word);
    this.map.setAttribute("aria-label", `Attention to ${maps.words[this.word]}`);
    this.caption.replaceChildren(make("b", { text: maps.words[this.word] }), make("span", { class: "vis-note", text: `light is much, at most ${percent(most)}` }));
    this.drawPlace(found);
  }

  drawPicture(step) {
    const picture = this.run.picture(step, "x0");
    this.picture.hidden = !picture;
    const [width, height] = picture ? [picture.naturalWidth, picture.naturalHeight] : [this.maps.width, this.maps.height];
    this.stage.style.aspectRatio = `${width} / ${height}`;
    this.stage.classList.toggle("is-bare", !picture);
    if (!picture) return;
    if (this.picture.width !== width || this.picture.height !== height) Object.assign(this.picture, { width, height });
    this.picture.getContext("2d").drawImage(picture, 0, 0);
  }

  drawWord(found, at) {
    const { root, canvas } = this.chips[at];
    this.paint(canvas, found, at);
    root.setAttribute("aria-pressed", String(at === this.word));
  }

  paint(canvas, found, word) {
    const values = mapOf(found, word);
    const most = largest(values);
    drawMap(canvas, values.map((value) => value / Math.max(most, 1e-9)), found.width, found.height, heat);
    return most;
  }

  drawPlace(found) {
    const { width, height } = found;
    const [column, line] = [Math.floor(this.place.x * width), Math.floor(this.place.y * height)];
    Object.assign(this.mark.style, { left: `${(100 * column) / width}%`, top: `${(100 * line) / height}%`, width: `${100 / width}%`, height: `${100 / height}%` });
    const { words } = this.maps;
    const shares = wordsAt(found, words.length, line * width + column);
    const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a]);
    this.ranked.replaceChildren(...order.map((at) => this.line(words[at], at, shares[at])));
    const off = excess(found, words.length);
    this.sums = { share: shares[this.word], total: shares.reduce((sum, share) => sum + share, 0) };
    this.sum.textContent = off < ENOUGH
      ? `At each of the ${width * height} places the shares of all ${words.length} add up to 1; the largest error of this step is ${off.toExponential(1)}.`
      : `The shares of a place add up to 1 ± ${figure(off)}: this trace is damaged.`;
  }

  line(word, at, share) {
    const name = make("button", { type: "button", text: word, "data-mark": this.maps.marks.has(at) ? "" : null, "aria-pressed": String(at === this.word), onclick: () => this.choose(at) });
    return make("li", { style: `--share: ${100 * share}%` }, name, make("span", { text: percent(share) }));
  }

  cards(run) {
    const joint = ["flow_prediction"].includes(run?.facts.prediction);
    const says = ["In each layer every place of the picture asks with a query q, and every word answers with a key k. The softmax turns their products into shares that add up to 1: so much of each word flows into that place."];
    if (joint) says.push("Where prompt and picture attend together, the share that a place gives to the picture itself is one of the row.");
    this.here = new Card({
      title: "At the marked place",
      says: [["“", live("word"), "” has a share of ", live("share"), ", and all shares add up to ", live("total"), "."]],
      formulas: [math("∑", sub("A", "i j"), "=", slot("total"))],
    });
    this.here.root.hidden = !this.maps;
    return [
      new Card({
        title: "Where a word acts",
        says,
        formulas: [math(sub("A", "i j"), "=", "softmax", parts(frac(row(sub("q", "i"), sub("k", "j")), sqrt("d"))))],
        paper: joint ? "Esser et al. 2024, Scaling Rectified Flow Transformers, section 4" : "Rombach et al. 2022, section 3.3; Tang et al. 2023, What the DAAM",
      }),
      this.here,
      new Card({
        title: "Start, end and padding",
        says: ["The model reads these tokens too. A place that needs no word rests on them, so in many layers they have the largest shares; a word’s own share is often small, and its shape says more than its size."],
      }),
    ];
  }

  values() {
    const { maps, sums, found } = this;
    if (!maps || !found || !sums) return {};
    return { word: maps.words[this.word], share: percent(sums.share), total: sums.total.toFixed(6) };
  }
}

function percent(share) {
  return share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

/** "down_blocks.0.attentions.1.transformer_blocks.0.attn2" as people count: "down 1, attention 2, block 1". */
function nameOf(name) {
  const words = { down_blocks: "down", up_blocks: "up", mid_block: "middle", attentions: "attention", transformer_blocks: "block", single_transformer_blocks: "single block" };
  const made = name.replace(/\.attn2?$/, "").split(".").map((part) => (/^\d+$/.test(part) ? ` ${Number(part) + 1}` : `, ${words[part] ?? part}`));
  return made.join("").slice(2);
}
