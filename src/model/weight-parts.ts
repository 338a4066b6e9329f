/**
 * From parts of stored tensors to weights: which outputs of a weight a part fills, that all parts together fill each
 * output once, and how rows of a slice get to their place.
 */
import { columns, type Kernels, type Packed, type StoredRows } from "../kernels/kernels.js";
import { type PackedDtype, storedBytes, WEIGHT_TYPES } from "../kernels/weight-types.js";
import type { TensorRow, WeightName } from "./decoder-spec.js";
import type { WeightPlace } from "./decoder-weights.js";

/** Where a part of a stored tensor goes. */
export interface Destination {
  /** Stored rows that must be packed together: slices hold whole groups of so many, but for the last. */
  readonly rowGroup: number;
  /** Type of the weight that it is a part of. */
  readonly dtype: PackedDtype;
  /** Puts those of the rows that are the part's into their place. */
  readonly pack: (stored: StoredRows) => Packed;
}

/** A stretch of outputs. */
interface Stretch {
  readonly from: number;
  readonly count: number;
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

/** Outputs of a stored tensor: columns of `in-out`, rows of `out-in` and of tables, elements of vectors. */
function storedOutputs({ shape, order }: TensorRow): number {
  return order === "in-out" ? shape[1] : shape[0];
}

/** Those of them that are the part's. */
function outputsTaken(part: TensorRow): Stretch {
  return part.outputs ?? { from: 0, count: storedOutputs(part) };
}

function outputsOf(place: WeightPlace): number {
  if (place.kind === "linear") return place.weight.outFeatures;
  return place.kind === "vector" ? place.tensor.cols : place.tensor.rows;
}

/** How a part of a stored tensor gets to its place. */
export function destinationOf(
  part: TensorRow,
  places: ReadonlyMap<WeightName, WeightPlace>,
  kernels: Kernels,
): Destination {
  const place = places.get(part.to);
  if (place === undefined) throw new Error(`weight ${part.to} has no place in memory`);
  const { shape, order, at = 0 } = part;
  const taken = outputsTaken(part);
  if (place.kind === "vector") return vectorPart(part, place, taken, kernels);
  if (order === "in-out") return columnsPart(part, place, taken, kernels);
  return {
    rowGroup: 1,
    dtype: place.kind === "linear" ? place.weight.dtype : "f32",
    pack(stored) {
      const own = rowsWithin(stored, taken, shape[1]);
      if (own === null) return "exact";
      const there = { ...own, firstRow: own.firstRow - taken.from + at };
      return place.kind === "table"
        ? packedIf(kernels.unpackRows(place.tensor, there))
        : kernels.packLinear(place.weight, "out-in", there);
    },
  };
}

/** Those of the stored rows whose numbers are within a stretch; null: none. */
function rowsWithin(stored: StoredRows, { from, count }: Stretch, cols: number): StoredRows | null {
  const first = Math.max(stored.firstRow, from);
  const end = Math.min(stored.firstRow + stored.rowCount, from + count);
  if (first >= end) return null;
  const skipped = storedBytes(stored.dtype, (first - stored.firstRow) * cols);
  return { ...stored, offset: stored.offset + skipped, firstRow: first, rowCount: end - first };
}

/** A vector is one stored row, and always whole in a slice. */
function vectorPart(
  { shape: [cols], at = 0, plus }: TensorRow,
  { tensor }: Extract<WeightPlace, { kind: "vector" }>,
  { from, count }: Stretch,
  kernels: Kernels,
): Destination {
  const out = columns(tensor, at, count);
  const pack = (stored: StoredRows) => {
    const finite = kernels.unpackRows(out, { ...stored, within: { cols, from } });
    if (plus !== undefined) {
      const values = kernels.f32(out.offset, count);
      for (let i = 0; i < count; i++) values[i] += plus;
    }
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
  { to, shape, at = 0 }: TensorRow,
  place: WeightPlace,
  { from, count }: Stretch,
  kernels: Kernels,
): Destination {
  if (place.kind !== "linear") throw new Error(`weight ${to} is no matrix of a product`);
  const { weight } = place;
  if (at !== 0 || count !== weight.outFeatures) {
    throw new Error(`weight ${to}: a part of it cannot be stored in-out`);
  }
  const within = { cols: shape[1], from };
  return {
    rowGroup: WEIGHT_TYPES[weight.dtype].group,
    dtype: weight.dtype,
    pack: (stored) => kernels.packLinear(weight, "in-out", { ...stored, within }),
  };
}
