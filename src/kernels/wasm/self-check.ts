/**
 * Every kernel that a model uses, once, on small shapes with NaN, infinities and extremes: what they give must be what the
 * reference kernels give, bit for bit. It is run when kernels are made whose instructions are not those that every runtime
 * has; and to have them compiled. What the reference kernels give is worked out when the kernels are built, by the same code
 * (scripts/build-kernels.ts): they would take a fifth of a second when they have just been loaded.
 */
import {
  ACTIVATIONS,
  type BackendSizes,
  type Kernels,
  type KernelUses,
  rows,
  STRETCH,
  type Tensor,
} from "../kernels.js";
import { type KvLayout, kvBlockBytes, kvLayout } from "../kv-layout.js";
import type { KvDtype } from "../kv-types.js";
import { MemoryPlan } from "../memory-plan.js";
import {
  CONVERTED_DTYPES,
  type PackedDtype,
  STORED_AS,
  type StoredDtype,
  storedBytes,
} from "../weight-types.js";

/** Inputs and outputs of products: blocks of 256 inputs; a panel for each of six streams (assembly/panels.ts), and some columns. */
const INPUTS = 256;
const OUTPUTS = 101;
/** Rows of products: each tile of few rows, and enough for what many rows go through, with every type of weights. */
const ROW_COUNTS = [1, 2, 3, 4, 5, 10, 18];
const MOST_ROWS = 18;
/** Positions that are cached: two blocks and a part of one. */
const POSITIONS = 43;
const KV_SHAPE = { numLayers: 1, numKvHeads: 2, headDim: 48 };
/** Heads of queries: three, two and one for each of K and V, so that a position alone is a tile of so many. */
const HEAD_COUNTS = [6, 4, 2];
const MOST_HEADS = 6;

/** Values that break careless code. */
const EXTREMES = [NaN, Infinity, -Infinity, 3.4e38, -3.4e38, 1e-45, -1e-45, 0, -0, 88.8, -104, 200];

/** The first `count` values of a sequence that looks like nothing in particular, in ±4. */
const ORDINARY = Float32Array.from({ length: INPUTS * OUTPUTS }, (_, i) => (hash(i) / 2 ** 32 - 0.5) * 8);

function hash(i: number): number {
  const word = Math.imul(i + 1, 0x9e3779b1);
  return Math.imul(word ^ (word >>> 15), 0x2c1b3c6d) >>> 0;
}

/** The same with extremes in some rows of `cols` values. */
function withExtremes(count: number, cols: number): Float32Array {
  const values = ORDINARY.slice(0, count);
  for (const [i, extreme] of EXTREMES.entries()) {
    const at = (2 * i + 1) * Math.floor(cols / 3) + i;
    if (at < count) values[at] = extreme;
  }
  return values;
}

/** Bytes of stored blocks: any of which the 16 bits of a scale may end without making it infinite or NaN. */
function blocks(dtype: StoredDtype): Uint8Array {
  return Uint8Array.from({ length: OUTPUTS * storedBytes(dtype, INPUTS) }, (_, i) => {
    const byte = hash(i) >>> 24;
    return (byte & 0x7c) === 0x7c ? byte & 0xbf : byte;
  });
}

/** A part of the check: what it is of, and its results' bits, NaN being NaN, as a number that other bits would not have. */
export interface CheckedPart {
  readonly name: string;
  readonly digest: string;
}

/** Bytes of memory that a check takes, and how it is run; the kernels' memory is new, or that of an earlier run. */
export function planCheck(
  backend: BackendSizes,
  { dtypes, kvDtypes }: KernelUses,
): { readonly bytes: number; readonly run: (kernels: Kernels) => CheckedPart[] } {
  const plan = new MemoryPlan(backend);
  const steps: readonly (readonly [string, Step])[] = [
    ["rows", planRows(plan)],
    ...dtypes.map((dtype) => [`weights of ${dtype}`, planProducts(plan, backend, dtype)] as const),
    ...kvDtypes.map((dtype) => [`keys and values of ${dtype}`, planAttention(plan, dtype)] as const),
  ];
  return {
    bytes: plan.bytes,
    run: (kernels) => steps.map(([name, step]) => ({ name, digest: digestOf(step(kernels)) })),
  };
}

