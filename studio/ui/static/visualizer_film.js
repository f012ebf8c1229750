// The film of a run as a video, drawn and recorded by the browser: MP4 where it can write that, WebM where it cannot.

import { make } from "./workbench.js";

const STEP_MS = 140; // as it is played on the page
const LAST_MS = 1500; // the finished picture stays for a moment
const LEAST = 256; // pixels of the longer side: small frames are enlarged
const TYPES = [["video/mp4;codecs=avc1.42E01E", "mp4"], ["video/webm;codecs=vp9", "webm"], ["video/webm;codecs=vp8", "webm"]];

/** [MIME type, extension] of what this browser can record; null for none. */
export function videoType() {
  return TYPES.find(([type]) => globalThis.MediaRecorder?.isTypeSupported(type)) ?? null;
}

/** A promise of the film's Blob, made in as long as it lasts. `pictures`: loaded images, one a step. */
export async function video(pictures, [type]) {
  const last = pictures.at(-1);
  const scale = Math.max(1, LEAST / Math.max(last.naturalWidth, last.naturalHeight));
  const even = (side) => 2 * Math.round((side * scale) / 2); // encoders halve the colours
  const canvas = make("canvas", { width: even(last.naturalWidth), height: even(last.naturalHeight) });
  const pen = canvas.getContext("2d");
  const draw = (picture) => pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  draw(pictures[0]);
  const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: type, videoBitsPerSecond: 8e6 });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((resolve, reject) => Object.assign(recorder, { onstop: resolve, onerror: ({ error }) => reject(error) }));
  recorder.start();
  for (const picture of pictures) {
    draw(picture);
    await wait(STEP_MS);
  }
  for (let rest = 0; rest < LAST_MS; rest += STEP_MS) {
    draw(last); // a canvas that nobody draws on gives no frames
    await wait(STEP_MS);
  }
  recorder.stop();
  await ended;
  return new Blob(parts, { type: type.split(";")[0] });
}

function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
