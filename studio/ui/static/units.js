// How sizes, shares and the parts of models are written and coloured in the Models tab.

export function size(bytes) {
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
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

/** Which of the few inks a component is drawn with: what denoises, what reads, what decodes, and the rest. */
export function role(name) {
  if (/unet|transformer|prior/.test(name)) return "denoiser";
  if (/text_encoder|image_encoder|encoder/.test(name)) return "encoder";
  if (/vae|movq|vqvae|decoder/.test(name)) return "decoder";
  return "other";
}

export function seconds(value) {
  if (value >= 10) return `${value.toFixed(0)} s`;
  return value >= 0.1 ? `${value.toFixed(1)} s` : `${Math.round(value * 1000)} ms`;
}
