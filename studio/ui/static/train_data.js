// A look at a recipe's data before the run: how much there is, the first pictures as they are trained on, and what was left out.

import { ask } from "./ask.js";
import { make } from "./workbench.js";

export class DataLook {
  /** `request()` gives the recipe and its changes; `complain(sentence, field)` shows what is wrong with them. */
  constructor({ request, complain }) {
    Object.assign(this, { request, complain });
    this.button = make("button", { type: "button", class: "browser-button", text: "Look at the pictures", onclick: () => this.look() });
    this.found = make("div", { class: "train-data", hidden: true, role: "region", "aria-label": "Pictures of this recipe", "aria-live": "polite" });
    this.root = make("section", { class: "train-look" }, this.button, this.found);
  }

  async look() {
    this.complain("");
    this.button.disabled = true;
    this.button.textContent = "Reading the pictures…";
    try {
      this.show(await ask("recipes/look", this.request()));
    } catch (error) {
      this.found.hidden = true;
      this.complain(error.message, error.field);
    }
    this.button.disabled = false;
    this.button.textContent = "Look at the pictures";
  }

  show(data) {
    const tiles = data.first.map(({ name, caption, picture, width, height }) =>
      make("figure", { title: [name, caption].filter(Boolean).join(": ") },
        make("img", { src: picture, alt: name || caption, width, height, loading: "lazy" }),
        make("figcaption", { text: caption || "no caption" })));
    const bad = make("details", { class: "train-fold", open: data.bad_count < 6 },
      make("summary", { text: `${count(data.bad_count, "file was", "files were")} left out` }),
      make("ul", {}, ...data.bad.map(([name, why]) => make("li", {}, make("b", { text: name }), ` ${why}`))));
    this.found.replaceChildren(make("p", { class: "train-words", text: words(data) }), make("div", { class: "train-grid" }, ...tiles), ...(data.bad_count ? [bad] : []));
    this.found.hidden = false;
  }
}

/** A button beside the field of a folder that uploads a zip and puts its place into the field. */
export function uploader(input, complain) {
  const file = make("input", { type: "file", accept: ".zip,application/zip", hidden: true, "aria-label": "Zip of pictures" });
  const button = make("button", { type: "button", class: "browser-button", text: "Upload a zip", onclick: () => file.click() });
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    complain("");
    button.disabled = true;
    button.textContent = "Uploading…";
    try {
      const { folder } = await ask(`pictures?name=${encodeURIComponent(chosen.name.slice(-100))}`, chosen);
      input.value = folder;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    } catch (error) {
      complain(error.message, error.field);
    }
    file.value = "";
    button.disabled = false;
    button.textContent = "Upload a zip";
  });
  return make("span", { class: "train-upload" }, button, file);
}

function count(number, one, several) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : several}`;
}

function words(data) {
  if (data.pictures === null) return "Pictures are drawn without end; these are the first.";
  const lacking = data.pictures - data.captioned;
  return [
    count(data.pictures, "picture", "pictures"),
    lacking ? `${lacking.toLocaleString("en")} without a caption` : "all with captions",
    data.small ? `${data.small.toLocaleString("en")} smaller than they are trained on` : "",
    data.buckets.map(([width, height, number]) => `${number.toLocaleString("en")} at ${width} × ${height}`).join(", "),
  ].filter(Boolean).join(" · ");
}
