/**
 * Reads a checkpoint's tensors, slice by slice, and packs them into the kernels' memory. Each byte is read once, in
 * the order of the file, through a small staging area: the weights never exist twice.
 */
import { LastrowError } from "../errors.js";
import type { ModelFile } from "../formats/model-files.js";
import { quoteValue } from "../formats/quote-value.js";
import type { TensorEntry } from "../formats/safetensors.js";
import { INT8_GROUP, type Kernels, type StoredDtype, type StoredRows } from "../kernels/kernels.js";
import type { MemoryPlan } from "../kernels/memory-plan.js";
import type { LoadProgress } from "../platform/platform.js";
import type { TensorRow, WeightName } from "./decoder-spec.js";
import type { WeightPlace } from "./decoder-weights.js";

/** A tensor of a checkpoint that the model uses: where it is, and the weights that are made of it. */
export interface MatchedTensor {
  readonly entry: TensorEntry & { readonly dtype: StoredDtype };
  readonly file: ModelFile;
  /** One, or several that share its columns. */
  readonly rows: readonly TensorRow[];
}

/** Usual size of the staging area: large enough for the file system, small enough for the processor's cache. */
const STAGING_BYTES = 1024 * 1024;

/** A place that slices of a file are read into. */
export interface Staging {
  readonly offset: number;
  readonly bytes: number;
}

/** Values in the widest stored row of some tensors. */
export function widestRow(rows: readonly TensorRow[]): number {
  return rows.reduce((widest, { shape }) => Math.max(widest, shape[shape.length - 1]), 0);
}

/** Reserves the staging area: room for at least one group of rows of `widest` values. */
export function planStaging(plan: MemoryPlan, widest: number): Staging {
  const bytes = Math.max(STAGING_BYTES, 4 * INT8_GROUP * widest);
  return { offset: plan.reserve(bytes), bytes };
}

/** Where rows of one stored tensor go. */
interface Destination {
  /** Rows that must be packed together: slices hold whole groups of so many, but for the last. */
  readonly rowGroup: number;
  readonly pack: (rows: StoredRows) => boolean;
}

/**
 * Fills the places from the files.
 * @throws LastrowError `weights_not_finite` naming the tensor, and what the files throw
 */
export async function loadWeights(
  tensors: readonly MatchedTensor[],
  places: ReadonlyMap<WeightName, WeightPlace>,
  kernels: Kernels,
  staging: Staging,
  onProgress?: (progress: LoadProgress) => void,
): Promise<void> {
  const filled = new Set(tensors.flatMap(({ rows }) => rows.map(({ to }) => to)));
  for (const name of places.keys()) if (!filled.has(name)) throw new Error(`weight ${name} has no tensor`);
  const inFileOrder = tensors.toSorted(
    (a, b) => compareStrings(a.file.name, b.file.name) || a.entry.begin - b.entry.begin,
  );
  const totalBytes = tensors.reduce((sum, { entry }) => sum + entry.end - entry.begin, 0);
  let loadedBytes = 0;
  for (const tensor of inFileOrder) {
    const destinations = tensor.rows.map((row) => destinationOf(row, places, kernels));
    for await (const bytes of packTensor(tensor, destinations, kernels, staging)) {
      loadedBytes += bytes;
      onProgress?.({ phase: "load", file: tensor.file.name, loadedBytes, totalBytes });
    }
  }
}

/** Packs one tensor; yields the bytes of each slice. */
async function* packTensor(
  { entry, file }: MatchedTensor,
  destinations: readonly Destination[],
  kernels: Kernels,
  staging: Staging,
): AsyncGenerator<number> {
  const { shape, dtype } = entry;
  const rowBytes = shape[shape.length - 1] * (dtype === "F32" ? 4 : 2);
  const rowCount = (entry.end - entry.begin) / rowBytes;
  const rowGroup = Math.max(...destinations.map((destination) => destination.rowGroup));
  const rowsPerSlice = rowGroup * Math.floor(staging.bytes / rowBytes / rowGroup);
  for (let firstRow = 0; firstRow < rowCount; firstRow += rowsPerSlice) {
    const count = Math.min(rowsPerSlice, rowCount - firstRow);
    const slice = kernels.u8(staging.offset, count * rowBytes);
    await file.read(entry.begin + firstRow * rowBytes, slice);
    for (const { pack } of destinations) {
      if (pack({ offset: staging.offset, dtype, firstRow, rowCount: count })) continue;
      throw new LastrowError(
        "weights_not_finite",
        `${file.name}: tensor ${quoteValue(entry.name)} holds a NaN or an infinity; every weight must be a finite number.`,
      );
    }
    yield slice.length;
  }
}

function destinationOf(
  { to, order, shape, columns }: TensorRow,
  places: ReadonlyMap<WeightName, WeightPlace>,
  kernels: Kernels,
): Destination {
  const place = places.get(to);
  if (place === undefined) throw new Error(`weight ${to} has no place in memory`);
  const within = columns && { cols: shape[shape.length - 1], from: columns.from };
  if (place.kind === "rows") {
    return { rowGroup: 1, pack: (stored) => kernels.unpackRows(place.tensor, { ...stored, within }) };
  }
  const { weight } = place;
  if (order === undefined) throw new Error(`weight ${to} has no order`);
  return {
    rowGroup: weight.dtype === "int8" && order === "in-out" ? INT8_GROUP : 1,
    pack: (stored) => kernels.packLinear(weight, order, { ...stored, within }),
  };
}

function compareStrings(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
