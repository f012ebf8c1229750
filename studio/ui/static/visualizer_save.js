// Takes a run along: its numbers as CSV, all its steps as one picture, its trace as safetensors.

import { icon } from "./icons.js";
import { menuButton } from "./menu.js";
import { address, make } from "./workbench.js";

const SIDE = 128; // pixels of a step on the contact sheet
const COLUMNS = 10;
const NUMBERS = ["x_t", "x0", "cond", "uncond", "difference"];

/** `run()`: the one in view. */
export function saveMenu(run) {
  const button = make("button", { type: "button", class: "tool", "aria-label": "Save", title: "Save numbers, contact sheet or trace" }, icon("download"));
  return menuButton(button, () => {
    const { job, image, saved } = run();
    const name = saved?.id ?? `${job}-${image}`;
    const items = [
      { text: "Numbers as CSV", act: () => save(`${name}.csv`, new Blob([csv(run())], { type: "text/csv" })) },
      { text: "Contact sheet as PNG", act: () => sheet(run()).toBlob((blob) => save(`${name}-steps.png`, blob)) },
    ];
    if (saved && run().ended) items.push({ text: "Trace as safetensors", act: () => follow(address(`traces/${saved.id}`), `${name}.safetensors`) });
    return items;
  });
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