/** Two sums that depend on every bit and its place. */
function digestOf(results: readonly Float32Array[]): string {
  let [a, b] = [0x811c9dc5, 0x9747b28c];
  for (const values of results) {
    const words = new Int32Array(values.buffer, values.byteOffset, values.length);
    for (let i = 0; i < words.length; i++) {
      // What a NaN's payload is, nothing promises.
      const word = (words[i] & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : words[i];
      a = Math.imul(a ^ word, 0x01000193);
      a ^= a >>> 15;
      b = Math.imul(b + word, 0x5bd1e995);
      b ^= b >>> 13;
    }
  }
  return [a, b].map((sum) => (sum >>> 0).toString(16).padStart(8, "0")).join("");
}

type Step = (kernels: Kernels) => Float32Array[];

function fill(kernels: Kernels, tensor: Tensor, values: ArrayLike<number>): void {
  kernels.f32(tensor.offset, tensor.rows * tensor.cols).set(values);
}

function valuesOf(kernels: Kernels, { offset, rows, cols }: Tensor): Float32Array {
  return kernels.f32(offset, rows * cols).slice();
}

/** Everything on rows and single values. */
function planRows(plan: MemoryPlan): Step {
  const size = { rows: 3, cols: 84 };
  const [x, y, out] = [0, 1, 2].map(() => plan.tensor(size.rows, size.cols));
  const [gain, bias, angles] = [0, 1, 2].map(() => plan.tensor(1, size.cols));
  const maxima = plan.tensor(size.rows, Math.ceil(size.cols / STRETCH));
  const list = plan.indices(size.rows);
  const count = size.rows * size.cols;
  const [extremes, ordinary] = [withExtremes(count, size.cols), ORDINARY.subarray(100, 100 + count)];
  return (kernels) => {
    const results: Float32Array[] = [];
    /** Of an operation on x, y and out, with extremes in x, or in all of them. */
    const take = (result: Tensor, operation: () => void) => {
      fill(kernels, x, extremes);
      fill(kernels, y, ordinary);
      fill(kernels, out, ordinary);
      operation();
      results.push(valuesOf(kernels, result));
    };
    fill(kernels, gain, ORDINARY.subarray(0, size.cols));
    fill(kernels, bias, ORDINARY.subarray(50, 50 + size.cols));
    kernels.i32(list.offset, list.length).set([2, 0, 1]);
    take(out, () => kernels.gatherRows(out, x, list));
    take(x, () => kernels.addRowsAt(x, list, y));
    take(x, () => kernels.add(x, y));
    take(x, () => kernels.scale(x, Math.fround(0.1)));
    take(x, () => kernels.softcap(x, 30));
    take(out, () => kernels.layerNorm(out, x, gain, bias, 1e-5));
    take(out, () => kernels.rmsNorm(out, x, gain, 1e-6));
    take(out, () => kernels.rmsNorm(out, x, { ...gain, cols: size.cols / 3 }, 1e-6));
    fill(kernels, angles, ORDINARY.subarray(7, 7 + size.cols));
    const perRow = { ...angles, rows: size.rows, cols: 28, stride: 28 };
    take(x, () => kernels.rotate(x, perRow, 28));
    for (const activation of ACTIVATIONS) {
      take(x, () => kernels.activate(x, activation));
      take(out, () => kernels.gate(out, x, y, activation));
    }
    take(maxima, () => kernels.stretchMaxima(maxima, x));
    return results;
  };
}

/** Packing a weight, embedding, and its product with every number of rows. */
function planProducts(plan: MemoryPlan, backend: BackendSizes, dtype: PackedDtype): Step {
  const offset = plan.reserve(backend.packedBytes(INPUTS, OUTPUTS, dtype));
  const weight = { dtype, offset, inFeatures: INPUTS, outFeatures: OUTPUTS };
  const isConverted = (CONVERTED_DTYPES as readonly PackedDtype[]).includes(dtype);
  const storedAs = (Object.keys(STORED_AS) as StoredDtype[]).find((stored) => STORED_AS[stored] === dtype);
  const stored = isConverted || storedAs === undefined ? "F32" : storedAs;
  const bytes = plan.reserve(OUTPUTS * storedBytes(stored, INPUTS));
  const [x, bias] = [plan.tensor(MOST_ROWS, INPUTS), plan.tensor(1, OUTPUTS)];
  const [out, embedded] = [plan.tensor(MOST_ROWS, OUTPUTS), plan.tensor(2, INPUTS)];
  const list = plan.indices(2);
  const scratch = plan.tensor(1, backend.scratchFloats(MOST_ROWS, INPUTS, dtype));
  const run = { offset: bytes, dtype: stored, firstRow: 0, rowCount: OUTPUTS };
  return (kernels) => {
    if (stored === "F32") kernels.f32(bytes, OUTPUTS * INPUTS).set(ORDINARY);
    else kernels.u8(bytes, OUTPUTS * storedBytes(stored, INPUTS)).set(blocks(stored));
    kernels.packLinear(weight, "out-in", run);
    kernels.i32(list.offset, list.length).set([OUTPUTS - 1, 3]);
    kernels.embed(embedded, list, weight);
    fill(kernels, x, withExtremes(MOST_ROWS * INPUTS, 2 * INPUTS));
    fill(kernels, bias, ORDINARY.subarray(0, OUTPUTS));
    const results = [valuesOf(kernels, embedded)];
    // A row gives the same among any others: the reference kernels compute it once.
    const counts = kernels.name === "reference" ? [MOST_ROWS] : ROW_COUNTS;
    for (const count of counts) {
      const some = rows(out, 0, count);
      kernels.linear(some, rows(x, 0, count), weight, bias, scratch);
      if (counts.length > 1) results.push(valuesOf(kernels, some));
    }
    if (counts.length === 1) {
      results.push(...ROW_COUNTS.map((count) => valuesOf(kernels, rows(out, 0, count))));
    }
    return results;
  };
}

/** K and V of 43 positions, and the queries of one alone, and of twenty together: with and without a window. */
function planAttention(plan: MemoryPlan, dtype: KvDtype): Step {
  const numBlocks = Math.ceil(POSITIONS / 16);
  const kv: KvLayout = kvLayout(
    KV_SHAPE,
    dtype,
    plan.reserve(numBlocks * kvBlockBytes(KV_SHAPE, dtype)),
    numBlocks,
  );
  const { numKvHeads, headDim } = KV_SHAPE;
  const prompt = 20;
  const [k, v] = [0, 1].map(() => plan.tensor(POSITIONS, numKvHeads * headDim));
  const [q, out] = [0, 1].map(() => plan.tensor(1 + prompt, MOST_HEADS * headDim));
  const [slots, positions] = [plan.indices(POSITIONS), plan.indices(1 + prompt)];
  const [table, sequences] = [plan.indices(numBlocks), plan.indices(4)];
  const scratch = plan.tensor(plan.scoreRows, 16 * numBlocks);
  /** Blocks are in no order. */
  const ids = Array.from({ length: numBlocks }, (_, i) => (i + 1) % numBlocks);
  const slotOf = (position: number) => 16 * ids[position >> 4] + (position & 15);
  const all = Array.from({ length: POSITIONS }, (_, i) => i);
  const columns = numKvHeads * headDim;
  // Finite: one NaN would hide all else.
  const keys = Float32Array.from({ length: POSITIONS * columns }, (_, i) => ORDINARY[i]);
  const queries = Float32Array.from({ length: q.rows * q.cols }, (_, i) => ORDINARY[i + 99] / 4);
  queries.set([NaN, 3.4e38], 3 * q.cols);
  return (kernels) => {
    fill(kernels, k, keys);
    fill(kernels, v, keys.toReversed());
    kernels.i32(slots.offset, slots.length).set(all.map(slotOf));
    kernels.writeKv(kv, 0, k, v, slots);
    kernels.i32(table.offset, table.length).set(ids);
    kernels.i32(sequences.offset, 4).set([1, table.offset, prompt, table.offset]);
    const asked = [POSITIONS - 1, ...all.slice(POSITIONS - prompt)];
    kernels.i32(positions.offset, positions.length).set(asked);
    fill(kernels, q, queries);
    const call = { kv, layer: 0, sequences, positions, scale: 0.125, scratch };
    const kinds = [
      { window: null, softcap: null },
      { window: 21, softcap: 5 },
    ];
    return HEAD_COUNTS.flatMap((numHeads) => {
      const cols = numHeads * headDim;
      return kinds.map((kind) => {
        kernels.attention({ ...call, ...kind, numHeads, q: { ...q, cols }, out: { ...out, cols } });
        return valuesOf(kernels, out);
      });
    });
  };
}
