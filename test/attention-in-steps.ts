/**
 * Attention in three steps that can be looked at, for tests: all scores, then the softmax of all, then the weighted
 * values. The kernels make the three in one call and keep nothing of the first two; here a test can reach in between
 * them. Works on any kernels' memory, in the order of docs/numerics.md, so that nothing but the looking is different:
 * left alone, its results have the kernels' own bits (the tests that use it hold it to that).
 */
import { type AttentionCall, firstKey, type Kernels, type Tensor } from "../src/kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout, kvOffset, scaleOffset, valueOffset } from "../src/kernels/kv-layout.js";
import { KV_TYPES } from "../src/kernels/kv-types.js";
import { f16ToF32 } from "../src/kernels/reference/half.js";
import { exp, tanh } from "../src/numerics/math.js";

const { fround } = Math;

type AttentionStep = "scores" | "softmax";

/**
 * Called when a step is done, with row t of it: for each head a list of numbers, one for each key that the row sees, those
 * of softmax with the sum behind them.
 */
export type OnAttentionStep = (
  step: AttentionStep,
  layer: number,
  row: (t: number) => readonly Float32Array[],
) => void;

export function attentionInSteps(kernels: Kernels, call: AttentionCall, onStep: OnAttentionStep): void {
  const { q, out, layer, numHeads, kv, softcap } = call;
  const { headDim } = kv;
  const positions = kernels.i32(call.positions.offset, call.positions.length);
  const tables = blockTables(kernels, call);
  const rowOf = (x: Tensor, t: number, head: number) =>
    kernels.f32(x.offset + 4 * (t * x.stride + head * headDim), headDim);
  const blocksOf = (t: number, head: number) => {
    const kvHead = Math.floor(head / (numHeads / kv.numKvHeads));
    // What a window has left behind may have no block any more.
    const first = Math.floor(firstKey(positions[t], call.window) / BLOCK_SIZE);
    const count = Math.floor(positions[t] / BLOCK_SIZE) + 1 - first;
    const ids = kernels.i32(tables[t] + 4 * first, count);
    const blocks = Array.from(ids, (block) => readBlock(kernels, kv, layer, block, kvHead));
    return (position: number) => blocks[Math.floor(position / BLOCK_SIZE) - first];
  };
  /** For each row, for each head. */
  const forRows = <T>(make: (t: number, head: number) => T): T[][] =>
    Array.from({ length: q.rows }, (_, t) => Array.from({ length: numHeads }, (_, head) => make(t, head)));

  const scores = forRows((t, head) => {
    const query = rowOf(q, t, head);
    const blockOf = blocksOf(t, head);
    const first = firstKey(positions[t], call.window);
    return Float32Array.from({ length: positions[t] + 1 - first }, (_, i) => {
      const p = first + i;
      const { key, keyScale } = blockOf(p);
      let score = 0;
      for (let d = 0; d < headDim; d++) score = fround(score + fround(query[d] * key(p % BLOCK_SIZE, d)));
      if (keyScale !== null) score = fround(score * keyScale(p % BLOCK_SIZE));
      const scaled = fround(score * call.scale);
      return softcap === null ? scaled : fround(softcap * tanh(fround(scaled / softcap)));
    });
  });
  onStep("scores", layer, (t) => scores[t]);

  const softmax = forRows((t, head) => {
    const row = scores[t][head];
    const first = firstKey(positions[t], call.window);
    const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const lanes = new Float32Array(BLOCK_SIZE);
    const weights = row.map((score, i) => {
      const weight = exp(fround(score - top));
      const p = first + i;
      lanes[p % BLOCK_SIZE] = fround(lanes[p % BLOCK_SIZE] + weight);
      return weight;
    });
    const four = [0, 1, 2, 3].map((j) =>
      fround(fround(lanes[j] + lanes[j + 4]) + fround(lanes[j + 8] + lanes[j + 12])),
    );
    return Float32Array.of(...weights, fround(fround(four[0] + four[1]) + fround(four[2] + four[3])));
  });
  onStep("softmax", layer, (t) => softmax[t]);

  forRows((t, head) => {
    const weights = softmax[t][head];
    const sum = weights[weights.length - 1];
    const blockOf = blocksOf(t, head);
    const output = rowOf(out, t, head).fill(0);
    const first = firstKey(positions[t], call.window);
    for (let p = first; p <= positions[t]; p++) {
      const { value, valueScale } = blockOf(p);
      const e = weights[p - first];
      const weight = valueScale === null ? e : fround(e * valueScale(p % BLOCK_SIZE));
      for (let d = 0; d < headDim; d++) {
        output[d] = fround(output[d] + fround(weight * value(p % BLOCK_SIZE, d)));
      }
    }
    for (let d = 0; d < headDim; d++) output[d] = fround(output[d] / sum);
  });
}

/** For each row the offset of its sequence's block table. */
function blockTables(kernels: Kernels, { sequences }: AttentionCall): number[] {
  const pairs = kernels.i32(sequences.offset, sequences.length);
  const offsets: number[] = [];
  for (let s = 0; s < pairs.length; s += 2) offsets.push(...new Array<number>(pairs[s]).fill(pairs[s + 1]));
  return offsets;
}

/** Element d of the key and the value at a place in a block, and their scales where they are int8. */
function readBlock(kernels: Kernels, kv: KvLayout, layer: number, block: number, head: number) {
  const base = kvOffset(kv, block, layer, head);
  const length = BLOCK_SIZE * kv.headDim;
  const isInt8 = kv.dtype === "int8";
  const elements = (offset: number) => {
    if (kv.dtype === "f32") return kernels.f32(offset, length);
    const { buffer, byteOffset } = kernels.u8(offset, KV_TYPES[kv.dtype].elementBytes * length);
    if (isInt8) return new Int8Array(buffer, byteOffset, length);
    return Float32Array.from(new Uint16Array(buffer, byteOffset, length), f16ToF32);
  };
  const keys = elements(base);
  const values = elements(base + valueOffset(kv));
  const scales = isInt8 ? kernels.f32(base + scaleOffset(kv), 2 * BLOCK_SIZE) : null;
  return {
    key: (place: number, d: number) => keys[d * BLOCK_SIZE + place],
    value: (place: number, d: number) => values[place * kv.headDim + d],
    keyScale: scales === null ? null : (place: number) => scales[place],
    valueScale: scales === null ? null : (place: number) => scales[BLOCK_SIZE + place],
  };
}
