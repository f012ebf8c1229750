// The numbers at one step of a run that its formulas are filled with. Pure arithmetic on levels and events; each is checked in
// tests/e2e/test_visualizer.py.

import { cleanLevel } from "./visualizer_levels.js";

/** { now, next, ... } at a step: its level, the level it goes to, and what the samplers' formulas need of both. */
export function numbersAt(run, step) {
  const { levels, request, facts } = run;
  const now = levels[step];
  if (!now) return null;
  const next = levels[step + 1] ?? cleanLevel(now.flow);
  const before = levels[step - 1] ?? null;
  const norms = run.steps[step]?.norms.at(run.steps[step].images.indexOf(run.image)) ?? {};
  return { step, now, next, before, norms, w: request?.guidance_scale ?? null, sampler: request?.sampler ?? "", facts, ...solver(now, next, before) };
}

/** k-diffusion's split of a step into a step down and fresh noise (Karras et al. 2022, with eta 1), and DDPM's posterior. */
function solver(now, next, before) {
  const up = Math.min(next.sigma, Math.sqrt(Math.max(0, (next.sigma ** 2 * (now.sigma ** 2 - next.sigma ** 2)) / now.sigma ** 2)));
  const down = Math.sqrt(Math.max(0, next.sigma ** 2 - up ** 2));
  const h = halfLogSnr(next) - halfLogSnr(now);
  const r = before ? (halfLogSnr(now) - halfLogSnr(before)) / h : null;
  const first = !before || next.noise === 0 || !Number.isFinite(h) || !Number.isFinite(r);
  const numbers = { up, down, h, ahead: first ? 0 : 1 / (2 * r), keep: next.noise / now.noise, take: -next.alpha * Math.expm1(-h) };
  return now.flow ? numbers : { ...numbers, ...posterior(now.alphaBar, next.alphaBar) };
}

function halfLogSnr({ logSnr }) {
  return logSnr / 2;
}

/** Coefficients of the predicted x_0 and of x_t in the mean, and the standard deviation (Ho et al. 2020, equations 6 and 7). */
export function posterior(alphaBar, alphaBarNext) {
  const beta = 1 - alphaBar / alphaBarNext;
  return {
    ofX0: (Math.sqrt(alphaBarNext) * beta) / (1 - alphaBar),
    ofXt: (Math.sqrt(1 - beta) * (1 - alphaBarNext)) / (1 - alphaBar),
    deviation: Math.sqrt((beta * (1 - alphaBarNext)) / (1 - alphaBar)),
  };
}
