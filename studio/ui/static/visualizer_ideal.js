// The ideal denoiser of a finite training set, in closed form: the posterior mean of its pictures (Karras et al. 2022, equation 57).
// Plain arithmetic on arrays; a test compares it with numpy.

export class Ideal {
  /** `pictures`: count * size numbers, one picture after another. */
  constructor(pictures, count) {
    Object.assign(this, { pictures, count, size: pictures.length / count });
    this.deviation = deviation(pictures);
  }

  /** E[x0 | x_t = x] of x_t = alpha x0 + sigma eps, the shares of the pictures in it, and how many of them have a say (exp of the entropy). */
  at(x, alpha, sigma) {
    const { count, size, pictures } = this;
    const apart = this.distances(x, alpha);
    const least = apart.reduce((low, value) => Math.min(low, value), Infinity);
    const shares = apart.map((value) => (sigma > 0 ? Math.exp((least - value) / (2 * sigma ** 2)) : Number(value === least)));
    const sum = shares.reduce((total, share) => total + share, 0);
    const mean = new Float64Array(size);
    let entropy = 0;
    for (let k = 0, from = 0; k < count; k += 1, from += size) {
      const share = (shares[k] /= sum);
      if (share < 1e-12) continue;
      entropy -= share * Math.log(share);
      for (let at = 0; at < size; at += 1) mean[at] += share * pictures[from + at];
    }
    return { mean, shares, effective: Math.exp(entropy), likeliest: largest(shares) };
  }

  /** The picture closest to x, and its root mean square distance. */
  nearest(x, except = -1) {
    const apart = this.distances(x, 1);
    if (except >= 0) apart[except] = Infinity;
    const picture = apart.reduce((best, value, k) => (value < apart[best] ? k : best), 0);
    return { picture, distance: Math.sqrt(apart[picture] / this.size) };
  }

  /** |x - alpha x_k|^2 of every picture. */
  distances(x, alpha) {
    const { count, size, pictures } = this;
    const out = new Float64Array(count);
    for (let k = 0, from = 0; k < count; k += 1, from += size) {
      let sum = 0;
      for (let at = 0; at < size; at += 1) {
        const difference = x[at] - alpha * pictures[from + at];
        sum += difference * difference;
      }
      out[k] = sum;
    }
    return out;
  }

  /** The median distance of a training picture to the nearest other one, of `sample` pictures spread over the set. */
  apart(sample = 48) {
    const step = Math.max(1, Math.floor(this.count / sample));
    const found = [];
    for (let k = 0; k < this.count; k += step) found.push(this.nearest(this.pictures.subarray(k * this.size, (k + 1) * this.size), k).distance);
    return found.sort((a, b) => a - b)[found.length >> 1];
  }
}

/** The predicted picture, of what the network gives at x = alpha x0 + sigma eps (or on the straight path of flow). */
export const READ = {
  epsilon: (out, x, alpha, sigma) => x.map((value, at) => (value - sigma * out[at]) / alpha),
  v_prediction: (out, x, alpha, sigma) => x.map((value, at) => alpha * value - sigma * out[at]),
  flow_prediction: (out, x, alpha, sigma) => x.map((value, at) => value - sigma * out[at]),
  sample: (out) => out,
};

/** Root mean square of the difference. */
export function rms(one, other) {
  let sum = 0;
  for (let at = 0; at < one.length; at += 1) sum += (one[at] - other[at]) ** 2;
  return Math.sqrt(sum / one.length);
}

function deviation(values) {
  let [sum, squares] = [0, 0];
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  return Math.sqrt(squares / values.length - (sum / values.length) ** 2);
}

function largest(values) {
  return values.reduce((best, value, k) => (value > values[best] ? k : best), 0);
}
