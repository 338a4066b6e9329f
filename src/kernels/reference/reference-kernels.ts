/**
 * The kernels in plain TypeScript, written to be read: each operation as its definition says, one element after the
 * other, every f32 operation rounded by `Math.fround`. They define the bits that all other kernels must give.
 *
 * A product of two f32 values is exact in f64, and a sum, quotient or square root of f32 values rounded first to f64
 * and then to f32 equals the one rounded once (Figueroa, "When is double rounding innocuous?", 1995), so
 * `fround(a op b)` is the f32 operation.
 */
import { LastrowError } from "../../errors.js";
import { exp, tanh } from "../../numerics/math.js";
import {
  type Activation,
  type AttentionCall,
  attentionMultiplyAdds,
  firstKey,
  type IndexList,
  type Kernels,
  type LinearWeight,
  type Packed,
  type StoredOrder,
  type StoredRows,
  type Tensor,
} from "../kernels.js";
import { BLOCK_SIZE, type KvLayout, kvOffset, scaleOffset, valueOffset } from "../kv-layout.js";
import { KV_TYPES } from "../kv-types.js";
import { isStoredFloat, STORED_TYPES } from "../weight-types.js";
import { activations } from "./activations.js";
import { GROUP, groupValue, type QuantisedDtype, readGroups } from "./blocks.js";
import { KV_ELEMENTS, OPEN, STORED_VALUES } from "./packed-types.js";
import type { PackedWeight, StoredValues } from "./packed-weight.js";
import { stretchMaxima } from "./stretch-maxima.js";

const { fround } = Math;

class ReferenceKernels implements Kernels {
  readonly name = "reference";
  readonly vectors = null;
  readonly dots = null;
  readonly notices = [];
  readonly #buffer: ArrayBuffer;
  #multiplyAdds = 0;

  constructor(buffer: ArrayBuffer) {
    this.#buffer = buffer;
  }

  get multiplyAdds(): number {
    return this.#multiplyAdds;
  }

  together<T>(ask: () => T): T {
    return ask();
  }

  again(): boolean {
    return false;
  }

