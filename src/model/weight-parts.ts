/**
 * From parts of stored tensors to weights: which outputs of a weight a part fills, that all parts together fill each
 * output once, and how rows of a slice get to their place.
 */
import { columns, type Kernels, type Packed, type StoredRows } from "../kernels/kernels.js";
import { type PackedDtype, storedBytes, WEIGHT_TYPES } from "../kernels/weight-types.js";
import type { TensorRow, WeightName } from "./decoder-spec.js";
import type { LinearPart, WeightPlace } from "./decoder-weights.js";
import {
  outputsTaken,
  packOutputs,
  rowsWithin,
  type Stretch,
  storedOutputs,
  type UnpackedRows,
  undoInterleaving,
} from "./stored-rows.js";

/** Where a part of a stored tensor goes. */
export interface Destination {
  /** Stored rows that must be packed together: slices hold whole groups of so many, but for the last. */
  readonly rowGroup: number;
  /** Type of the weight that it is a part of. */
  readonly dtype: PackedDtype;
  /** Puts those of the rows that are the part's into their place. */
  readonly pack: (stored: StoredRows) => Packed;
}

/**
 * Expects that every output of every weight is filled, and once.
 * @throws Error naming the weight, for a family's list that is wrong
 */
export function expectEachOutputOnce(
  parts: readonly TensorRow[],
  places: ReadonlyMap<WeightName, WeightPlace>,
): void {
  const filled = new Map<WeightName, Stretch[]>();
  for (const part of parts) {
    const stretches = filled.get(part.to) ?? [];
    filled.set(part.to, stretches);
    const { from, count } = outputsTaken(part);
    if (count < 1 || from + count > storedOutputs(part)) {
      throw new Error(`weight ${part.to}: takes outputs ${from} to ${from + count - 1} of ${part.name}`);
    }
    const { interleaved: headDim = 2 } = part;
    if (
      part.interleaved !== undefined &&
      (headDim % 2 !== 0 || from % headDim !== 0 || count % headDim !== 0)
    ) {
      throw new Error(`weight ${part.to}: outputs ${from} to ${from + count - 1} are no heads of ${headDim}`);
    }
    stretches.push({ from: part.at ?? 0, count });
  }
  for (const name of filled.keys()) {
    if (!places.has(name)) throw new Error(`weight ${name} has no place in memory`);
  }
  for (const [name, place] of places) {
    let end = 0;
    for (const { from, count } of (filled.get(name) ?? []).sort((a, b) => a.from - b.from)) {
      if (from > end) throw new Error(`weight ${name}: outputs ${end} to ${from - 1} have no tensor`);
      if (from < end) throw new Error(`weight ${name}: output ${from} has two tensors`);
      end += count;
    }
    const outputs = outputsOf(place);
    if (end !== outputs) throw new Error(`weight ${name}: has ${outputs} outputs, and tensors for ${end}`);
  }
}

function outputsOf(place: WeightPlace): number {
  if (place.kind === "linear") return place.parts.reduce((sum, { weight }) => sum + weight.outFeatures, 0);
  return place.kind === "vector" ? place.tensor.cols : place.tensor.rows;
}

/**
 * How a part of a stored tensor gets to its place.
 * @param unpacked where rows go that must become f32 first
 */
export function destinationOf(
  part: TensorRow,
  places: ReadonlyMap<WeightName, WeightPlace>,
  kernels: Kernels,
  unpacked: UnpackedRows,
): Destination {
  const place = places.get(part.to);
  if (place === undefined) throw new Error(`weight ${part.to} has no place in memory`);
  const { shape, order, at = 0, interleaved } = part;
  const taken = outputsTaken(part);
  if (place.kind === "vector") return vectorPart(part, place, taken, kernels);
  if (order === "in-out") return columnsPart(part, place, taken, kernels);
  const linear = place.kind === "linear" ? partWith(part, place.parts) : null;
  const dtype = linear === null ? "f32" : linear.weight.dtype;
  return {
    rowGroup: rowsTogether(part, dtype),
    dtype,
    pack(stored) {
      const own = rowsWithin(stored, taken, shape[1]);
      if (own === null) return "exact";
      if (interleaved !== undefined) {
        const rowBytes = storedBytes(own.dtype, shape[1]);
        undoInterleaving(kernels.u8(own.offset, own.rowCount * rowBytes), rowBytes, interleaved);
      }
      const firstRow = own.firstRow - taken.from + at;
      if (place.kind === "table") return packedIf(kernels.unpackRows(place.tensor, { ...own, firstRow }));
      if (linear === null) throw new Error(`weight ${part.to} is no matrix of a product`);
      const there = { ...own, firstRow: firstRow - linear.at };
      return packOutputs(kernels, linear.weight, there, unpacked);
    },
  };
}

/** The part of a matrix in memory that has all the outputs of a stored part. */
export function partWith(row: TensorRow, parts: readonly LinearPart[]): LinearPart {
  const { to, at = 0 } = row;
  const { count } = outputsTaken(row);
  const found = parts.find((part) => part.at <= at && at + count <= part.at + part.weight.outFeatures);
  if (found === undefined)
    throw new Error(`weight ${to}: outputs ${at} to ${at + count - 1} have no one type`);
  return found;
}

/** Stored rows that must be packed together, for a weight of this type: inputs that share scales, outputs of a head. */
export function rowsTogether({ order, interleaved = 1 }: TensorRow, dtype: PackedDtype): number {
  return order === "in-out" ? WEIGHT_TYPES[dtype].group : interleaved;
}

/** A vector is one stored row, and always whole in a slice. */
function vectorPart(
  { shape: [cols], at = 0, plus, interleaved }: TensorRow,
  { tensor }: Extract<WeightPlace, { kind: "vector" }>,
  { from, count }: Stretch,
  kernels: Kernels,
): Destination {
  const out = columns(tensor, at, count);
  const pack = (stored: StoredRows) => {
    const finite = kernels.unpackRows(out, { ...stored, within: { cols, from } });
    const values = kernels.f32(out.offset, count);
    if (interleaved !== undefined) undoInterleaving(values, 1, interleaved);
    if (plus !== undefined) for (let i = 0; i < count; i++) values[i] += plus;
    return packedIf(finite);
  };
  return { rowGroup: 1, dtype: "f32", pack };
}

/** What became of values that are f32 now. */
function packedIf(finite: boolean): Packed {
  return finite ? "exact" : "out_of_range";
}

/** Stored rows are inputs: a slice has some of them for every output, so the part must be the whole weight. */
function columnsPart(
  part: TensorRow,
  place: WeightPlace,
  { from, count }: Stretch,
  kernels: Kernels,
): Destination {
  const { to, shape, at = 0 } = part;
  if (place.kind !== "linear") throw new Error(`weight ${to} is no matrix of a product`);
  const [{ weight }] = place.parts;
  if (at !== 0 || count !== weight.outFeatures || place.parts.length > 1) {
    throw new Error(`weight ${to}: a part of it cannot be stored in-out`);
  }
  const within = { cols: shape[1], from };
  return {
    rowGroup: rowsTogether(part, weight.dtype),
    dtype: weight.dtype,
    pack: (stored) => kernels.packLinear(weight, "in-out", { ...stored, within }),
  };
}
