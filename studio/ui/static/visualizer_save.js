// Takes a run along: its film as GIF, WebP or video, its numbers as CSV, all its steps as one picture, its trace as safetensors.

import { icon } from "./icons.js";
import { menuButton } from "./menu.js";
import { video, videoType } from "./visualizer_film.js";
import { address, make } from "./workbench.js";

const SIDE = 128; // pixels of a step on the contact sheet
const COLUMNS = 10;
const NUMBERS = ["x_t", "x0", "cond", "uncond", "difference"];

/** `run()`: the one in view; `say(sentence)`: what a person is to know. */
export function saveMenu(run, say) {
  const button = make("button", { type: "button", class: "tool", "aria-label": "Save", title: "Save the film, numbers, contact sheet or trace" }, icon("download"));
  return menuButton(button, () => {
    const { job, image, saved } = run();
    const name = saved?.id ?? `${job}-${image}`;
    const films = run().hasFrames && !run().isBare ? filmItems(run(), name, say) : [];
    const items = [
      ...films,
      { text: "Numbers as CSV", act: () => save(`${name}.csv`, new Blob([csv(run())], { type: "text/csv" })) },
      { text: "Contact sheet as PNG", act: () => sheet(run()).toBlob((blob) => save(`${name}-steps.png`, blob)) },
    ];
    if (saved && run().ended) items.push({ text: "Trace as safetensors", act: () => follow(address(`traces/${saved.id}`), `${name}.safetensors`) });
    return items;
  });
}

function filmItems(run, name, say) {
  const { job, image } = run;
  const pictures = [...run.steps.keys()].map((step) => run.picture(step, "x0")).filter(Boolean);
  const items = ["GIF", "WebP"].map((kind) => ({ text: `Film as ${kind}`, act: () => follow(address(`frames/${job}/${image}.${kind.toLowerCase()}?kind=x0`), `${name}.${kind.toLowerCase()}`) }));
  const type = videoType();
  if (type && pictures.length) items.push({ text: `Film as ${type[1] === "mp4" ? "MP4" : "WebM"}`, act: () => recordFilm(pictures, type, name, say) });
  return items;
}

async function recordFilm(pictures, type, name, say) {
  say("The film is being recorded, in as long as it lasts. Keep this page in view.");
  try {
    save(`${name}.${type[1]}`, await video(pictures, type));
    say("");
  } catch {
    say("This browser could not record the film. GIF and WebP are made by the studio.");
  }
}

/** One row a step; what a step has no number for is left empty. */
export function csv({ steps, levels, image }) {
  const head = ["step", "t", "sigma", "log_snr", "alpha_bar", "seconds", ...NUMBERS.map((name) => `rms_${name}`)];
  const plain = (value) => (Number.isFinite(value) ? String(value) : "");
  const rows = levels.map((level, index) => {
    const step = steps[index];
    const norms = step?.norms[step.images.indexOf(image)] ?? {};
    return [index + 1, ...[level.t, level.sigma, level.logSnr, level.alphaBar, step?.seconds, ...NUMBERS.map((name) => norms[name])].map(plain)];
  });
  return [head, ...rows].map((row) => `${row.join(",")}\n`).join("");
}

/** Every step: x_t above, the predicted picture below. */
function sheet(run) {
  const count = run.levels.length;
  const columns = Math.min(COLUMNS, count);
  const canvas = make("canvas", { width: columns * SIDE, height: Math.ceil(count / columns) * 2 * SIDE });
  const pen = canvas.getContext("2d");
  for (let step = 0; step < count; step += 1) {
    ["xt", "x0"].forEach((kind, row) => {
      const picture = run.picture(step, kind);
      const [x, y] = [(step % columns) * SIDE, (2 * Math.floor(step / columns) + row) * SIDE];
      if (!picture) return;
      const scale = SIDE / Math.max(picture.naturalWidth, picture.naturalHeight);
      const [width, height] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
      pen.drawImage(picture, x + (SIDE - width) / 2, y + (SIDE - height) / 2, width, height);
    });
  }
  return canvas;
}

function save(name, blob) {
  const url = URL.createObjectURL(blob);
  follow(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function follow(url, name) {
  make("a", { href: url, download: name }).click();
}
