// What is done with pictures of the gallery, one or many: favourites, the trash, copies, zips, their folder, other tabs.

import { archive } from "./archive.js";
import { copyPicture, copyText } from "./clipboard.js";
import { question } from "./question.js";
import { places } from "./send_to.js";
import { tabs } from "./tabs.js";
import { address, eachWorkbench, make } from "./workbench.js";

const WITH_SETTINGS = ["image_to_image", "inpaint"]; // tabs that start from a picture, and take its settings too
let workbench = null; // the page's first one, which pictures are sent to
eachWorkbench((drawn) => (workbench ??= drawn));

export class Actions {
  /** `say(sentence, undo)` shows a sentence. */
  constructor(source, selection, say) {
    Object.assign(this, { source, selection, say });
  }

  async tried(act) {
    try {
      return await act();
    } catch (error) {
      this.say(error.message);
      return null;
    }
  }

  /** Marks them all, or takes the mark off where all have it. */
  favour(images, ids = images.map(({ id }) => id)) {
    const favourite = ids.length > images.length || images.some((image) => !image.favourite);
    return this.tried(async () => {
      await many(favourite ? "favour" : "unfavour", ids);
      this.source.mark(ids, favourite);
      this.refreshRecent();
      if (this.source.query.favourites && !favourite) this.source.open();
    });
  }

  trash(ids) {
    return this.move("trash", ids, "moved to the trash", { text: "Undo", act: () => this.restore(ids) });
  }

  restore(ids) {
    return this.move("restore", ids, "restored");
  }

  async purge(ids) {
    const what = ids.length === 1 ? "this picture" : `${ids.length.toLocaleString()} pictures`;
    if (await question(`Delete ${what} for good? This cannot be undone.`, "Delete for good")) await this.move("purge", ids, "deleted for good");
  }

  async emptyTrash() {
    const ids = await this.tried(() => this.source.ids());
    if (ids?.length) await this.purge(ids);
  }

  /** Out of the list in view, if it was listed there. */
  move(act, ids, words, undo = null) {
    return this.tried(async () => {
      const { done, problem } = await many(act, ids);
      for (const id of ids) this.selection.ids.delete(id);
      const listed = this.source.query.trash === (act !== "trash");
      if (done === ids.length && listed) this.source.remove(ids);
      await this.source.open(); // the counts, too
      this.refreshRecent();
      this.say(problem || `${done === 1 ? "Picture" : `${done.toLocaleString()} pictures`} ${words}.`, done ? undo : null);
    });
  }

  copy(image) {
    return this.tried(async () => {
      const picture = new Image();
      picture.src = address(`images/${image.id}`);
      await picture.decode();
      await copyPicture(picture);
      this.say("Picture copied.");
    });
  }

  /** One picture as its file, several as a zip. */
  download(ids) {
    if (ids.length === 1) return void make("a", { href: address(`images/${ids[0]}?download=true`), download: "" }).click();
    const form = make("form", { method: "post", action: address("gallery/zip"), hidden: true }, make("input", { name: "images", value: ids.join(",") }));
    document.body.append(form);
    form.submit();
    return void form.remove();
  }

  folder({ id }) {
    return this.tried(async () => {
      const { path, opens } = await archive.recipe(id);
      if (opens) return archive.reveal(id);
      await copyText(path);
      return this.say(`Path copied: ${path}`);
    });
  }

  /** { text, act } for each place that a picture can be sent to; `leave()` is called first. */
  places(image, leave = () => {}) {
    if (!workbench) return [];
    const open = (to) => {
      leave();
      restore(image, to);
    };
    const own = tabs.list.some(({ name }) => name === image.task) ? [{ text: "Use its settings", act: () => open("") }] : [];
    const sent = places(workbench, image.id, (sentence) => workbench.emit("notice", { sentence })).map(({ text, act, tab }) => ({ text, act: WITH_SETTINGS.includes(tab) ? () => open(tab) : () => (leave(), act()) }));
    return [...own, ...sent];
  }

  /** Recent lists the same pictures. */
  refreshRecent() {
    workbench?.emit("kept", {});
  }
}

/** The picture's settings into the form, and with `to` itself as the one that this tab starts from; then that tab. */
function restore({ id, task }, to) {
  const tab = tabs.list.find(({ name }) => name === (to || task));
  // Opening the tab asks for what its model offers, so the model must be set before.
  workbench.addEventListener("notice-shown", () => (location.hash = tab.address), { once: true });
  workbench.emit("restore", { id, to });
}

async function many(act, ids) {
  const content = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ images: ids }) };
  const answer = await fetch(address(`gallery/${act}`), content).catch(() => null);
  if (!answer) throw new Error("The studio could not be reached.");
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? "The studio did not answer.");
  return said;
}
