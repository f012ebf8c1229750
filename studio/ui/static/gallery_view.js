// One picture of the gallery in large, with its recipe and descent, and the ones before and after; or two, compared.

import { copiesPictures } from "./clipboard.js";
import { Compare } from "./compare.js";
import { descent } from "./gallery_descent.js";
import { icon } from "./icons.js";
import { menuButton } from "./menu.js";
import { isTyping } from "./play_keys.js";
import { RecipePanel } from "./recipe_panel.js";
import { SidePanel } from "./side_panel.js";
import { Toast } from "./toast.js";
import { address, make } from "./workbench.js";
import { Zoom } from "./zoom.js";

const NARROW = matchMedia("(max-width: 819px)");
const LARGEST_SCALE = 6;
const SWIPE = 60; // pixels

export class View {
  /** `moved(index)`: another place of the list is shown. */
  constructor(source, actions, { moved }) {
    Object.assign(this, { source, actions, moved, index: -1, image: null });
    this.holder = make("div", { class: "picture" });
    this.lost = make("p", { class: "view-lost", text: "This picture is no longer in its folder.", hidden: true });
    this.before = make("button", { type: "button", class: "view-step is-before", "aria-label": "The picture before", title: "The picture before (←)", onclick: () => this.walk(-1) }, icon("up"));
    this.after = make("button", { type: "button", class: "view-step is-after", "aria-label": "The picture after", title: "The picture after (→)", onclick: () => this.walk(1) }, icon("up"));
    this.toast = new Toast();
    this.ground = make("div", { class: "stage view-ground" }, this.holder, this.lost, this.before, this.after, this.toast.root);
    this.place = make("p", { class: "view-place", role: "status" });
    this.panel = new SidePanel("gallery-side", () => this.fit());
    this.recipe = new RecipePanel(this.panel, { say: (sentence) => this.toast.say(sentence), changed: () => this.render() });
    this.compare = new Compare({ emit: () => this.render() }, this.panel);
    this.ground.append(this.compare.root);
    this.dialog = make("dialog", { class: "gallery-view", tabindex: -1, "aria-label": "Picture" }, this.head(), make("div", { class: "view-body" }, this.ground, this.panel.root));
    this.zoom = new Zoom(this.ground, this.holder, () => {});
    new ResizeObserver(() => this.fit()).observe(this.ground);
    this.wire();
  }

  head() {
    const { actions } = this;
    const id = () => this.image.id;
    const tools = {
      recipe: tool("recipe", "Recipe (R)", () => (this.recipe.toggle(id()), this.render())),
      favourite: tool("favourite", "Favourite (S)", () => actions.favour([this.image])),
      send: tool("send", "Send to another tab", null),
      copy: tool("copy", "Copy the picture", () => actions.copy(this.image)),
      download: tool("download", "Download the file", () => actions.download([id()])),
      folder: tool("folder", "Open its folder, or copy its path", () => actions.folder(this.image)),
      restore: tool("undo", "Restore from the trash", () => this.leaving(() => actions.restore([id()]))),
      trash: tool("trash", "Delete (Delete)", () => this.leaving(() => actions.trash([id()]))),
      close: tool("remove", "Close (Esc)", () => this.dialog.close()),
    };
    this.tools = tools;
    const { send, close, ...rest } = tools;
    this.sender = menuButton(send, () => actions.places(this.image, () => this.dialog.close()));
    const { recipe, favourite, ...others } = rest;
    return make("header", { class: "view-head" }, this.place, make("div", { class: "view-tools", role: "toolbar", "aria-label": "Picture tools" }, recipe, favourite, this.sender, ...Object.values(others)), close);
  }

