/**
 * What is done to stored rows between the file and the kernels: the outputs that a part means are picked, rows that are stored by pairs
 * are put in their order, and quantised rows become f32 where their weight has another type.
 */
import type { Kernels, LinearWeight, Packed, StoredRows } from "../kernels/kernels.js";
import {
  isStoredFloat,
  type PackedDtype,
  STORED_AS,
  type StoredDtype,
  storedBytes,
} from "../kernels/weight-types.js";
import type { TensorRow } from "./decoder-spec.js";

/** Numbers of rows, or of elements. */
export interface Stretch {
  readonly from: number;
  readonly count: number;
}

/** Outputs of a stored tensor: columns of `in-out`, rows of `out-in` and of tables, elements of vectors. */
export function storedOutputs({ shape, order }: TensorRow): number {
  return order === "in-out" ? shape[1] : shape[0];
}

/** Those of them that are the part's. */
export function outputsTaken(part: TensorRow): Stretch {
  return part.outputs ?? { from: 0, count: storedOutputs(part) };
}

/** Those of the stored rows, of `cols` values each, whose numbers are within a stretch; null: none. */
export function rowsWithin(stored: StoredRows, { from, count }: Stretch, cols: number): StoredRows | null {
  const first = Math.max(stored.firstRow, from);
  const end = Math.min(stored.firstRow + stored.rowCount, from + count);
  if (first >= end) return null;
  return partOf(stored, first - stored.firstRow, end - first, cols);
}

function partOf(stored: StoredRows, skipped: number, rowCount: number, cols: number): StoredRows {
  const offset = stored.offset + storedBytes(stored.dtype, skipped * cols);
  return { ...stored, offset, firstRow: stored.firstRow + skipped, rowCount };
}

/**
 * Rows of whole heads that are stored by pairs, in their order: of each `headDim` of them, row 2i becomes row i and row
 * 2i + 1 becomes row i + headDim / 2. Done in place, so once.
 * @param rows one after the other, of `size` elements each: bytes of stored rows, or floats of a vector (size 1)
 */
export function undoInterleaving(rows: Uint8Array | Float32Array, size: number, headDim: number): void {
  for (let first = 0; first < rows.length; first += headDim * size) {
    const head = rows.slice(first, first + headDim * size);
    for (let row = 0; row < headDim; row++) {
      const to = row % 2 === 0 ? row / 2 : (row - 1 + headDim) / 2;
      rows.set(head.subarray(row * size, (row + 1) * size), first + to * size);
    }
  }
}

/** Whether packing takes stored rows of this type to a weight of that one itself; otherwise they become f32 first. */
export function isPackedAsStored(stored: StoredDtype, dtype: PackedDtype): boolean {
  return isStoredFloat(stored) || STORED_AS[stored] === dtype;
}

/** Memory for rows of quantised weights on their way to another type: room for at least one row as f32. */
export interface UnpackedRows {
  readonly offset: number;
  readonly floats: number;
}

/** `Kernels.packLinear` of rows that are outputs, whatever they are stored as. */
export function packOutputs(
  kernels: Kernels,
  weight: LinearWeight,
  stored: StoredRows,
  { offset, floats }: UnpackedRows,
): Packed {
  if (isPackedAsStored(stored.dtype, weight.dtype)) return kernels.packLinear(weight, "out-in", stored);
  const cols = weight.inFeatures;
  const rowsAtOnce = Math.floor(floats / cols);
  let packed: Packed = "exact";
  for (let done = 0; done < stored.rowCount; done += rowsAtOnce) {
    const some = partOf(stored, done, Math.min(rowsAtOnce, stored.rowCount - done), cols);
    const { rowCount, firstRow } = some;
    const unpacked = { offset, rows: rowCount, cols, stride: cols };
    if (!kernels.unpackRows(unpacked, { ...some, firstRow: 0 })) return "out_of_range";
    const part = kernels.packLinear(weight, "out-in", { offset, dtype: "F32", firstRow, rowCount });
    if (part === "out_of_range") return part;
    if (part === "rounded") packed = part;
  }
  return packed;
}
