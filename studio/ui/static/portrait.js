// The picture of a model that has none: a disc that comes out of dots, another for each name, and always the same one.

const SVG = "http://www.w3.org/2000/svg";
const CELLS = 7;

export function portrait(name) {
  const random = numbers(name);
  const middle = [1.4 + 3.2 * random(), 1.4 + 3.2 * random()];
  const reach = 1.1 + 1.5 * random();
  let dots = "";
  for (let y = 0; y < CELLS; y += 1) {
    for (let x = 0; x < CELLS; x += 1) {
      const inside = 1 / (1 + Math.exp(3.2 * (Math.hypot(x - middle[0], y - middle[1]) - reach)));
      const r = 0.06 + 0.1 * random() + 0.27 * inside;
      dots += `M${(x + 0.5 - r).toFixed(2)} ${y + 0.5}a${r.toFixed(2)} ${r.toFixed(2)} 0 1 0 ${(2 * r).toFixed(2)} 0a${r.toFixed(2)} ${r.toFixed(2)} 0 1 0 ${(-2 * r).toFixed(2)} 0`;
    }
  }
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", `-0.6 -0.6 ${CELLS + 1.2} ${CELLS + 1.2}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", dots);
  svg.append(path);
  return svg;
}

/** Numbers from 0 to 1 that a text decides (FNV-1a, then xorshift). */
function numbers(text) {
  let state = 2166136261;
  for (const letter of text) state = Math.imul(state ^ letter.codePointAt(0), 16777619);
  state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) || 1; // names that differ in one letter part ways here
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
