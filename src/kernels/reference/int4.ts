/**
 * From values to int4, as docs/numerics.md defines it: the layout of Q4_K, with the best scales and minimums that a search
 * over few candidates finds. A group of 32 is `scale · q − minimum` with q from 0 to 15; scale and minimum are integers from
 * 0 to 63 times what up to eight groups share, an f16 value each.
 *
 * Every operation is one of f32; sums run in four lanes, value i in lane i mod 4, which are then added in pairs. The
 * WebAssembly kernels take the same steps.
 */
import type { LinearWeight, Packed, StoredOrder, StoredRows } from "../kernels.js";
import { INT4_GROUP } from "../weight-types.js";
import { GROUP, type Group } from "./blocks.js";
import { f16ToF32, f32ToF16 } from "./half.js";
import type { PackedWeight, StoredValues } from "./packed-weight.js";
import { QuantisedWeight } from "./quantised.js";

const { fround } = Math;

/** Largest integer of a weight, and of a scale or a minimum. */
const LARGEST = 15;
const LARGEST_STEP = 63;
/** The range of a group is divided by 12, 12.25, 12.5 … 15.5 for the candidates' first scales. */
const CANDIDATES = 15;

/** Kept and multiplied as the quantised types of files; only what it is made of differs. */
export class Int4Weight implements PackedWeight {
  readonly #size: Pick<LinearWeight, "inFeatures" | "outFeatures">;
  readonly #kept: QuantisedWeight;

  constructor(buffer: ArrayBuffer, weight: LinearWeight) {
    this.#size = weight;
    this.#kept = new QuantisedWeight(buffer, weight);
  }

  column(out: Float32Array, n: number): void {
    this.#kept.column(out, n);
  }

  multiply(out: Float32Array, x: Float32Array): void {
    this.#kept.multiply(out, x);
  }

  pack(order: StoredOrder, { firstRow, rowCount }: StoredRows, values: StoredValues): Packed {
    const { inFeatures: K, outFeatures: N } = this.#size;
    const [fromK, toK] = order === "in-out" ? [firstRow, firstRow + rowCount] : [0, K];
    const [fromN, toN] = order === "in-out" ? [0, N] : [firstRow, firstRow + rowCount];
    let packed: Packed = "rounded";
    for (let n = fromN; n < toN; n++) {
      for (let k = fromK; k < toK; k += INT4_GROUP) {
        const together = Float32Array.from({ length: Math.min(INT4_GROUP, toK - k) }, (_, i) =>
          order === "in-out" ? values(k + i - fromK, n) : values(n - fromN, k + i),
        );
        const groups = int4Groups(together);
        if (groups === null) packed = "out_of_range";
        groups?.forEach((group, g) => {
          this.#kept.storeGroup(n, k / GROUP + g, group);
        });
      }
    }
    return packed;
  }
}

/** What is best for a group by itself: f32, both at least 0. */
interface Fit {
  readonly scale: number;
  readonly minimum: number;
}

/**
 * The groups of at most `INT4_GROUP` values, filled up with zeros to whole groups.
 * @returns null where a value, or what groups would share, is no finite f16 or f32
 */
function int4Groups(values: Float32Array): Group[] | null {
  if (!values.every(Number.isFinite)) return null;
  const groups = Array.from({ length: Math.ceil(values.length / GROUP) }, (_, g) => {
    const group = new Float32Array(GROUP);
    group.set(values.subarray(g * GROUP, (g + 1) * GROUP));
    return group;
  });
  const fits = groups.map(fitted);
  const scale = shared(Math.max(...fits.map((fit) => fit.scale)));
  const minimum = shared(Math.max(...fits.map((fit) => fit.minimum)));
  if (!Number.isFinite(scale) || !Number.isFinite(minimum)) return null;
  return groups.map((group, g) => nearestGroup(group, fits[g], scale, minimum));
}

/** The least f16 value that 63 times is no less, as far as f32 division can tell. */
function shared(largest: number): number {
  const wanted = fround(largest / LARGEST_STEP);
  const bits = f32ToF16(wanted);
  return f16ToF32(f16ToF32(bits) < wanted ? bits + 1 : bits);
}

/**
 * Scale and minimum by least squares, for the integers that each of some scales gives; those that leave least.
 * What is taken away is at least 0, so a group's least value counts as at most 0.
 */
