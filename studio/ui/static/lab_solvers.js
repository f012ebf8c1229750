// Solvers of the probability flow ODE for points in the plane, on the times of diffusers' schedulers.
// A predictor has predict(points, scales) -> { x0, eps }; a solver gives the points at every time. No page in here.

/** n + 1 places { t, alpha, sigma } from noise to data, as DPMSolverMultistepScheduler (trailing) and FlowMatchEulerDiscreteScheduler space them. */
export function places(schedule, n) {
  const times = Array.from({ length: n }, (_, k) => (schedule.straight ? (n === 1 ? 1000 : 1000 - (999 * k) / (n - 1)) : Math.round(1000 - (1000 * k) / n) - 1));
  return [...times.map((t) => schedule.at(t)), { t: 0, alpha: 1, sigma: 0 }];
}

/** From `here` to `there`: exact where the prediction does not change on the way; DDIM (Song et al. 2021), Euler in sigma / alpha. */
function euler({ x0, eps }, there) {
  return x0.map((value, k) => there.alpha * value + there.sigma * eps[k]);
}

/** The deviation of the fresh noise of a step of DDPM (Ho et al. 2020, equation 7), for any alpha and sigma. */
export function deviation(here, there) {
  const variance = here.sigma ** 2 - ((here.alpha / there.alpha) * there.sigma) ** 2;
  return (there.sigma / here.sigma) * Math.sqrt(Math.max(0, variance));
}

/** From a prediction to `there` with fresh noise of that deviation; without `noise` drawn only its mean (deviation 0: DDIM). */
export function ancestral({ x0, eps }, there, deviation, noise = null) {
  const kept = Math.sqrt(Math.max(0, there.sigma ** 2 - deviation ** 2));
  return x0.map((value, k) => there.alpha * value + kept * eps[k] + (noise ? deviation * noise[k] : 0));
}

/** The ODE's own clock and slope: dx = (eps - x0) d sigma on the straight path, else d(x / alpha) = eps d(sigma / alpha). */
function along(straight, x, slopes, here, there) {
  const mean = slopes.length === 1 ? (name, k) => slopes[0][name][k] : (name, k) => (slopes[0][name][k] + slopes[1][name][k]) / 2;
  if (straight) return x.map((value, k) => value + (there.sigma - here.sigma) * (mean("eps", k) - mean("x0", k)));
  const clock = there.sigma / there.alpha - here.sigma / here.alpha;
  return x.map((value, k) => there.alpha * (value / here.alpha + clock * mean("eps", k)));
}

export const SOLVERS = {
  euler: { title: "Euler", evaluations: (n) => n, path: eulerPath },
  heun: { title: "Heun", evaluations: (n) => 2 * n - 1, path: heunPath },
  dpmpp_2m: { title: "DPM++ 2M", evaluations: (n) => n, path: multistepPath },
};

function eulerPath(predictor, schedule, x, n) {
  const at = places(schedule, n);
  const path = [x];
  for (let k = 0; k < n; k += 1) path.push((x = euler(predictor.predict(x, at[k]), at[k + 1])));
  return path;
}

/** Heun's method (Karras et al. 2022, algorithm 1): the mean of both ends' slopes, but for the last step. */
function heunPath(predictor, schedule, x, n) {
  const at = places(schedule, n);
  const path = [x];
  for (let k = 0; k < n; k += 1) {
    const first = predictor.predict(x, at[k]);
    const guess = euler(first, at[k + 1]);
    x = k === n - 1 ? guess : along(schedule.straight, x, [first, predictor.predict(guess, at[k + 1])], at[k], at[k + 1]);
    path.push(x);
  }
  return path;
}

/** DPM-Solver++ (Lu et al. 2022, algorithm 2), of first order in the first and the last step. */
function multistepPath(predictor, schedule, x, n) {
  const at = places(schedule, n);
  const half = ({ alpha, sigma }) => Math.log(alpha / sigma); // half the log-SNR
  const path = [x];
  let before = null; // the former x0, and the step in half log-SNR that led here
  for (let k = 0; k < n; k += 1) {
    const [here, there] = [at[k], at[k + 1]];
    const { x0 } = predictor.predict(x, here);
    const step = half(there) - half(here);
    const ahead = before && k < n - 1 ? step / before.step / 2 : 0;
    const aim = ahead ? x0.map((value, i) => value + ahead * (value - before.x0[i])) : x0;
    const shrink = there.sigma / here.sigma;
    x = x.map((value, i) => shrink * value - there.alpha * (Math.exp(-step) - 1) * aim[i]);
    before = { x0, step };
    path.push(x);
  }
  return path;
}

/** The mean distance between two sets of points. */
export function distance(a, b) {
  let sum = 0;
  for (let k = 0; k < a.length; k += 2) sum += Math.hypot(a[k] - b[k], a[k + 1] - b[k + 1]);
  return (2 * sum) / a.length;
}
