// Reads the many frames that come in one answer: for each its step and its length, four bytes each, then the JPEG.

import { address } from "./workbench.js";

const HEAD = 8;

/** Calls `take(step, jpeg)`, with its bytes, for each frame as it comes, until all have come. Rejects where the studio does not answer. */
export async function readFilm(job, image, kind, signal, take) {
  const answer = await fetch(address(`frames/${encodeURIComponent(job)}/${image}.film?kind=${kind}`), { signal });
  if (!answer.ok) throw new Error(`no film: ${answer.status}`);
  const reader = answer.body.getReader();
  let left = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    left = unpack(joined(left, value), take);
  }
}

/** Takes every whole frame out of the bytes; what is left is the beginning of the next one. */
function unpack(bytes, take) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + HEAD <= bytes.length) {
    const end = at + HEAD + view.getUint32(at + 4);
    if (end > bytes.length) break;
    take(view.getUint32(at), bytes.subarray(at + HEAD, end));
    at = end;
  }
  return bytes.subarray(at);
}

function joined(first, second) {
  if (!first.length) return second;
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
