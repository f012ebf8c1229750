// What each step of a run computes, as formulas with its numbers: the state, the predicted picture, guidance, the sampler's step.

import { figure } from "./words.js";
import { bar, Card, frac, hat, live, math, parts, row, slot, sqrt, sub, term } from "./visualizer_math.js";
import { numbersAt } from "./visualizer_numbers.js";

const xt = () => term("x_t", sub("x", "t"));
const next = () => sub("x", "next");
const x0 = () => term("x0", sub(hat("x"), "0"));
const eps = () => hat("ε");
const alphaBar = () => term("sigma", sub(bar("α"), "t"));
const oneLess = (value) => row("1", "−", value);
const sigma = () => term("sigma", sub("σ", "t"));
const of = (name) => slot(name, "sigma");

const STATE = "Ho et al. 2020, Denoising Diffusion Probabilistic Models, equation 4";
const FLOW = "Lipman et al. 2023, Flow Matching; Liu et al. 2023, Rectified Flow";

/** Cards for the reverse view; each follows the cursor by `update`. */
export function reverseCards(run) {
  const flow = run.facts.prediction === "flow_prediction";
  const cards = [stateCard(flow), predictionCard(run.facts.prediction)];
  if ((run.request?.guidance_scale ?? 1) !== 1) cards.push(guidanceCard(flow || run.facts.prediction === "v_prediction"));
  cards.push(samplerCard(run));
  return cards;
}

/** The texts of all numbers at a step. */
export function texts(run, step) {
  const numbers = numbersAt(run, step);
  if (!numbers) return {};
  const { now, next: after, norms } = numbers;
  const plain = { ...numbers, t: now.t, alpha: now.alpha, noise: now.noise, alphaBar: now.alphaBar, sigma: now.sigma, sigmaNext: after.sigma, alphaNext: after.alpha, noiseNext: after.noise, move: after.sigma - now.sigma, once: 1 + numbers.ahead, differs: norms.difference, logSnr: now.logSnr };
  const written = Object.fromEntries(Object.entries(plain).filter(([, value]) => typeof value === "number" || value === null).map(([name, value]) => [name, number(value)]));
  return { ...written, signal: percent(now.alpha ** 2 / (now.alpha ** 2 + now.noise ** 2)), rest: percent(now.noise ** 2 / (now.alpha ** 2 + now.noise ** 2)) };
}

function number(value) {
  if (value === Infinity) return "∞";
  if (value === -Infinity) return "−∞";
  if (Number.isInteger(value)) return String(value).replace("-", "−");
  return figure(value).replace("-", "−");
}

function percent(share) {
  return `${(100 * share).toFixed(share < 0.0995 || share > 0.9005 ? 1 : 0)} %`;
}

function stateCard(flow) {
  const says = [["At this step ", live("signal", "x0"), " of the state’s variance is picture and ", live("rest", "sigma"), " is noise. The sampler never sees the picture itself: it has to be guessed from this state."]];
  if (flow) {
    const symbols = math(xt(), "=", parts("1", "−", sigma()), sub("x", "0"), "+", sigma(), "ε");
    const numbers = math(xt(), "=", of("alpha"), sub("x", "0"), "+", of("noise"), "ε");
    return new Card({ title: "The noisy state", term: "x_t", says, formulas: [symbols, numbers], paper: FLOW });
  }
  const symbols = math(xt(), "=", sqrt(alphaBar()), sub("x", "0"), "+", sqrt(oneLess(alphaBar())), "ε", ", ", alphaBar(), "=", of("alphaBar"));
  const numbers = math(xt(), "=", of("alpha"), sub("x", "0"), "+", of("noise"), "ε");
  return new Card({ title: "The noisy state", term: "x_t", says, formulas: [symbols, numbers], paper: STATE });
}

const PREDICTIONS = {
  epsilon: () => ({
    says: ["This model predicts the noise in the state. Taking it away and scaling up what is left gives the predicted picture; early on the divisor is small, and small errors grow large."],
    formulas: [math(x0(), "=", frac(row(xt(), "−", sqrt(oneLess(alphaBar())), eps()), sqrt(alphaBar()))), math(x0(), "=", frac(row(xt(), "−", of("noise"), eps()), of("alpha")))],
    paper: "Ho et al. 2020, equation 15",
  }),
  v_prediction: () => ({
    says: ["This model predicts a velocity v, a mix of noise and picture that has the same size at every noise level, so that no step divides by a small number."],
    formulas: [math("v", "=", sqrt(alphaBar()), "ε", "−", sqrt(oneLess(alphaBar())), sub("x", "0")), math(x0(), "=", sqrt(alphaBar()), xt(), "−", sqrt(oneLess(alphaBar())), hat("v")), math(x0(), "=", of("alpha"), xt(), "−", of("noise"), hat("v"))],
    paper: "Salimans and Ho 2022, Progressive Distillation, appendix D",
  }),
  flow_prediction: () => ({
    says: ["This model predicts the velocity of the straight path from picture to noise. Following it back for the whole of σ gives the predicted picture."],
    formulas: [math("v", "=", "ε", "−", sub("x", "0")), math(x0(), "=", xt(), "−", sigma(), hat("v")), math(x0(), "=", xt(), "−", of("sigma"), hat("v"))],
    paper: FLOW,
  }),
  sample: () => ({ says: ["This model predicts the picture itself."], formulas: [math(x0(), "=", sub("f", "θ"), parts(xt(), ",", "t"))], paper: "" }),
  consistency: () => ({
    says: ["A consistency model jumps from any state to the picture: a share of the state itself, and the network’s output for the rest."],
    formulas: [math(x0(), "=", sub("c", "skip"), parts(sigma()), xt(), "+", sub("c", "out"), parts(sigma()), sub("F", "θ"), parts(xt(), ",", sigma()))],
    paper: "Song et al. 2023, Consistency Models, equation 5",
  }),
};

