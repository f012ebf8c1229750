// Arithmetic on small pictures: seeded Gaussian noise, the Fourier transform, radial power, a histogram, the noising chain.
// Pure functions on arrays.

/** A generator of uniform numbers from 0 to 1 (mulberry32). */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` numbers of mean 0 and variance 1, always the same ones for a seed (Box and Muller 1958). */
export function gaussian(count, seed) {
  const draw = uniform(seed);
  const values = new Float32Array(count);
  for (let at = 0; at < count; at += 2) {
    const length = Math.sqrt(-2 * Math.log(1 - draw()));
    const angle = 2 * Math.PI * draw();
    values[at] = length * Math.cos(angle);
    if (at + 1 < count) values[at + 1] = length * Math.sin(angle);
  }
  return values;
}

/** In place, for a length that is a power of two (Cooley and Tukey 1965). `from` and `stride` address a row or a column. */
function transform(real, imaginary, length, from, stride) {
  for (let at = 1, other = 0; at < length; at += 1) {
    let bit = length >> 1;
    for (; other & bit; bit >>= 1) other ^= bit;
    other ^= bit;
    if (at >= other) continue;
    const [a, b] = [from + at * stride, from + other * stride];
    [real[a], real[b], imaginary[a], imaginary[b]] = [real[b], real[a], imaginary[b], imaginary[a]];
  }
  for (let size = 2; size <= length; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k += 1) {
      const [cos, sin] = [Math.cos((-2 * Math.PI * k) / size), Math.sin((-2 * Math.PI * k) / size)];
      for (let start = k; start < length; start += size) {
        const [a, b] = [from + start * stride, from + (start + half) * stride];
        const [x, y] = [real[b] * cos - imaginary[b] * sin, real[b] * sin + imaginary[b] * cos];
        [real[b], imaginary[b]] = [real[a] - x, imaginary[a] - y];
        [real[a], imaginary[a]] = [real[a] + x, imaginary[a] + y];
      }
    }
  }
}

/** { real, imaginary } of a square picture of `side`², scaled so that noise of variance 1 has a mean power of 1. */
export function fourier(values, side) {
  const [real, imaginary] = [Float64Array.from(values), new Float64Array(side * side)];
  for (let row = 0; row < side; row += 1) transform(real, imaginary, side, row * side, 1);
  for (let column = 0; column < side; column += 1) transform(real, imaginary, side, column, side);
  return { real: real.map((value) => value / side), imaginary: imaginary.map((value) => value / side) };
}

/** For each coefficient its distance from zero frequency, in whole cycles per picture. */
export function radii(side) {
  const fold = (at) => (at > side / 2 ? at - side : at);
  return Uint16Array.from({ length: side * side }, (_, at) => Math.round(Math.hypot(fold(at % side), fold(Math.floor(at / side)))));
}

/** The mean power of a·first + b·second at each frequency from 1 to side / 2 cycles. */
export function radialPower(first, second, a, b, rings, side) {
  const [sums, counts] = [new Float64Array(side), new Float64Array(side)];
  const [r1, i1, r2, i2] = [first.real, first.imaginary, second.real, second.imaginary];
  for (let at = 0; at < rings.length; at += 1) {
    const x = a * r1[at] + b * r2[at];
    const y = a * i1[at] + b * i2[at];
    sums[rings[at]] += x * x + y * y;
    counts[rings[at]] += 1;
  }
  return Array.from({ length: side / 2 }, (_, at) => sums[at + 1] / counts[at + 1]);
}

const EVERY = 5; // values of a histogram: all three channels take their turn

/** Densities of a·first + b·second in `bins` equal bins from -reach to reach. */
export function histogram(first, second, a, b, bins, reach) {
  const counts = new Float64Array(bins);
  const scale = bins / (2 * reach);
  for (let at = 0; at < first.length; at += EVERY) {
    const bin = Math.floor((a * first[at] + b * second[at] + reach) * scale);
    if (bin >= 0 && bin < bins) counts[bin] += 1;
  }
  return Array.from(counts, (count) => (count * scale * EVERY) / first.length);
}

/**
 * Noises a picture one step after the other, x_t = sqrt(1 - beta) x_{t-1} + sqrt(beta) eps with fresh noise, and measures at each
 * how much of the picture is left and how large the rest is: { signal, noise }, one number a step.
 */
export function chain(x0, betas, seed) {
  const draw = uniform(seed);
  const x = Float64Array.from(x0);
  const energy = x0.reduce((sum, value) => sum + value * value, 0);
  const [signal, noise] = [[], []];
  for (const beta of betas) {
    const [keep, add] = [Math.sqrt(1 - beta), Math.sqrt(beta)];
    let along = 0;
    for (let at = 0; at < x.length; at += 1) {
      const fresh = Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
      x[at] = keep * x[at] + add * fresh;
      along += x[at] * x0[at];
    }
    along /= energy;
    let rest = 0;
    for (let at = 0; at < x.length; at += 1) rest += (x[at] - along * x0[at]) ** 2;
    signal.push(along);
    noise.push(Math.sqrt(rest / x.length));
  }
  return { signal, noise };
}
