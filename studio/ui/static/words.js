// How figures are written under the canvas.

import { doing } from "./units.js";

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return `${minutes} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
}

export function figure(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1000 ? value.toFixed(0) : size >= 100 ? value.toFixed(1) : size >= 0.01 ? value.toFixed(3) : value.toExponential(1);
}

function timestep(value) {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}

/** The readout as [name, value, help] triples; the first has no name. */
export function readout(feed, step, looking, phase) {
  if (!feed || phase === "idle") return [];
  if (phase === "queued") return [["", feed.ahead ? `Queued, ${feed.ahead} ahead` : "Queued", ""]];
  const words = [];
  if (step) {
    words.push(["", `Step ${step.index + 1} of ${step.total}`, ""]);
    words.push(["σ", figure(step.sigma), "Sigma: the noise level that this step started from"]);
    words.push(["t", timestep(step.timestep), "The timestep that the model was given"]);
    words.push(["", `${(step.seconds * 1000).toFixed(0)} ms`, "This step’s own time"]);
  }
  if (phase === "running") {
    if (feed.loading) words.push(["", loading(feed.loading), ""]);
    if (feed.elapsed !== null) words.push(["", duration(feed.elapsed), "Time since the run began"]);
    if (feed.latest?.remaining != null) words.push(["", `${duration(feed.latest.remaining)} left`, "An estimate from the steps so far"]);
  } else if (looking && step) {
    words.push(["", `${duration(step.elapsed)} into the run`, ""]);
  } else if (feed.seconds !== null) {
    words.push(["", `${duration(feed.seconds)} in all`, ""]);
  }
  return words;
}

export function loading(event) {
  if (event.message) return event.message; // waiting
  if (event.fraction === 1) return "Starting";
  const part = event.what ? `: ${doing(event.what)}` : "";
  const share = event.fraction === null || event.fraction === undefined ? "" : ` ${Math.round(event.fraction * 100)}%`;
  return `Loading the model${part}${share}`;
}
