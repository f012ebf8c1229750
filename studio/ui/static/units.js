// How sizes, shares and the parts of models are written and coloured.

export function size(bytes) {
  if (!bytes) return "0 MiB";
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  if (bytes < 2 ** 20) return `${Math.ceil(bytes / 2 ** 10)} KiB`;
  return `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB`;
}

export function percent(fraction) {
  return `${Math.floor(100 * Math.min(Math.max(fraction, 0), 1))}%`;
}

const WORDS = { unet: "U-Net", vae: "VAE", text_encoder: "Text encoder", movq: "MoVQ", vqvae: "VQ-VAE" };

/** A component as people call it: "text_encoder_2" is "Text encoder 2". */
export function component(name) {
  const [, stem, number] = /^(.*?)(_\d+)?$/.exec(name);
  const word = WORDS[stem] ?? stem.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());
  return number ? `${word} ${number.slice(1)}` : word;
}

/** A device as people call it. */
export function deviceTitle(device) {
  const [kind, number] = device.split(":");
  const names = { cpu: "the CPU", cuda: "the GPU", mps: "the GPU", "": "this device" };
  return `${names[kind] ?? kind}${number > 0 ? ` (${number})` : ""}`;
}

/** What the worker says it is doing, the components in people's words: "reading text_encoder_2" is "reading text encoder 2". */
export function doing(what) {
  return what.replace(/\b[a-z]+(_[a-z0-9]+)*\b/g, (word) => {
    const stem = word.replace(/_\d+$/, "");
    return WORDS[stem] && stem !== "text_encoder" ? component(word) : word.replaceAll("_", " ");
  });
}

const KINDS = { diffusers: "Diffusers folder", lora: "LoRA", vae: "VAE", gguf: "GGUF", controlnet: "ControlNet", "t2i adapter": "T2I-Adapter", "ip adapter": "IP-Adapter", embedding: "Textual inversion" };

export function kindTitle(kind) {
  return KINDS[kind] ?? kind.charAt(0).toUpperCase() + kind.slice(1);
}

/** Which of the few inks a component is drawn with: what denoises, what reads, what decodes, and the rest. */
export function role(name) {
  if (/unet|transformer|prior/.test(name)) return "denoiser";
  if (/text_encoder|image_encoder|encoder/.test(name)) return "encoder";
  if (/vae|movq|vqvae|decoder/.test(name)) return "decoder";
  return "other";
}

/** An estimate: "a few seconds", "about 20 s", "about 3 min". */
export function roughly(value) {
  if (value < 8) return "a few seconds";
  if (value < 90) return `about ${5 * Math.round(value / 5)} s`;
  return `about ${Math.round(value / 60)} min`;
}

export function seconds(value) {
  if (value >= 10) return `${value.toFixed(0)} s`;
  return value >= 0.1 ? `${value.toFixed(1)} s` : `${Math.round(value * 1000)} ms`;
}
