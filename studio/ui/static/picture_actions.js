// What a person does with the picture in view beside playing it: its recipe, comparing, favourites, copying, the trash, its folder.

import { archive } from "./archive.js";
import { copyPicture, copyText } from "./clipboard.js";
import { Compare } from "./compare.js";
import { RecipePanel } from "./recipe_panel.js";
import { places } from "./send_to.js";
import { SidePanel } from "./side_panel.js";
import { Toast } from "./toast.js";

const FITS = { crop: "cover", pad: "contain", stretch: "fill" }; // how a task resizes, as CSS calls it

export class PictureActions {
  /** `run()`: the run in view; `changed()`: draw the canvas anew; `root`: what fills the screen in full screen. */
  constructor(workbench, { root, stage, run, changed }) {
    Object.assign(this, { workbench, root, stage, run, changed });
    this.favourites = new Set(); // of the recent pictures
    this.toast = new Toast();
    this.panel = new SidePanel(workbench.id("side"), () => {
      root.toggleAttribute("data-panel", !this.panel.root.hidden);
      stage.fit();
    });
    this.recipe = new RecipePanel(this.panel, { say: (sentence) => this.toast.say(sentence), changed });
    this.compare = new Compare(workbench, this.panel);
    stage.root.append(this.compare.root, this.compare.banner, this.toast.root);
    workbench.on("compare", (other) => this.compareWith(other));
    workbench.on("comparing", changed);
    workbench.on("results", (images) => {
      this.favourites = new Set(images.filter(({ favourite }) => favourite).map(({ id }) => id));
      changed();
    });
    document.addEventListener("fullscreenchange", changed);
  }

  /** The saved picture in view that has not been deleted; none where all of a run are. */
  get image() {
    const run = this.run();
    return (!run?.grid && run?.savedAt(run.image)) || null;
  }

  get isFavourite() {
    return this.favourites.has(this.image?.id);
  }

  async tried(act) {
    try {
      await act();
    } catch (error) {
      this.toast.say(error.message);
    }
    this.changed();
  }

  favour() {
    const { id } = this.image;
    const favourite = !this.isFavourite;
    return this.tried(async () => {
      await archive.favour(id, favourite);
      this.favourites[favourite ? "add" : "delete"](id);
      this.workbench.emit("kept", { id });
    });
  }

  delete() {
    const { id } = this.image;
    const run = this.run();
    return this.tried(async () => {
      await archive.delete(id);
      run.lose(id);
      this.workbench.emit("kept", { id });
      this.toast.say("Moved to the trash.", { text: "Undo", act: () => this.restore(run, id) });
    });
  }

  restore(run, id) {
    return this.tried(async () => {
      await archive.restore(id);
      run.find(id);
      this.workbench.emit("kept", { id });
    });
  }

  copy() {
    const picture = this.stage.picture;
    return this.tried(async () => {
      await copyPicture(picture);
      this.toast.say("Picture copied.");
    });
  }

  /** Opens the folder for a visitor at the studio's own machine; others get the path. */
  open() {
    const { id } = this.image;
    return this.tried(async () => {
      const { path, opens } = await archive.recipe(id);
      if (opens) return archive.reveal(id);
      await copyText(path);
      return this.toast.say(`Path copied: ${path}`);
    });
  }

  toggleRecipe() {
    this.recipe.toggle(this.image?.id ?? null);
    this.changed();
  }

  /** A result is compared with what it was made from, if anything; else with a picture that is asked for. */
  toggleCompare() {
    if (this.compare.isOpen || this.workbench.comparing) this.compare.close();
    else if (this.source) this.compare.openSource(this.image, this.source);
    else this.compare.ask();
  }

  /** The picture that the one in view was made from, for `Compare`; null if there is none. */
  get source() {
    const task = this.run()?.feed.request?.task ?? {};
    if (!this.image || !task.image) return null;
    const sides = ["top", "right", "bottom", "left"].map((side) => task[`extend_${side}`] ?? 0);
    return { hash: task.image, fit: FITS[task.resize] ?? "cover", sides };
  }

  compareWith(other) {
    const { image } = this;
    if (!image) return this.toast.say("Show a finished picture first.");
    if (image.id === other.id) return this.toast.say("Choose another picture than the one that is shown.");
    this.compare.open(image, other);
    return this.changed();
  }

  places() {
    return places(this.workbench, this.image.id, (sentence) => this.toast.say(sentence));
  }

  toggleFullScreen() {
    if (document.fullscreenElement) return document.exitFullscreen();
    return this.root.requestFullscreen().catch(() => {});
  }

  /** The innermost thing that is open; false if there is none. */
  close() {
    if (this.compare.isOpen || this.workbench.comparing) this.compare.close();
    else if (this.recipe.isOpen) this.panel.close();
    else return false;
    this.changed();
    return true;
  }
}
