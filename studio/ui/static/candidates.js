// Several results of one request, of which a person keeps one, discards some, or goes on from one. What is discarded lies in the
// trash and can be taken back.

import { archive } from "./archive.js";
import { usePicture } from "./picture.js";

const SOURCE = ".field.is-task-image";

export class Candidates {
  /** `actions()`: what a person does with pictures (`PictureActions`). */
  constructor(workbench, actions) {
    Object.assign(this, { workbench, actions });
  }

  /** Whether the task that is set starts from a picture. */
  goesOn() {
    return Boolean(this.place?.closest(".mode-panel")?.hasAttribute("data-shown"));
  }

  get place() {
    return this.workbench.root.querySelector(SOURCE);
  }

  /** The next run starts from this one; a mask stays as it is. */
  goOn(run, image) {
    const { id } = run.savedAt(image);
    this.workbench.emit("reveal", { element: this.place });
    usePicture(this.workbench, id, SOURCE);
    run.choose(image);
    this.actions().toast.say("The next run starts from this picture.");
    this.actions().changed();
  }

  keep(run, image) {
    const { id } = run.savedAt(image);
    run.choose(image);
    return this.throwAway(run, run.kept.filter((other) => other.id !== id));
  }

  async discard(run, image) {
    await this.throwAway(run, [run.savedAt(image)]);
    if (run.grid && run.kept.length === 1 && run.ended) run.choose(run.kept[0].index);
    this.actions().changed();
  }

  throwAway(run, images) {
    const { toast } = this.actions();
    return this.each(images, (id) => archive.delete(id).then(() => run.lose(id)), () => {
      const words = images.length > 1 ? `${images.length} pictures moved to the trash.` : "Moved to the trash.";
      toast.say(words, { text: "Undo", act: () => this.each(images, (id) => archive.restore(id).then(() => run.find(id))) });
    });
  }

  each(images, act, done = () => {}) {
    return this.actions().tried(async () => {
      for (const { id } of images) {
        await act(id);
        this.workbench.emit("kept", { id });
      }
      done();
    });
  }
}
