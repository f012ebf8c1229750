// Ways to spoil a training: each trains small models of points by the Train tab's own code, once right and once with the fault, and names
// the symptom with a figure measured on what they sample. No page in here.

import { Learned, Mixture, normal, Schedule, stream } from "./lab_model.js";
import { SOLVERS } from "./lab_solvers.js";

const POINTS = 600;
const STEPS = 40; // of the sampler
const JITTER = 4; // last weights that are compared
const GAUSSIANS = { "task.density": "eight_gaussians", "task.classes": false };
const V = { "task.objective": "v", "task.schedule": "linear" };
// A line, wide one way and narrow the other: as brightness is by far the widest direction of pictures.
const LINE = Array.from({ length: 60 }, (_, k) => [(k - 29.5) / 15, 0.04 * (k % 3)]);
const SHORT = { "task.density": "drawing", "task.drawing": LINE, ...V };
const ENDS_EARLY = { beta_start: 0.0001, beta_end: 0.0015 };

/**
 * { name, title, says, runs: [changes of the recipe], measure(models) -> { right, wrong, says } }: `models` has, of each run, its weights at
 * every sample, the newest last; right and wrong are points [2 n].
 */
export const TRAINED_FAULTS = [
  {
    name: "target",
    title: "The wrong target",
    says: "A model that has learned to predict v is read as if it predicted the noise: the commonest mistake in a model’s configuration.",
    runs: [{ ...GAUSSIANS, ...V }],
    measure([own]) {
      const file = own.at(-1);
      const [right, wrong] = ["v", "epsilon"].map((objective) => sample({ ...file, settings: { ...file.settings, objective } }));
      const [before, after] = [right, wrong].map((points) => astray(points, file));
      return { file, right, wrong, says: `Nothing but debris: ${percent(after)} of the points are far from every Gaussian, where the same weights read as v leave ${percent(before)} there. The loss fell all the same, so only the samples show it.` };
    },
  },
  {
    name: "ema",
    title: "No EMA",
    says: "The same training at a constant rate twice: the weights that are sampled are averaged over the last hundred steps, or are the last ones as they are.",
    runs: [0.99, 0].map((ema) => ({ ...GAUSSIANS, ema, batch: 128, "optimizer.decay": 0, "optimizer.learning_rate": 0.02 })),
    measure([averaged, raw]) {
      const shares = [averaged, raw].map((files) => files.slice(-JITTER).map((file) => astray(sample(file), file)));
      const [right, wrong] = [averaged, raw].map((files) => sample(files.at(-1)));
      const [steady, noisy] = shares.map((each) => [mean(each), Math.max(...each) - Math.min(...each)]);
      return { file: raw.at(-1), right, wrong, says: `Noisy samples, another quality at every look: ${percent(noisy[0])} of the points are far from every Gaussian over the last ${JITTER} samples, and that share moves by ${percent(noisy[1])}; averaged it is ${percent(steady[0])} and moves by ${percent(steady[1])}.` };
    },
  },
  {
    name: "snr",
    title: "A schedule without zero SNR",
    says: "The schedule ends while much of the data is still in x_T, but sampling starts from noise alone. Trained once so, and once with the schedule rescaled to end at zero SNR.",
    runs: [{ ...ENDS_EARLY, zero_terminal_snr: 1 }, ENDS_EARLY].map((options) => ({ ...SHORT, "task.schedule_options": options })),
    measure([zero, early]) {
      const [right, wrong] = [zero, early].map((files) => sample(files.at(-1)));
      const file = early.at(-1);
      const truth = width(new Mixture(file).draw(4000, stream(5)));
      const left = new Schedule(file.tensors, file.settings.schedule).at(999).alpha;
      return { file, right, wrong, says: `Everything is pulled to the middle: along the line the points spread ${percent(width(wrong) / truth)} as wide as the data, with zero SNR ${percent(width(right) / truth)}. In pictures the widest direction is brightness, so dark and bright ones turn grey. At T the schedule keeps ${left.toFixed(2)} of the data (Lin et al. 2024).` };
    },
  },
];

function sample(file) {
  const x = normal(2 * POINTS, stream(21));
  return SOLVERS.euler.path(new Learned(file), new Schedule(file.tensors, file.settings.schedule), x, STEPS).at(-1);
}

/** The share of points further than four deviations from every component. */
function astray(points, file) {
  const { centres, std } = new Mixture(file);
  let far = 0;
  for (let k = 0; k < points.length; k += 2) {
    let near = false;
    for (let c = 0; c < centres.length && !near; c += 2) near = Math.hypot(points[k] - centres[c], points[k + 1] - centres[c + 1]) < 4 * std;
    far += near ? 0 : 1;
  }
  return (2 * far) / points.length;
}

/** The deviation along the first axis. */
function width(points) {
  const values = Array.from({ length: points.length / 2 }, (_, k) => points[2 * k]);
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function percent(share) {
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}
