// The picture that the forward view noises: the run's own, one from a file, or, where there is none, one that is drawn here.

import { address, make } from "./workbench.js";

export const SIDE = 128;

export class Source {
  /** `changed()`: another picture is here. `say(sentence)`: a file could not be read. */
  constructor({ changed, say }) {
    Object.assign(this, { changed, say, own: false, key: null });
    this.canvas = make("canvas", { width: SIDE, height: SIDE });
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.file = make("input", { type: "file", accept: "image/*", class: "only-read", "aria-label": "Your picture", onchange: () => this.read(this.file.files[0]) });
    this.root = make("label", { class: "browser-button vis-file" }, this.file, "Your picture…");
    this.root.addEventListener("dragover", (event) => event.preventDefault());
    this.root.addEventListener("drop", (event) => (event.preventDefault(), event.stopPropagation(), this.read(event.dataTransfer.files[0])));
    this.scene();
  }

  async read(file) {
    if (!file) return;
    try {
      this.put(await createImageBitmap(file));
      this.own = true;
      this.say("");
    } catch {
      this.say(`${file.name} is not a picture that this browser can read.`);
    }
  }

  /** The run's picture, unless a person brought one of their own. */
  async follow(run) {
    const id = run?.saved?.id;
    if (!id || this.own || this.key === id) return;
    this.key = id;
    const picture = new Image();
    picture.src = address(`thumbnails/${id}`);
    await picture.decode().then(() => this.key === id && !this.own && this.put(picture), () => {});
  }

  /** The middle of the picture, filling the square. */
  put(picture) {
    const [width, height] = [picture.naturalWidth ?? picture.width, picture.naturalHeight ?? picture.height];
    const scale = SIDE / Math.min(width, height);
    this.pen.drawImage(picture, (SIDE - width * scale) / 2, (SIDE - height * scale) / 2, width * scale, height * scale);
    this.changed();
  }

  /** A sun over hills. */
  scene() {
    const { pen } = this;
    const sky = pen.createLinearGradient(0, 0, 0, SIDE);
    sky.addColorStop(0, "#3a6ea8");
    sky.addColorStop(1, "#f0c8a0");
    const fill = (colour, draw) => {
      pen.fillStyle = colour;
      pen.beginPath();
      draw();
      pen.fill();
    };
    fill(sky, () => pen.rect(0, 0, SIDE, SIDE));
    fill("#f7e08a", () => pen.arc(88, 40, 17, 0, 7));
    fill("#4f7a52", () => pen.ellipse(34, 128, 70, 52, 0, 0, 7));
    fill("#2f5640", () => pen.ellipse(108, 134, 66, 40, 0, 0, 7));
    fill("#8a3b2e", () => pen.rect(30, 66, 20, 16));
    fill("#5a2018", () => (pen.moveTo(26, 67), pen.lineTo(40, 54), pen.lineTo(54, 67)));
  }

  /** Values from -1 to 1, red, green and blue of each pixel one after another. */
  values() {
    const { data } = this.pen.getImageData(0, 0, SIDE, SIDE);
    const values = new Float32Array(3 * SIDE * SIDE);
    for (let pixel = 0; pixel < SIDE * SIDE; pixel += 1) {
      for (let channel = 0; channel < 3; channel += 1) values[3 * pixel + channel] = data[4 * pixel + channel] / 127.5 - 1;
    }
    return values;
  }
}
