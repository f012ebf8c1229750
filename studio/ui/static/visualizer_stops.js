// The stops of the tour: a view, a question, and the answer read off the run's own trace. Pure arithmetic.

import { AttentionMaps } from "./visualizer_attention_maps.js";
import { figure } from "./words.js";

const ASKED = 8;
const PARTS = ["In the first third", "In the middle", "In the last third"];

/** { view, question, options(trace) -> texts, answer(trace) -> { right: index, says } or null where the trace does not show it (`missing` says why) }. */
export const STOPS = [
  {
    view: "reverse",
    question: "The predicted picture begins as a blur. When is it half-way to the finished one?",
    options: () => PARTS,
    answer: (trace) => {
      const left = distances(trace, "x0");
      const step = left?.findIndex((value) => value <= left[0] / 2);
      return left && third(step, trace, `At step ${step + 1} of ${trace.steps} half of the way is done: the distance to the finished picture has fallen from ${figure(left[0])} to ${figure(left[step])}.`);
    },
  },
  {
    view: "reverse",
    question: "In which part of the run does the predicted picture change most in a single step?",
    options: () => PARTS,
    answer: (trace) => peak(trace, "change_x0", (step, value) => `From step ${step} to step ${step + 1}, by ${figure(value)}.`),
  },
  {
    view: "forward",
    question: "When does the state hold more picture than noise for the first time?",
    options: () => PARTS,
    answer: (trace) => {
      const shares = signals(trace);
      const step = shares.findIndex((share) => share > 0.5);
      if (step < 0) return null;
      return third(step, trace, `At step ${step + 1} of ${trace.steps}: there ${Math.round(100 * shares[step])} % of it is picture.`);
    },
  },
  {
    view: "guidance",
    question: "When do the predictions with and without the prompt point furthest apart?",
    options: () => PARTS,
    answer: (trace) => peak(trace, "angle_uncond", (step, value) => `At step ${step + 1} of ${trace.steps}: ${figure(value)}° lie between them.`),
  },
  {
    view: "guidance",
    question: "Does guidance make the prediction larger?",
    options: () => ["Larger, by more than 1 %", "Hardly: within 1 %", "Smaller, by more than 1 %"],
    answer: (trace) => {
      const [cond, guided] = ["norm_cond", "norm_guided"].map((name) => trace.column(name));
      const ratios = (guided ?? []).map((value, step) => value / cond[step]).filter(Number.isFinite);
      if (!ratios.length || trace.info.recipe.request.guidance_scale === 1) return null;
      const ratio = mean(ratios);
      return { right: ratio > 1.01 ? 0 : ratio < 0.99 ? 2 : 1, says: `On average it is ${ratio.toFixed(3)} times as large as the one with the prompt.` };
    },
  },
  {
    view: "attention",
    question: "Which word of the prompt gets the largest share of the picture’s attention over the whole run?",
    missing: "The attention of this run is not recorded yet: press “Record attention” below, and answer then.",
    options: (trace) => attended(trace).map(({ word }) => word),
    answer: (trace) => {
      if (!trace.info.attention) return null;
      const words = attended(trace);
      if (words.length < 2) return null;
      const right = highest(words.map(({ share }) => share));
      return { right, says: `“${words[right].word}” has ${(100 * words[right].share).toFixed(1)} % of it, the mean over all steps, layers and heads; the marks around the prompt take most of the rest.` };
    },
  },
  {
    view: "latents",
    question: "Which of the channels varies most over the finished picture?",
    options: (trace) => [...Array(Math.min(4, trace.channels)).keys()].map((channel) => `Channel ${channel + 1}`),
    answer: (trace) => {
      const values = trace.at("x0", trace.steps - 1);
      if (!values || trace.channels > 4) return null;
      const size = values.length / trace.channels;
      const spread = [...Array(trace.channels).keys()].map((channel) => deviation(values.subarray(channel * size, (channel + 1) * size)));
      const right = spread.indexOf(Math.max(...spread));
      return { right, says: `Channel ${right + 1}, with a standard deviation of ${figure(spread[right])}.` };
    },
  },
  {
    view: "branches",
    question: "You branch half-way through the run. How much of the finished picture is still open there?",
    options: () => ["Less than a tenth", "A tenth to a half", "More than a half"],
    answer: (trace) => {
      const left = distances(trace, "x0");
      if (!left?.[0]) return null;
      const share = left[Math.floor(trace.steps / 2)] / left[0];
      return { right: share < 0.1 ? 0 : share <= 0.5 ? 1 : 2, says: `${Math.round(100 * share)} % of the first prediction’s distance to the finished picture.` };
    },
  },
  {
    view: "prompts",
    question: "Two prompts from this noise: when is what the prompt asks for, the difference that it makes, largest against the prediction itself?",
    options: () => PARTS,
    answer: (trace) => {
      const [difference, cond] = ["norm_difference", "norm_cond"].map((name) => trace.column(name));
      const shares = (difference ?? []).map((value, step) => value / cond[step]);
      if (!shares.some(Number.isFinite)) return null;
      const step = highest(shares);
      return third(step, trace, `At step ${step + 1} of ${trace.steps}: it is ${Math.round(100 * shares[step])} % of the prediction. There another prompt changes most.`);
    },
  },
  {
    view: "breaks",
    question: "With too few steps the sampler takes longer strides. In which part of this run is its longest one, on the scale of log-SNR?",
    options: () => PARTS,
    answer: (trace) => {
      const snr = signals(trace).map((share) => Math.log(share / (1 - share)));
      const strides = snr.slice(1).map((value, step) => value - snr[step]);
      if (!strides.some(Number.isFinite)) return null;
      const step = highest(strides);
      return third(step, trace, `From step ${step + 1} to step ${step + 2}, by ${figure(strides[step])}. A solver goes wrong where its strides are long.`);
    },
  },
];