  f32(offset: number, length: number): Float32Array {
    return new Float32Array(this.#buffer, offset, length);
  }

  i32(offset: number, length: number): Int32Array {
    return new Int32Array(this.#buffer, offset, length);
  }

  u8(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#buffer, offset, length);
  }

  packLinear(weight: LinearWeight, order: StoredOrder, stored: StoredRows): Packed {
    const width = order === "in-out" ? weight.outFeatures : weight.inFeatures;
    return this.#weight(weight).pack(order, stored, this.#storedValues(stored, width));
  }

  unpackRows(out: Tensor, stored: StoredRows): boolean {
    if (!isStoredFloat(stored.dtype)) return this.#unpackBlocks(out, stored, stored.dtype);
    const values = this.#storedValues(stored, out.cols);
    let finite = true;
    for (let r = 0; r < stored.rowCount; r++) {
      const row = this.#row(out, stored.firstRow + r);
      for (let c = 0; c < out.cols; c++) {
        row[c] = values(r, c);
        finite &&= Number.isFinite(row[c]);
      }
    }
    return finite;
  }

  /** A scale that is not finite makes none of its values finite. */
  #unpackBlocks(out: Tensor, { offset, firstRow, rowCount }: StoredRows, dtype: QuantisedDtype): boolean {
    const { bytes, values } = STORED_TYPES[dtype];
    let finite = true;
    let at = offset;
    for (let r = 0; r < rowCount; r++) {
      const row = this.#row(out, firstRow + r);
      for (let first = 0; first < out.cols; first += values, at += bytes) {
        readGroups(dtype, this.u8(at, bytes)).forEach((group, g) => {
          for (let i = 0; i < GROUP; i++) {
            const value = groupValue(group, i);
            row[first + GROUP * g + i] = value;
            finite &&= Number.isFinite(value);
          }
        });
      }
    }
    return finite;
  }

  embed(out: Tensor, tokenIds: IndexList, weight: LinearWeight): void {
    const ids = this.#indices(tokenIds);
    const packed = this.#weight(weight);
    for (let t = 0; t < out.rows; t++) packed.column(this.#row(out, t), ids[t]);
  }

  addRowsAt(x: Tensor, indices: IndexList, table: Tensor): void {
    const at = this.#indices(indices);
    for (let t = 0; t < x.rows; t++) {
      const row = this.#row(x, t);
      const other = this.#row(table, at[t]);
      for (let c = 0; c < x.cols; c++) row[c] = fround(row[c] + other[c]);
    }
  }

  gatherRows(out: Tensor, x: Tensor, indices: IndexList): void {
    const at = this.#indices(indices);
    for (let t = 0; t < out.rows; t++) this.#row(out, t).set(this.#row(x, at[t]));
  }

  add(x: Tensor, y: Tensor): void {
    for (let t = 0; t < x.rows; t++) {
      const row = this.#row(x, t);
      const other = this.#row(y, t);
      for (let c = 0; c < x.cols; c++) row[c] = fround(row[c] + other[c]);
    }
  }

  /** Ba, Kiros, Hinton: "Layer Normalization", arXiv:1607.06450, with the statistics in f64. */
  layerNorm(out: Tensor, x: Tensor, gain: Tensor, bias: Tensor, epsilon: number): void {
    const g = this.#row(gain, 0);
    const b = this.#row(bias, 0);
    for (let t = 0; t < x.rows; t++) {
      const row = this.#row(x, t);
      const result = this.#row(out, t);
      const mean = sumInFourLanes(row, (value) => value) / x.cols;
      const variance = sumInFourLanes(row, (value) => (value - mean) * (value - mean)) / x.cols;
      const scale = 1 / Math.sqrt(variance + epsilon);
      for (let c = 0; c < x.cols; c++) {
        const normalised = fround((row[c] - mean) * scale);
        result[c] = fround(fround(normalised * g[c]) + b[c]);
      }
    }
  }

  /** Zhang, Sennrich: "Root Mean Square Layer Normalization", arXiv:1910.07467, with the mean in f64. */
  rmsNorm(out: Tensor, x: Tensor, gain: Tensor, epsilon: number): void {
    const g = this.#row(gain, 0);
    for (let t = 0; t < x.rows; t++) {
      for (let first = 0; first < x.cols; first += gain.cols) {
        const stretch = this.#row(x, t).subarray(first, first + gain.cols);
        const result = this.#row(out, t).subarray(first, first + gain.cols);
        const mean = sumInFourLanes(stretch, (value) => value * value) / gain.cols;
        const scale = 1 / Math.sqrt(mean + epsilon);
        for (let c = 0; c < gain.cols; c++) result[c] = fround(fround(stretch[c] * scale) * g[c]);
      }
    }
  }

  rotate(x: Tensor, angles: Tensor, headDim: number): void {
    const half = angles.cols / 2;
    for (let t = 0; t < x.rows; t++) {
      const row = this.#row(x, t);
      const turn = this.#row(angles, t);
      for (let first = 0; first < x.cols; first += headDim) {
        for (let i = 0; i < half; i++) {
          const [cos, sin] = [turn[i], turn[half + i]];
          const [a, b] = [row[first + i], row[first + half + i]];
          row[first + i] = fround(fround(a * cos) - fround(b * sin));
          row[first + half + i] = fround(fround(b * cos) + fround(a * sin));
        }
      }
    }
  }

  linear(out: Tensor, x: Tensor, weight: LinearWeight, bias: Tensor | null): void {
    const { inFeatures, outFeatures } = weight;
    this.#multiplyAdds += x.rows * inFeatures * outFeatures;
    const b = bias === null ? null : this.#row(bias, 0);
    const packed = this.#weight(weight);
    for (let t = 0; t < x.rows; t++) {
      const result = this.#row(out, t);
      packed.multiply(result, this.#row(x, t));
      if (b !== null) for (let n = 0; n < outFeatures; n++) result[n] = fround(result[n] + b[n]);
    }
  }

  activate(x: Tensor, activation: Activation): void {
    const f = activations[activation];
    for (let t = 0; t < x.rows; t++) {
      const row = this.#row(x, t);
      for (let c = 0; c < x.cols; c++) row[c] = f(row[c]);
    }
  }

  gate(out: Tensor, gate: Tensor, up: Tensor, activation: Activation): void {
    const f = activations[activation];
    for (let t = 0; t < out.rows; t++) {
      const result = this.#row(out, t);
      const gates = this.#row(gate, t);
      const values = this.#row(up, t);
      for (let c = 0; c < out.cols; c++) result[c] = fround(f(gates[c]) * values[c]);
    }
  }

  scale(x: Tensor, factor: number): void {
    for (let t = 0; t < x.rows; t++) {
      const row = this.#row(x, t);
      for (let c = 0; c < x.cols; c++) row[c] = fround(row[c] * factor);
    }
  }

  softcap(x: Tensor, cap: number): void {
    for (let t = 0; t < x.rows; t++) {
      const row = this.#row(x, t);
      for (let c = 0; c < x.cols; c++) row[c] = capped(row[c], cap);
    }
  }

  writeKv(kv: KvLayout, layer: number, k: Tensor, v: Tensor, slots: IndexList): void {
    const { headDim } = kv;
    const { scaleOf, stored } = KV_ELEMENTS[kv.dtype];
    const at = this.#indices(slots);
    for (let t = 0; t < k.rows; t++) {
      const block = Math.floor(at[t] / BLOCK_SIZE);
      const inBlock = at[t] % BLOCK_SIZE;
      const kRow = this.#row(k, t);
      const vRow = this.#row(v, t);
      for (let h = 0; h < kv.numKvHeads; h++) {
        const { keys, values, keyScales, valueScales } = this.#head(kv, block, layer, h);
        const key = kRow.subarray(h * headDim, (h + 1) * headDim);
        const value = vRow.subarray(h * headDim, (h + 1) * headDim);
        if (scaleOf !== null) {
          keyScales[inBlock] = scaleOf(key);
          valueScales[inBlock] = scaleOf(value);
        }
        for (let d = 0; d < headDim; d++) {
          keys[d * BLOCK_SIZE + inBlock] = stored(key[d], keyScales[inBlock]);
          values[inBlock * headDim + d] = stored(value[d], valueScales[inBlock]);
        }
      }
    }
  }

  /** Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, equation 1, over the keys that each query sees. */
  attention(call: AttentionCall): void {
    const { kv, numHeads, layer, softcap } = call;
    const { headDim } = kv;
    const queriesPerKvHead = numHeads / kv.numKvHeads;
    const { scaled } = KV_TYPES[kv.dtype];
    const { toF32 } = KV_ELEMENTS[kv.dtype];
    const positions = this.#indices(call.positions);
    this.#multiplyAdds += attentionMultiplyAdds(call, this.i32(0, Math.floor(this.#buffer.byteLength / 4)));
    const blockTables = this.#blockTables(call);
    const weights = this.#row(call.scratch, 0);
    /** Elements from a dimension of a key to its next: a block's keys lie side by side. */
    const keyStride = BLOCK_SIZE;
    for (let t = 0; t < call.q.rows; t++) {
      const position = positions[t];
      const first = firstKey(position, call.window);
      const firstBlock = Math.floor(first / BLOCK_SIZE);
      const seenBlocks = this.i32(
        blockTables[t] + 4 * firstBlock,
        Math.floor(position / BLOCK_SIZE) + 1 - firstBlock,
      );
      for (let h = 0; h < numHeads; h++) {
        const query = this.#row(call.q, t).subarray(h * headDim, (h + 1) * headDim);
        const output = this.#row(call.out, t).subarray(h * headDim, (h + 1) * headDim);
        const heads = Array.from(seenBlocks, (block) =>
          this.#head(kv, block, layer, Math.floor(h / queriesPerKvHead)),
        );
        const headOf = (p: number) => heads[Math.floor(p / BLOCK_SIZE) - firstBlock];

        let top = Number.NEGATIVE_INFINITY;
        for (let p = first; p <= position; p++) {
          const { keys, keyScales } = headOf(p);
          const inBlock = p % BLOCK_SIZE;
          let score = 0;
          for (let d = 0, at = inBlock; d < headDim; d++, at += keyStride) {
            score = fround(score + fround(query[d] * toF32(keys[at])));
          }
          if (scaled) score = fround(score * keyScales[inBlock]);
          weights[p] = fround(score * call.scale);
          if (softcap !== null) weights[p] = capped(weights[p], softcap);
          top = Math.max(top, weights[p]);
        }

        const lanes = new Float32Array(BLOCK_SIZE);
        for (let p = first; p <= position; p++) {
          weights[p] = exp(fround(weights[p] - top));
          lanes[p % BLOCK_SIZE] = fround(lanes[p % BLOCK_SIZE] + weights[p]);
        }
        const sum = joinLanes(lanes);

        output.fill(0);
        for (let p = first; p <= position; p++) {
          const { values, valueScales } = headOf(p);
          const inBlock = p % BLOCK_SIZE;
          const weight = scaled ? fround(weights[p] * valueScales[inBlock]) : weights[p];
          const at = inBlock * headDim;
          for (let d = 0; d < headDim; d++) {
            output[d] = fround(output[d] + fround(weight * toF32(values[at + d])));
          }
        }
        for (let d = 0; d < headDim; d++) output[d] = fround(output[d] / sum);
      }
    }
  }

  stretchMaxima(out: Tensor, x: Tensor): void {
    for (let t = 0; t < x.rows; t++) stretchMaxima(this.#row(x, t), this.#row(out, t));
  }

  async dispose(): Promise<void> {}

  #row(x: Tensor, r: number): Float32Array {
    return this.f32(x.offset + 4 * r * x.stride, x.cols);
  }

  #weight(weight: LinearWeight): PackedWeight {
    return OPEN[weight.dtype](this.#buffer, weight);
  }

  #indices(list: IndexList): Int32Array {
    return this.i32(list.offset, list.length);
  }

  #head(kv: KvLayout, block: number, layer: number, head: number) {
    const offset = kvOffset(kv, block, layer, head);
    const length = BLOCK_SIZE * kv.headDim;
    const { Elements } = KV_ELEMENTS[kv.dtype];
    const scales = offset + scaleOffset(kv);
    const numScales = KV_TYPES[kv.dtype].scaled ? BLOCK_SIZE : 0;
    return {
      keys: new Elements(this.#buffer, offset, length),
      values: new Elements(this.#buffer, offset + valueOffset(kv), length),
      keyScales: this.f32(scales, numScales),
      valueScales: this.f32(scales + 4 * numScales, numScales),
    };
  }

  /** For each row the offset of its sequence's block table. */
  #blockTables(call: AttentionCall): number[] {
    const sequences = this.#indices(call.sequences);
    const offsets: number[] = [];
    for (let s = 0; s < sequences.length; s += 2) {
      for (let t = 0; t < sequences[s]; t++) offsets.push(sequences[s + 1]);
    }
    return offsets;
  }

  /** Reads stored values by index, as f32. */
  #storedValues(stored: StoredRows, width: number): StoredValues {
    const { cols, from } = stored.within ?? { cols: width, from: 0 };
    const { dtype } = stored;
    if (!isStoredFloat(dtype)) return () => Number.NaN;
    const { Values, toF32 } = STORED_VALUES[dtype];
    const values = new Values(this.#buffer, stored.offset, stored.rowCount * cols);
    return (row, column) => toF32(values[row * cols + from + column]);
  }
}

/** cap · tanh(x / cap) */
function capped(x: number, cap: number): number {
  return fround(cap * tanh(fround(x / cap)));
}

/** Σ f(x[c]) in f64: lane j adds c = j, j + 4, j + 8 …; then (0 + 1) + (2 + 3). */
function sumInFourLanes(x: Float32Array, f: (value: number) => number): number {
  const lanes = [0, 0, 0, 0];
  for (let c = 0; c < x.length; c++) lanes[c % 4] += f(x[c]);
  return lanes[0] + lanes[1] + (lanes[2] + lanes[3]);
}

/** (j + (j + 4)) + ((j + 8) + (j + 12)) for j = 0 … 3, then (0 + 1) + (2 + 3). */
function joinLanes(lanes: Float32Array): number {
  const four = [0, 1, 2, 3].map((j) =>
    fround(fround(lanes[j] + lanes[j + 4]) + fround(lanes[j + 8] + lanes[j + 12])),
  );
  return fround(fround(four[0] + four[1]) + fround(four[2] + four[3]));
}

/** @throws LastrowError `memory_limit_exceeded` */
export function createReferenceKernels(bytes: number): Kernels {
  try {
    return new ReferenceKernels(new ArrayBuffer(bytes));
  } catch (cause) {
    throw new LastrowError("memory_limit_exceeded", `This runtime gives no memory of ${bytes} bytes.`, {
      cause,
    });
  }
}
