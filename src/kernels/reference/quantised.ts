/**
 * Weights of quantised files, as docs/numerics.md defines them: groups of 32 inputs of a column, each with a scale, steps, an
 * offset and integers (blocks.ts), kept as they are. Activations are quantised in the same groups, row by row, so that a
 * group's products are added as integers, exactly.
 */
import type { LinearWeight, Packed, StoredOrder, StoredRows } from "../kernels.js";
import { isStoredFloat, type PackedDtype, STORED_TYPES, WEIGHT_TYPES } from "../weight-types.js";
import { GROUP, type Group, groupValue, readGroups } from "./blocks.js";
import { QUANTISED_HEADER_BYTES, quantisedColumnBytes } from "./column-bytes.js";
import { quantised, scaleOf } from "./int8.js";
import type { PackedWeight } from "./packed-weight.js";

const { fround } = Math;

/** Of a group: its scale, its offset, its steps, its integers. */
const AT = { scale: 0, offset: 4, steps: 8, integers: QUANTISED_HEADER_BYTES };
const GROUP_BYTES = AT.integers + GROUP;

/** Types whose groups have an offset. */
const WITH_OFFSET: ReadonlySet<PackedDtype> = new Set(["q4_1", "q5_1", "q4_k", "q5_k", "int4"]);

export class QuantisedWeight implements PackedWeight {
  readonly #buffer: ArrayBuffer;
  readonly #weight: LinearWeight;
  readonly #hasOffset: boolean;
  readonly #groupsOfColumn: number;
  /** One view over all columns: one for each would take longer than the multiplications. */
  readonly #view: DataView;
  readonly #bytes: Int8Array;

  constructor(buffer: ArrayBuffer, weight: LinearWeight) {
    const { offset, inFeatures, outFeatures, dtype } = weight;
    const bytes = outFeatures * quantisedColumnBytes(inFeatures);
    this.#buffer = buffer;
    this.#weight = weight;
    this.#hasOffset = WITH_OFFSET.has(dtype);
    this.#groupsOfColumn = Math.ceil(inFeatures / GROUP);
    this.#view = new DataView(buffer, offset, bytes);
    this.#bytes = new Int8Array(buffer, offset, bytes);
  }

  pack(_order: StoredOrder, { offset, dtype, firstRow, rowCount }: StoredRows): Packed {
    if (isStoredFloat(dtype)) throw new Error(`${this.#weight.dtype} is not made of ${dtype}`);
    const { values, bytes } = STORED_TYPES[dtype];
    let packed: Packed = "exact";
    let at = offset;
    for (let r = 0; r < rowCount; r++) {
      for (let k = 0; k < this.#weight.inFeatures; k += values, at += bytes) {
        readGroups(dtype, new Uint8Array(this.#buffer, at, bytes)).forEach((group, i) => {
          this.storeGroup(firstRow + r, k / GROUP + i, group);
          if (!Number.isFinite(group.scale + (group.offset ?? 0))) packed = "out_of_range";
        });
      }
    }
    return packed;
  }

  /** Puts group `g` of column `n` into its place. */
  storeGroup(n: number, g: number, { scale, offset, steps, integers }: Group): void {
    const at = this.#groupAt(n, g);
    this.#view.setFloat32(at + AT.scale, scale, true);
    this.#view.setFloat32(at + AT.offset, offset ?? 0, true);
    this.#bytes.set(steps, at + AT.steps);
    this.#bytes.set(integers, at + AT.integers);
  }

  column(out: Float32Array, n: number): void {
    for (let k = 0; k < out.length; k++) {
      out[k] = groupValue(this.#group(n, Math.floor(k / GROUP)), k % GROUP);
    }
  }

  /** Group after group. */
  multiply(out: Float32Array, x: Float32Array): void {
    const largest = WEIGHT_TYPES[this.#weight.dtype].activationMax ?? 0;
    const groups = Array.from({ length: this.#groupsOfColumn }, (_, g) => {
      const group = x.subarray(g * GROUP, (g + 1) * GROUP);
      const scale = scaleOf(group, largest);
      const integers = Int32Array.from(group, (value) => quantised(value, scale, largest));
      const sum = integers.reduce((total, integer) => total + integer, 0);
      return { scale, integers, scaledSum: fround(sum * scale) };
    });
    for (let n = 0; n < out.length; n++) {
      let total = 0;
      for (let g = 0; g < groups.length; g++) {
        const { scale, integers, scaledSum } = groups[g];
        const at = this.#groupAt(n, g);
        const sum = this.#sum(at, integers);
        const weightScale = this.#view.getFloat32(at + AT.scale, true);
        total = fround(total + fround(fround(sum) * fround(weightScale * scale)));
        if (this.#hasOffset) {
          const offset = this.#view.getFloat32(at + AT.offset, true);
          total = fround(total + fround(offset * scaledSum));
        }
      }
      out[n] = total;
    }
  }

  /** Σ step · weight · activation of the group at `at`: an exact integer. */
  #sum(at: number, activations: Int32Array): number {
    const bytes = this.#bytes;
    const weights = at + AT.integers;
    const halves = [0, 0];
    for (let i = 0; i < activations.length; i++) halves[i >> 4] += bytes[weights + i] * activations[i];
    return bytes[at + AT.steps] * halves[0] + bytes[at + AT.steps + 1] * halves[1];
  }

  #group(n: number, g: number): Group {
    const at = this.#groupAt(n, g);
    return {
      scale: this.#view.getFloat32(at + AT.scale, true),
      offset: this.#hasOffset ? this.#view.getFloat32(at + AT.offset, true) : null,
      steps: [this.#bytes[at + AT.steps], this.#bytes[at + AT.steps + 1]],
      integers: this.#bytes.subarray(at + AT.integers, at + GROUP_BYTES),
    };
  }

  #groupAt(n: number, g: number): number {
    return GROUP_BYTES * (n * this.#groupsOfColumn + g);
  }
}