function fitted(values: Float32Array): Fit {
  let [least, largest] = [0, values[0]];
  for (const value of values) {
    least = Math.min(least, value);
    largest = Math.max(largest, value);
  }
  const range = fround(largest - least);
  // Values from the least on.
  const above = values.map((value) => value - least);
  const ofValues = sumOf(above);
  let best = { gain: Number.NEGATIVE_INFINITY, scale: fround(range / LARGEST), minimum: -least };
  const [integers, squares, products] = [0, 1, 2].map(() => new Float32Array(GROUP));
  for (let c = 0; c < CANDIDATES; c++) {
    const factor = fround((12 + c / 4) / range);
    for (let i = 0; i < GROUP; i++) {
      const q = Math.min(nearest(fround(above[i] * factor)), LARGEST);
      integers[i] = q;
      squares[i] = q * q;
      products[i] = q * above[i];
    }
    const [ofIntegers, ofSquares, ofProducts] = [sumOf(integers), sumOf(squares), sumOf(products)];
    const spread = GROUP * ofSquares - ofIntegers * ofIntegers;
    let scale = fround(fround(fround(GROUP * ofProducts) - fround(ofIntegers * ofValues)) / spread);
    let start = fround(fround(ofValues - fround(scale * ofIntegers)) / GROUP);
    // How much less the squares of what is left are than those of the values.
    let gain = fround(fround(scale * ofProducts) + fround(start * ofValues));
    if (spread === 0 || start > -least) {
      // The minimum would be below 0: it is 0, and the scale alone is chosen.
      start = -least;
      const rest = fround(ofProducts - fround(start * ofIntegers));
      scale = fround(rest / ofSquares);
      const ofStart = fround(fround(2 * fround(start * ofValues)) - fround(GROUP * fround(start * start)));
      gain = fround(ofStart + fround(scale * rest));
    }
    if (gain > best.gain) best = { gain, scale, minimum: fround(-least - start) };
  }
  return { scale: Math.max(best.scale, 0), minimum: Math.max(best.minimum, 0) };
}

/** Of the nine nearest pairs of steps the one whose values are nearest to the group's, the first of several. */
function nearestGroup(values: Float32Array, fit: Fit, sharedScale: number, sharedMinimum: number): Group {
  const step = stepOf(fit.scale, sharedScale);
  const minimum = stepOf(fit.minimum, sharedMinimum);
  let least = Number.POSITIVE_INFINITY;
  let best: Group | null = null;
  const integers = new Int8Array(GROUP);
  const squares = new Float32Array(GROUP);
  for (let s = Math.max(step - 1, 0); s <= Math.min(step + 1, LARGEST_STEP); s++) {
    const scale = sharedScale * s;
    const factor = scale === 0 ? 0 : fround(1 / scale);
    for (let m = Math.max(minimum - 1, 0); m <= Math.min(minimum + 1, LARGEST_STEP); m++) {
      const taken = sharedMinimum * m;
      for (let i = 0; i < GROUP; i++) {
        const q = nearest(fround(fround(values[i] + taken) * factor));
        integers[i] = Math.min(Math.max(q, 0), LARGEST);
        const left = fround(fround(fround(scale * integers[i]) - taken) - values[i]);
        squares[i] = left * left;
      }
      const error = sumOf(squares);
      if (error < least) {
        least = error;
        best = { scale, steps: [1, 1], offset: -taken, integers: integers.slice() };
      }
    }
  }
  if (best === null) throw new Error("a group of finite values has an error");
  return best;
}

/** The integer that a scale or minimum is nearest to, times what is shared. */
function stepOf(value: number, sharedValue: number): number {
  if (sharedValue === 0) return 0;
  return Math.min(nearest(fround(value / sharedValue)), LARGEST_STEP);
}

/** To the nearest integer, ties to even. */
function nearest(value: number): number {
  return value + 1.5 * 2 ** 52 - 1.5 * 2 ** 52;
}

/** Σ of a group in four lanes, then (0 + 1) + (2 + 3). */
function sumOf(values: Float32Array): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < GROUP; i += 4) {
    a = fround(a + values[i]);
    b = fround(b + values[i + 1]);
    c = fround(c + values[i + 2]);
    d = fround(d + values[i + 3]);
  }
  return fround(fround(a + b) + fround(c + d));
}
