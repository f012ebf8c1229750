// Puts texts and pictures into the clipboard. A page that did not come over HTTPS or from this machine may copy texts only.

export const copiesPictures = Boolean(navigator.clipboard?.write && window.ClipboardItem);

export async function copyText(text) {
  if (navigator.clipboard?.writeText) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "only-read";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("This browser does not let the page copy.");
  return undefined;
}

/** What is drawn in an <img>, as a PNG. */
export function copyPicture(image) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext("2d").drawImage(image, 0, 0);
  const png = new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture could not be copied."))), "image/png");
  });
  return navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
}
