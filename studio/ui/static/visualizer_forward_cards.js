// What explains the forward view: the closed form, what the noise hides first, and the chain of single steps.

import { figure } from "./words.js";
import { bar, Card, hat, live, math, parts, slot, sqrt, square, sub, term, row } from "./visualizer_math.js";

const alphaBar = () => term("sigma", sub(bar("α"), "t"));

/** A number as the cards write it. */
export function written(value) {
  if (value === Infinity) return "∞";
  if (value === -Infinity) return "−∞";
  return (Number.isInteger(value) ? String(value) : figure(value)).replace("-", "−");
}

export function forwardCards() {
  return [
    new Card({
      title: "Noise in one step",
      says: [["Any noise level is reached at once: a share of the picture, and a share of one draw of Gaussian noise. Here by ", live("schedule"), " at t = ", live("t"), "."]],
      formulas: [math(sub("x", "t"), "=", sqrt(alphaBar()), sub("x", "0"), "+", sqrt(row("1", "−", alphaBar())), "ε"), math(sub("x", "t"), "=", slot("alpha", "sigma"), sub("x", "0"), "+", slot("noise", "sigma"), "ε")],
      paper: "Ho et al. 2020, equation 4. Flow matching takes 1 − t and t in place of the roots.",
    }),
    new Card({
      title: "Signal against noise",
      says: ["What decides how hard a step is, is the ratio of signal to noise, and not t: schedules differ only in how fast they pass through it. Compare at equal signal-to-noise and the pictures become alike."],
      formulas: [math("SNR", "=", alphaBar(), "/", parts("1", "−", alphaBar()), "=", "1", "/", square(term("sigma", "σ"))), math("log SNR", "=", slot("logSnr", "sigma"), ", ", "σ", "=", slot("sigma", "sigma"))],
      paper: "Kingma et al. 2021, Variational Diffusion Models",
    }),
    new Card({
      title: "What a level counts in training",
      says: [["An error of the picture counts ", live("perPicture"), " times in the loss at this level where the noise is what is predicted: nearly clean states would count most, and teach least. Min-SNR cuts that off at 5, so that here it counts ", live("minSnr"), "."]],
      formulas: [math(sub("w", "t"), "=", "min", parts("SNR", ",", "5"), "=", slot("minSnr", "sigma")), math("‖", "ε", "−", hat("ε"), square("‖"), "=", "SNR", "‖", sub("x", "0"), "−", sub(hat("x"), "0"), square("‖"))],
      paper: "Hang et al. 2023, Efficient Diffusion Training via Min-SNR Weighting Strategy",
    }),
    new Card({
      title: "Fine detail goes first",
      says: [["Pictures have most of their power at low frequencies; noise has the same at all. Where the noise floor rises above the picture’s own power, that detail is lost: here ", live("frequencies"), " of 64 frequencies are still above it. Backwards, the same curve fills in from coarse to fine."]],
      paper: "Dieleman 2024, Diffusion is spectral autoregression",
    }),
    new Card({
      title: "Step by step comes to the same",
      says: [["The schedule is defined by small steps, each with fresh noise. Measured on this picture after t of them, ", live("chainSignal"), " of it is left under noise of size ", live("chainNoise"), "; the closed form says ", live("alpha"), " and ", live("noise"), ". At no t are they further apart than ", live("apart"), ". (Flow and EDM have no single steps.)"]],
      formulas: [math(sub("x", "t"), "=", sqrt(row("1", "−", sub("β", "t"))), sub("x", "t−1"), "+", sqrt(sub("β", "t")), sub("ε", "t"), ", ", sub("β", "t"), "=", slot("beta"))],
      paper: "Ho et al. 2020, equation 2",
    }),
  ];
}