  wire() {
    const keys = { ArrowLeft: () => this.walk(-1), ArrowRight: () => this.walk(1), Home: () => this.show(0), End: () => this.show(this.source.total - 1), r: () => this.press("recipe"), s: () => this.press("favourite"), Delete: () => this.press("trash"), 0: () => this.zoom.to(null), 1: () => this.zoom.to(1 / devicePixelRatio), "+": () => this.zoom.by(1), "-": () => this.zoom.by(-1) };
    // On the page, since the focus may have been in what is no longer drawn.
    document.addEventListener("keydown", (event) => {
      if (!this.isOpen || document.querySelector("dialog.question[open]") || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target) || !keys[event.key] || this.compare.isOpen) return;
      event.preventDefault();
      keys[event.key]();
    });
    this.dialog.addEventListener("close", () => {
      if (this.compare.isOpen) this.compare.close();
      this.holder.replaceChildren();
      this.moved(this.index);
    });
    this.ground.addEventListener("pointerdown", ({ clientX, pointerType }) => (this.from = pointerType === "touch" && this.zoom.scale === null ? clientX : null));
    this.ground.addEventListener("pointerup", ({ clientX }) => {
      if (this.from !== null && Math.abs(clientX - this.from) > SWIPE) this.walk(clientX < this.from ? 1 : -1);
      this.from = null;
    });
  }

  press(name) {
    if (!this.tools[name].hidden) this.tools[name].click();
  }

  get isOpen() {
    return this.dialog.open;
  }

  open(index) {
    this.pair = false;
    if (!this.isOpen) this.dialog.showModal();
    if (!this.recipe.isOpen && !NARROW.matches) this.recipe.toggle(null);
    this.show(index);
    this.dialog.focus();
  }

  compareTwo(first, second) {
    this.pair = false;
    this.index = -1;
    this.image = null;
    this.holder.replaceChildren();
    if (!this.isOpen) this.dialog.showModal();
    this.compare.open(first, second);
    this.pair = true; // what closes the comparison closes all
    this.render();
  }

  walk(by) {
    if (this.index >= 0) this.show(this.index + by);
  }

  /** The picture at this place of the list; one that has not come yet is shown when it has. */
  show(index) {
    if (index < 0 || index >= this.source.total) return;
    this.index = index;
    this.source.need(index - 2, index + 2);
    const image = this.source.at(index);
    if (image) this.put(image);
    else this.image = null; // it is shown once it has come
    this.render();
  }

  /** A relative of the one in view, which the list may leave out. */
  showRelative(image) {
    const index = this.source.find(image.id);
    this.dialog.focus({ preventScroll: true });
    if (index >= 0) return this.show(index);
    this.index = -1;
    this.put({ title: "", task: "", favourite: false, ...image });
    return this.render();
  }

  put(image) {
    const folder = this.source.query.trash ? "trash" : "images";
    if (this.image?.id === image.id && this.holder.firstChild) return void (this.image = image);
    this.image = image;
    const picture = new Image(image.width, image.height);
    picture.src = address(`thumbnails/${image.id}`); // at once, and then the picture itself
    picture.alt = image.prompt || "Picture without a prompt";
    picture.draggable = false;
    const whole = new Image();
    whole.src = address(`${folder}/${image.id}`);
    this.lost.hidden = true;
    whole.decode().then(() => (picture.src = whole.src), () => (this.lost.hidden = this.image?.id !== image.id));
    this.holder.replaceChildren(picture);
    this.size = [image.width, image.height];
    this.zoom.to(null);
    this.fit();
    this.fill();
    for (const near of [this.index - 1, this.index + 1]) if (this.source.at(near)) new Image().src = address(`${folder}/${this.source.at(near).id}`);
  }

  /** The panel: the recipe, and below it the descent. */
  async fill() {
    const { id } = this.image;
    if (!this.recipe.isOpen) return;
    const [rows] = await Promise.all([descent(id, (image) => this.showRelative(image)), this.recipe.show(id)]);
    if (this.image?.id === id && this.recipe.isOpen && this.panel.body.querySelectorAll(".descent").length === 0) this.panel.body.querySelector(".recipe")?.before(...rows);
  }

  fit() {
    if (!this.size || !this.isOpen) return;
    const { clientWidth, clientHeight } = this.ground;
    this.zoom.place(this.size, Math.min(clientWidth / this.size[0], clientHeight / this.size[1], LARGEST_SCALE));
  }

  /** The list has changed, or what is shown of it. */
  render() {
    if (!this.isOpen) return;
    const { tools, source, image } = this;
    if (this.pair) {
      if (!this.compare.isOpen) this.dialog.close();
      for (const each of Object.values(tools)) each.hidden = each !== tools.close;
      this.sender.hidden = this.before.hidden = this.after.hidden = true;
      this.place.textContent = "Two pictures compared";
      return;
    }
    if (image && source.at(this.index)?.id !== image.id) this.index = this.index < 0 ? -1 : source.find(image.id); // the list has changed
    const { index } = this;
    const listed = source.at(index);
    if (listed && listed !== image) this.put(listed);
    const trash = Boolean(source.query.trash);
    for (const each of Object.values(tools)) each.hidden = false;
    tools.favourite.hidden = tools.download.hidden = tools.folder.hidden = tools.trash.hidden = this.sender.hidden = trash;
    tools.copy.hidden = trash || !copiesPictures;
    tools.restore.hidden = !trash;
    tools.favourite.setAttribute("aria-pressed", String(Boolean(this.image?.favourite)));
    tools.recipe.setAttribute("aria-pressed", String(this.recipe.isOpen));
    this.before.hidden = index <= 0;
    this.after.hidden = index < 0 || index >= source.total - 1;
    const place = index >= 0 ? `${(index + 1).toLocaleString()} of ${source.total.toLocaleString()}` : "Not in this list";
    if (this.place.textContent !== place) this.place.textContent = place;
    if (this.recipe.isOpen && this.image && this.recipe.id !== this.image.id) this.fill();
  }

  /** What takes the picture out of the list shows the next one, or closes. */
  async leaving(act) {
    const { index } = this;
    this.toast.hide();
    await act();
    if (!this.source.total) this.dialog.close();
    else this.show(Math.min(Math.max(index, 0), this.source.total - 1));
  }
}

function tool(name, label, act) {
  const words = label.replace(/ \(.*\)$/, "");
  const button = make("button", { type: "button", class: `canvas-tool is-${name}`, "aria-label": words, title: label }, icon(name));
  if (act) button.addEventListener("click", act);
  return button;
}
