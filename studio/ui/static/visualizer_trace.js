// Reads the trace of a picture: one safetensors file (eight bytes of length, JSON, then the tensors), parsed once and decoded row by
// row. `GET /traces/{image}`; the tensors are named in studio/core/traces.py.

import { address } from "./workbench.js";

const WIDTHS = { F32: 4, I32: 4, F16: 2, BF16: 2, U8: 1 };
let halves = null;

/** { metadata, tensors: name -> { dtype, shape, bytes } } of a safetensors file; throws a sentence where it is none. */
export function parse(buffer) {
  const broken = () => new Error("This trace cannot be read: the file is damaged.");
  if (buffer.byteLength < 8) throw broken();
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  if (length > buffer.byteLength - 8) throw broken();
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(entries)) {
    if (8 + length + to > buffer.byteLength) throw broken();
    tensors.set(name, { dtype, shape, from: 8 + length + from });
  }
  return { metadata, tensors, buffer };
}

/** Numbers of a tensor's row (along its first axis) as floats. */
export function row({ buffer, tensors }, name, index) {
  const { dtype, shape, from } = tensors.get(name);
  const count = shape.slice(1).reduce((product, size) => product * size, 1);
  const width = WIDTHS[dtype];
  if (!width || index < 0 || index >= shape[0]) return null;
  const bytes = buffer.slice(from + index * count * width, from + (index + 1) * count * width); // aligned anew
  return decode(bytes, dtype);
}

/** All numbers of a tensor as floats. */
export function whole({ buffer, tensors }, name) {
  const { dtype, shape, from } = tensors.get(name);
  return decode(buffer.slice(from, from + WIDTHS[dtype] * shape.reduce((product, size) => product * size, 1)), dtype);
}

export function decode(bytes, dtype) {
  if (dtype === "F32") return new Float32Array(bytes);
  if (dtype === "I32") return Float32Array.from(new Int32Array(bytes));
  if (dtype === "U8") return new Uint8Array(bytes);
  const words = new Uint16Array(bytes);
  if (dtype === "BF16") return new Float32Array(Uint32Array.from(words, (word) => word << 16).buffer);
  halves ??= Float32Array.from({ length: 65536 }, (_, word) => half(word));
  return Float32Array.from(words, (word) => halves[word]);
}

function half(word) {
  const [sign, exponent, fraction] = [word & 0x8000 ? -1 : 1, (word >> 10) & 31, word & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

/** The trace of an archived picture. Rejects with a sentence where none is kept, or it is of another version. */
export async function readTrace(image, { fresh = false } = {}) {
  const answer = await fetch(address(`traces/${encodeURIComponent(image)}`), { cache: fresh ? "reload" : "default" }).catch(() => null);
  if (!answer) throw new Error("The studio could not be reached.");
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? "There is no trace of this run.");
  return new Trace(parse(await answer.arrayBuffer()));
}

class Trace {
  constructor(file) {
    this.file = file;
    this.info = JSON.parse(file.metadata.trace ?? "null");
    if (this.info?.version !== 1 || !file.tensors.has("x_t")) throw new Error("This trace is of another version of the studio.");
    [this.steps, this.channels, this.height, this.width] = file.tensors.get("x_t").shape;
    this.firstCalls = this.column("first_call") ?? [];
    this.starts = this.info.rows.reduce((starts, rows) => [...starts, starts.at(-1) + rows], [0]);
  }

  /** One number a step; null where there is no such tensor. */
  column(name) {
    const found = this.file.tensors.get(name);
    return found ? [...decode(this.file.buffer.slice(found.from, found.from + 4 * found.shape[0]), found.dtype)] : null;
  }

  /** "x_t", "x0", "cond", "uncond" or "guided" at a step: (channels, height, width) in a row; null where it has none. */
  at(name, step) {
    const { tensors } = this.file;
    if (name === "guided") return this.used(step);
    if (tensors.has(name)) return row(this.file, name, step);
    const own = this.info[`${name}_row`];
    if (own === null || own === undefined || !this.isPlain("raw")) return null;
    return this.ours(row(this.file, "raw", this.starts[this.firstCalls[step]] + own));
  }

  used(step) {
    if (!this.file.tensors.has("guided")) return this.at("cond", step);
    return this.isPlain("guided") ? this.ours(row(this.file, "guided", this.firstCalls[step] * this.info.used_rows)) : null;
  }

  /** Whether the tensor is laid out like x_t; a learned variance may follow the channels. */
  isPlain(name) {
    const { shape } = this.file.tensors.get(name);
    return shape.length === 4 && shape[2] === this.height && shape[3] === this.width;
  }

  ours(values) {
    return values?.subarray(0, this.channels * this.height * this.width) ?? null;
  }
}
