// Noise schedules as diffusers computes them: alpha and sigma of x_t = alpha x_0 + sigma eps at a thousand times. Pure
// arithmetic; each is compared with diffusers' own values in tests/e2e/test_visualizer.py.

export const TIMES = 1000;
const MOST_BETA = 0.999; // of the cosine schedule

const line = (from, to) => Float64Array.from({ length: TIMES }, (_, at) => from + ((to - from) * at) / (TIMES - 1));
const cosine = (u) => Math.cos(((u + 0.008) / 1.008) * (Math.PI / 2)) ** 2;

const BETAS = {
  linear: () => line(1e-4, 0.02),
  scaled_linear: () => line(Math.sqrt(0.00085), Math.sqrt(0.012)).map((root) => root * root),
  cosine: () => Float64Array.from({ length: TIMES }, (_, at) => Math.min(1 - cosine((at + 1) / TIMES) / cosine(at / TIMES), MOST_BETA)),
  sigmoid: () => line(-6, 6).map((x) => (0.02 - 1e-4) / (1 + Math.exp(-x)) + 1e-4),
};

function ofBetas(betas) {
  let product = 1;
  const alphaBar = betas.map((beta) => (product *= 1 - beta));
  return { beta: betas, alpha: alphaBar.map(Math.sqrt), sigma: alphaBar.map((value) => Math.sqrt(1 - value)) };
}

/** Shifted and scaled so that nothing of the picture is left at the end (Lin et al. 2024, algorithm 1). */
function zeroTerminal() {
  const { alpha } = ofBetas(BETAS.scaled_linear());
  const [first, last] = [alpha[0], alpha[TIMES - 1]];
  const moved = alpha.map((value) => ((value - last) * first) / (first - last));
  const beta = moved.map((value, at) => 1 - (value / (at ? moved[at - 1] : 1)) ** 2);
  return { beta, alpha: moved, sigma: moved.map((value) => Math.sqrt(1 - value * value)) };
}

/** The straight path of flow matching; times 0.001 to 1. */
function flow() {
  const sigma = Float64Array.from({ length: TIMES }, (_, at) => (at + 1) / TIMES);
  return { beta: null, alpha: sigma.map((value) => 1 - value), sigma };
}

/** Karras et al. 2022, equation 5, with rho 7 from 0.002 to 80; shown at the size that the network is shown. */
function edm() {
  const [least, most] = [0.002 ** (1 / 7), 80 ** (1 / 7)];
  const ratio = line(least, most).map((root) => root ** 7);
  const size = ratio.map((value) => 1 / Math.sqrt(1 + value * value));
  return { beta: null, alpha: size, sigma: ratio.map((value, at) => value * size[at]) };
}

const ROWS = [
  ["linear", "Linear", "DDPM, Ho et al. 2020", () => ofBetas(BETAS.linear())],
  ["scaled_linear", "Scaled linear", "Stable Diffusion, Rombach et al. 2022", () => ofBetas(BETAS.scaled_linear())],
  ["cosine", "Cosine", "Nichol and Dhariwal 2021", () => ofBetas(BETAS.cosine())],
  ["flow", "Flow", "Rectified flow, Liu et al. 2023", flow],
  ["zero_snr", "Zero terminal SNR", "Lin et al. 2024", zeroTerminal],
  ["sigmoid", "Sigmoid", "GeoDiff, Xu et al. 2022", () => ofBetas(BETAS.sigmoid())],
  ["edm", "EDM", "Karras et al. 2022", edm],
];

/** { name, title, paper, beta, alpha, sigma, alphaBar, ratio, logSnr }: rows of TIMES numbers; beta is null where there is none. */
export const SCHEDULES = ROWS.map(([name, title, paper, values]) => {
  const { beta, alpha, sigma } = values();
  const alphaBar = alpha.map((value, at) => value ** 2 / (value ** 2 + sigma[at] ** 2));
  const ratio = alpha.map((value, at) => sigma[at] / value);
  return { name, title, paper, beta, alpha, sigma, alphaBar, ratio, logSnr: ratio.map((value) => -2 * Math.log(value)) };
});

/** The place of a time from 0 to 1. */
export function placeOf(time) {
  return Math.max(0, Math.min(TIMES - 1, Math.round(time * TIMES) - 1));
}

/** The place in the schedule whose signal-to-noise ratio is nearest; log-SNR falls from place to place. */
export function placeOfSnr({ logSnr }, wanted) {
  let [low, high] = [0, TIMES - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (logSnr[middle] > wanted) low = middle;
    else high = middle;
  }
  return Math.abs(logSnr[low] - wanted) <= Math.abs(logSnr[high] - wanted) ? low : high;
}