/** The words of the prompt, at most ASKED of them, with their mean share of the attention; words of two letters are left out. */
function attended(trace) {
  const maps = new AttentionMaps(trace);
  const rows = maps.overall(null, null).filter(Boolean);
  const words = maps.words.map((word, at) => ({ word, share: mean(rows.map((row) => row[at])), mark: maps.marks.has(at) }));
  return words.filter(({ word, mark }) => !mark && word.length > 2).slice(0, ASKED);
}

/** The step of the largest value, as the third of the run that it lies in. */
function peak(trace, name, says) {
  const values = trace.column(name);
  if (!values?.some(Number.isFinite)) return null;
  const step = highest(values);
  return third(step, trace, says(step, values[step]));
}

function third(step, { steps }, says) {
  return { right: Math.min(2, Math.floor((3 * step) / steps)), says };
}

function highest(values) {
  return values.reduce((best, value, at) => (Number.isFinite(value) && !(values[best] >= value) ? at : best), 0);
}

/** Root mean square from each step's tensor to the last step's; null where the trace has none. */
function distances(trace, name) {
  const end = trace.at(name, trace.steps - 1);
  if (!end) return null;
  const scale = name === "x_t" ? trace.column("scale").map((value) => (Number.isFinite(value) ? value : 1)) : Array(trace.steps).fill(1);
  return scale.map((factor, step) => {
    const values = trace.at(name, step);
    return Math.sqrt(mean(values.map((value, at) => (factor * value - scale.at(-1) * end[at]) ** 2)));
  });
}

/** The share of each state's variance that is picture. */
function signals(trace) {
  const [alphaBar, sigma] = ["alpha_bar", "sigma"].map((name) => trace.column(name));
  if (trace.info.prediction !== "flow_prediction") return alphaBar;
  return sigma.map((noise) => (1 - noise) ** 2 / ((1 - noise) ** 2 + noise ** 2));
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function deviation(values) {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}