function predictionCard(prediction) {
  const made = PREDICTIONS[prediction]?.() ?? { says: ["The model of this run is no longer here, so what it predicted is not known."] };
  return new Card({ title: "The predicted picture", term: "x0", ...made });
}

function guidanceCard(velocity) {
  const p = () => (velocity ? hat("v") : eps());
  const guided = math(term("w", p()), "=", sub(p(), "uncond"), "+", "w", parts(sub(p(), "cond"), "−", sub(p(), "uncond")));
  return new Card({
    title: "Guidance",
    term: "w",
    says: [["The model predicts twice, with the prompt and without. The difference, of size ", live("differs", "w"), " here, is what the prompt asks for; it is applied ", live("w", "w"), " times over. Large values give strong colours and little variety."]],
    formulas: [guided, math("w", "=", slot("w", "w"))],
    paper: "Ho and Salimans 2022, Classifier-Free Diffusion Guidance, equation 6",
  });
}

const ddim = () => ({
  says: ["The noise that the prediction implies is kept and put back at the next, lower level: nothing is drawn anew."],
  formulas: [math(next(), "=", slot("alphaNext"), x0(), "+", slot("noiseNext"), eps())],
  paper: "Song et al. 2021, Denoising Diffusion Implicit Models, equation 12",
});
const euler = () => ({
  says: ["The slope from the predicted picture to the state is followed down to the next level."],
  formulas: [math(next(), "=", xt(), "+", parts(sub("σ", "next"), "−", sigma()), frac(row(xt(), "−", x0()), sigma())), math(next(), "=", xt(), "+", parts(slot("sigmaNext"), "−", of("sigma")), frac(row(xt(), "−", x0()), of("sigma")))],
  paper: "Karras et al. 2022, Elucidating the Design Space, algorithm 1; the state at the noise’s scale",
});
const multistep = () => ({
  says: ["A straight line through the last two predicted pictures looks half a step ahead. The first step has no picture before it, and the last goes to the prediction itself."],
  formulas: [math(next(), "=", slot("keep"), xt(), "+", slot("take"), "D"), math("D", "=", slot("once"), x0(), "−", slot("ahead"), sub(hat("x"), "0,before"))],
  paper: "Lu et al. 2022, DPM-Solver++, algorithm 2",
});

const SAMPLERS = {
  ddim,
  euler,
  euler_a: () => ({
    says: ["A step down further than the next level, and fresh noise to come back up to it."],
    formulas: [math(next(), "=", xt(), "+", parts(slot("down"), "−", of("sigma")), frac(row(xt(), "−", x0()), of("sigma")), "+", slot("up"), "z")],
    paper: "Karras et al. 2022 and k-diffusion: ancestral Euler",
  }),
  ddpm: () => ({
    says: ["The mean of what the state before could have been, given the predicted picture, and fresh noise of its standard deviation."],
    formulas: [math(next(), "=", slot("ofX0"), x0(), "+", slot("ofXt"), xt(), "+", slot("deviation"), "z")],
    paper: "Ho et al. 2020, equations 6 and 7",
  }),
  dpmpp_2m: multistep,
  flow_dpmpp_2m: multistep,
  flow_euler: () => ({
    says: ["The predicted velocity is followed down to the next level."],
    formulas: [math(next(), "=", xt(), "+", parts(slot("sigmaNext"), "−", of("sigma")), hat("v")), math(next(), "=", xt(), "+", parts(slot("move")), hat("v"))],
    paper: FLOW,
  }),
};

function samplerCard({ request, facts }) {
  const made = SAMPLERS[request?.sampler]?.() ?? { says: [facts.sampler_help || "It goes from this level to the next by its own rule."], formulas: [math(sigma(), "=", of("sigma"), "→", slot("sigmaNext"))] };
  return new Card({ title: `The step of ${facts.sampler ?? "the sampler"}`, ...made });
}

