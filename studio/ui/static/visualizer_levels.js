// The noise level of a step: how much of x_t is picture and how much is noise, from what the run's events say. Pure arithmetic.

/**
 * { t, sigma, alpha, noise, alphaBar, logSnr, time, flow } of a step's event. alpha and noise are those of
 * x_t = alpha x_0 + noise eps, with alpha² + noise² = 1 (Ho et al. 2020), or alpha + noise = 1 on the straight path of flow
 * matching. `sigma` is noise over signal (Karras et al. 2022), or the flow's own.
 */
export function levelOf({ timestep: t, sigma }, prediction) {
  if (prediction === "flow_prediction") {
    const noise = sigma ?? 1;
    return { t, sigma: noise, alpha: 1 - noise, noise, alphaBar: null, logSnr: 2 * Math.log((1 - noise) / noise), time: noise, flow: true };
  }
  const ratio = sigma ?? Infinity; // an event says nothing of a level without signal
  const alphaBar = 1 / (1 + ratio * ratio);
  const noise = Math.sqrt(1 - alphaBar);
  const discrete = prediction !== "consistency" && t >= 0 && t <= 1000;
  const time = discrete ? t / 1000 : Number.isFinite(ratio) ? ratio / (1 + ratio) : 1;
  return { t, sigma: ratio, alpha: Math.sqrt(alphaBar), noise, alphaBar, logSnr: -2 * Math.log(ratio), time, flow: false };
}

/** The clean end that the last step goes to. */
export function cleanLevel(flow) {
  return { t: 0, sigma: 0, alpha: 1, noise: 0, alphaBar: flow ? null : 1, logSnr: Infinity, time: 0, flow };
}
