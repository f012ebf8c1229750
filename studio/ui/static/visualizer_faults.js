// Ways to spoil a run: each starts a real one with the fault, and then names the symptom with a figure measured on both pictures.
// What is measured is plain arithmetic on pixels (0 to 255) and traces.

import { figure } from "./words.js";

const HIGH = 3; // times its CFG, and at least STRONG
const STRONG = 20;
const FEW = 2;

/**
 * { name, title, says, able(run), branch(run) or request(run), measure(own, spoiled) -> sentence }. `own` and `spoiled` are
 * { pixels: RGBA, trace, request } of the run in view and of the one with the fault.
 */
export const FAULTS = [
  {
    name: "guidance",
    title: "Too high a CFG",
    says: (run) => `The same run at CFG ${strong(run)} instead of ${run.request.guidance_scale}.`,
    able: (run) => run.request.guidance_scale > 1,
    branch: (run) => ({ step: 0, guidance_scale: strong(run) }),
    measure: (own, spoiled) => {
      const grown = (trace) => last(trace, "norm_x0");
      return `Burnt out: ${percent(clipped(spoiled.pixels))} of all channels are at their limit, where it was ${percent(clipped(own.pixels))}. The predicted picture ends ${figure(grown(spoiled.trace) / grown(own.trace))} times as large.`;
    },
  },
  {
    name: "unguided",
    title: "No guidance",
    says: () => "The same run at CFG 1: the prompt is read, but not amplified.",
    able: (run) => run.request.guidance_scale > 1,
    branch: () => ({ step: 0, guidance_scale: 1 }),
    measure: (own, spoiled) => `Nothing turns the predictions towards the prompt, which guidance did by ${figure(mean(own.trace, "angle_guided"))}° on average. The pictures differ by ${figure(distance(own.pixels, spoiled.pixels))} of 255; saturation is ${percent(saturation(spoiled.pixels))}, and was ${percent(saturation(own.pixels))}.`,
  },
  {
    name: "steps",
    title: "Too few steps for the solver",
    says: (run) => `The same sampler, noise and prompt in ${FEW} steps instead of ${run.levels.length}.`,
    able: (run) => run.levels.length > 2 * FEW && run.request.task.kind === "text_to_image",
    request: () => ({ steps: FEW }),
    measure: (own, spoiled) => `Not converged: the picture is ${figure(distance(own.pixels, spoiled.pixels))} of 255 away from the one of ${own.trace.steps} steps, and has ${percent(edges(spoiled.pixels) / edges(own.pixels))} of its contrast between neighbours. Each step had to span ${(own.trace.steps / spoiled.trace.steps).toFixed(1)} times as much.`,
  },
  {
    name: "cancelled",
    title: "The negative prompt is the prompt",
    says: () => "What is asked for is also what is to be avoided.",
    able: (run) => run.request.guidance_scale > 1 && run.request.prompt !== "",
    branch: (run) => ({ step: 0, negative_prompt: run.request.prompt }),
    measure: (own, spoiled) => `Guidance has nothing to push along: the difference of both predictions has a size of ${figure(most(spoiled.trace, "norm_difference"))} at most, where it had ${figure(most(own.trace, "norm_difference"))}. CFG has no effect at all.`,
  },
  {
    name: "late",
    title: "A prompt that comes too late",
    says: (run) => `The prompt becomes “a photo of the sea” at step ${late(run) + 1} of ${run.levels.length}.`,
    able: (run) => run.levels.length > 3 && run.request.prompt !== "",
    branch: (run) => ({ step: late(run), prompt: "a photo of the sea" }),
    measure: (own, spoiled) => `Too late for another picture: by then ${percent(signal(own.trace, late({ levels: { length: own.trace.steps } })))} of the state’s variance was picture already, and the new prompt changed only what was still open, by ${figure(distance(own.pixels, spoiled.pixels))} of 255.`,
  },
];

function strong({ request }) {
  return Math.min(50, Math.max(STRONG, HIGH * request.guidance_scale));
}

function late({ levels }) {
  return Math.floor(0.9 * levels.length);
}

/** The share of channels that are at 0 or 255. */
export function clipped(pixels) {
  return ofChannels(pixels, (value) => (value === 0 || value === 255 ? 1 : 0));
}

/** (max - min) / max of each pixel's channels, averaged. */
export function saturation(pixels) {
  let sum = 0;
  for (let at = 0; at < pixels.data.length; at += 4) {
    const rgb = pixels.data.subarray(at, at + 3);
    const high = Math.max(...rgb);
    sum += high ? (high - Math.min(...rgb)) / high : 0;
  }
  return (4 * sum) / pixels.data.length;
}

/** The mean difference of neighbours along a row, of 255. */
export function edges({ data, width }) {
  let [sum, count] = [0, 0];
  for (let at = 0; at < data.length - 4; at += 4) {
    if ((at / 4 + 1) % width === 0) continue;
    for (let channel = at; channel < at + 3; channel += 1) sum += Math.abs(data[channel + 4] - data[channel]);
    count += 3;
  }
  return sum / count;
}

/** Root mean square, of 255. */
export function distance(one, two) {
  return Math.sqrt(ofChannels(one, (value, at) => (value - two.data[at]) ** 2));
}

function ofChannels({ data }, measure) {
  let sum = 0;
  for (let at = 0; at < data.length; at += 1) if (at % 4 < 3) sum += measure(data[at], at);
  return sum / (0.75 * data.length);
}

function most(trace, name) {
  return Math.max(...(trace.column(name) ?? [NaN]).filter(Number.isFinite));
}

function mean(trace, name) {
  const known = (trace.column(name) ?? []).filter(Number.isFinite);
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

function last(trace, name) {
  return (trace.column(name) ?? [NaN]).at(-1);
}

/** The share of a state's variance that is picture. */
function signal(trace, step) {
  const [alphaBar, sigma] = ["alpha_bar", "sigma"].map((name) => trace.column(name)[step]);
  return Number.isFinite(alphaBar) ? alphaBar : 1 - sigma;
}

function percent(share) {
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}
