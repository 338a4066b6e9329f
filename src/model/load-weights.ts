/**
 * Reads a checkpoint's tensors, slice by slice, and packs them into the kernels' memory. Each byte is read once, in
 * the order of the file, through a small staging area, some slices ahead of the one that is packed: the weights never exist
 * twice.
 */
import { LastrowError } from "../errors.js";
import type { ReadProgress } from "../formats/load-progress.js";
import type { ModelFile } from "../formats/model-files.js";
import type { TensorEntry } from "../formats/safetensors.js";
import type { Kernels, Packed, StoredRows } from "../kernels/kernels.js";
import { ALIGNMENT, type MemoryPlan } from "../kernels/memory-plan.js";
import {
  INT8_GROUP,
  STORED_AS,
  type StoredDtype,
  storedBytes,
  WEIGHT_TYPES,
} from "../kernels/weight-types.js";
import { quoteValue } from "../quote-value.js";
import type { TensorRow, WeightName } from "./decoder-spec.js";
import type { WeightPlace } from "./decoder-weights.js";
import { isPackedAsStored, type UnpackedRows } from "./stored-rows.js";
import type { StoredTensor } from "./weight-dtypes.js";
import {
  type Destination,
  destinationOf,
  expectEachOutputOnce,
  partWith,
  rowsTogether,
} from "./weight-parts.js";

/** A tensor of a checkpoint that the model uses: where it is, and the weights that are made of it. */
export interface MatchedTensor {
  readonly entry: TensorEntry & { readonly dtype: StoredDtype };
  readonly file: ModelFile;
  /** One, or several that share its outputs: parts. */
  readonly rows: readonly TensorRow[];
}

/** Usual size of a slice: large enough for the file system, small enough for the processor's cache. */
const SLICE_BYTES = 1024 * 1024;
/** Slices that are read ahead of the one that is packed, with it: reading and packing then wait for nothing but each other. */
const MAX_SLICES = 4;

/** A place that slices of a file are read into, in turns; and one for rows that become f32 before they are packed. */
export interface Staging {
  readonly offset: number;
  /** Slices that there is room for, at least 2. */
  readonly slices: number;
  /** Bytes of one slice. */
  readonly sliceBytes: number;
  readonly unpacked: UnpackedRows;
}

/**
 * Reserves the staging area: a slice has room for a group of int8's rows of `widest` values, and for any rows of the tensors
 * that must be packed together.
 * @param tensors what is known of them; none: what every model takes is planned
 */
export function planStaging(
  plan: MemoryPlan,
  widest: number,
  tensors: readonly StoredTensor[] = [],
  places: ReadonlyMap<WeightName, WeightPlace> = new Map(),
): Staging {
  let sliceBytes = Math.max(SLICE_BYTES, 4 * INT8_GROUP * widest);
  let unpackedRow = 0;
  for (const { entry, rows } of tensors) {
    const cols = entry.shape[entry.shape.length - 1];
    for (const row of rows) {
      const place = places.get(row.to);
      const dtype = place?.kind === "linear" ? partWith(row, place.parts).weight.dtype : "f32";
      sliceBytes = Math.max(sliceBytes, storedBytes(entry.dtype, rowsTogether(row, dtype) * cols));
      if (place?.kind === "linear" && !isPackedAsStored(entry.dtype, dtype)) {
        unpackedRow = Math.max(unpackedRow, cols);
      }
    }
  }
  // Slices lie at multiples of it, and begin with whatever a file stores.
  sliceBytes = ALIGNMENT * Math.ceil(sliceBytes / ALIGNMENT);
  const slices = Math.max(2, Math.floor((MAX_SLICES * SLICE_BYTES) / sliceBytes));
  const floats = unpackedRow === 0 ? 0 : Math.max(SLICE_BYTES / 4, unpackedRow);
  return {
    offset: plan.reserve(slices * sliceBytes),
    slices,
    sliceBytes,
    unpacked: { offset: plan.reserve(4 * floats), floats },
  };
}

/**
 * Fills the places from the files.
 * @returns how many tensors have a value that was rounded
 * @throws LastrowError `weights_not_finite` naming the tensor, and what the files throw
 */
export async function loadWeights(
  tensors: readonly MatchedTensor[],
  places: ReadonlyMap<WeightName, WeightPlace>,
  kernels: Kernels,
  staging: Staging,
  onProgress?: (progress: ReadProgress) => void,
): Promise<number> {
  expectEachOutputOnce(
    tensors.flatMap(({ rows }) => rows),
    places,
  );
  const inFileOrder = tensors.toSorted(
    (a, b) => compareStrings(a.file.name, b.file.name) || a.entry.begin - b.entry.begin,
  );
  const totalBytes = tensors.reduce((sum, { entry }) => sum + entry.end - entry.begin, 0);
  let loadedBytes = 0;
  const slices = slicesOf(inFileOrder, places, kernels, staging);
  const rounded = new Set<MatchedTensor>();
  const asked: { readonly slice: Slice; readonly read: Promise<void> }[] = [];
  const ask = () => {
    const { value: slice } = slices.next();
    if (slice === undefined) return;
    const read = slice.tensor.file.read(slice.begin, slice.bytes);
    // Its failure is reported at its turn, or not at all when an earlier one failed.
    read.catch(() => undefined);
    asked.push({ slice, read });
  };
  for (let i = 0; i < staging.slices; i++) ask();
  for (let next = asked.shift(); next !== undefined; next = asked.shift()) {
    const { slice } = next;
    await next.read;
    if (packSlice(slice) === "rounded") rounded.add(slice.tensor);
    // Its place is free now, and is the one that the next slice gets.
    ask();
    loadedBytes += slice.bytes.length;
    onProgress?.({ phase: "load", file: slice.tensor.file.name, loadedBytes, totalBytes });
  }
  return rounded.size;
}

/** Whole rows of one stored tensor, on their way through one place of the staging area. */
interface Slice {
  readonly tensor: MatchedTensor;
  readonly destinations: readonly Destination[];
  /** In the file. */
  readonly begin: number;
  readonly bytes: Uint8Array;
  readonly rows: StoredRows;
}

/** All slices of some tensors, in the order in which they are read. */
function* slicesOf(
  tensors: readonly MatchedTensor[],
  places: ReadonlyMap<WeightName, WeightPlace>,
  kernels: Kernels,
  staging: Staging,
): Generator<Slice, undefined> {
  let turn = 0;
  for (const tensor of tensors) {
    const { shape, dtype, begin, end } = tensor.entry;
    const destinations = tensor.rows.map((row) => destinationOf(row, places, kernels, staging.unpacked));
    const rowBytes = storedBytes(dtype, shape[shape.length - 1]);
    const numRows = (end - begin) / rowBytes;
    const rowGroup = destinations.reduce((most, destination) => Math.max(most, destination.rowGroup), 1);
    const rowsPerSlice = rowGroup * Math.floor(staging.sliceBytes / rowBytes / rowGroup);
    if (destinations.some((destination) => rowGroup % destination.rowGroup !== 0)) {
      throw new Error(`parts of ${tensor.entry.name} are cut into groups that do not fit together`);
    }
    if (rowsPerSlice === 0)
      throw new Error(`a slice has no room for ${rowGroup} rows of ${tensor.entry.name}`);
    for (let firstRow = 0; firstRow < numRows; firstRow += rowsPerSlice) {
      const rowCount = Math.min(rowsPerSlice, numRows - firstRow);
      const offset = staging.offset + (turn % staging.slices) * staging.sliceBytes;
      turn += 1;
      yield {
        tensor,
        destinations,
        begin: begin + firstRow * rowBytes,
        bytes: kernels.u8(offset, rowCount * rowBytes),
        rows: { offset, dtype, firstRow, rowCount },
      };
    }
  }
}

/** @throws LastrowError `weights_not_finite` */
function packSlice({ tensor: { entry, file }, destinations, rows }: Slice): Packed {
  let packed: Packed = "exact";
  // A part takes of a slice what is its own, which may be nothing.
  for (const { pack, dtype } of destinations) {
    const part = pack(rows);
    if (part === "rounded") packed = part;
    if (part !== "out_of_range") continue;
    const { elementBytes, activationMax } = WEIGHT_TYPES[dtype];
    const isNarrower =
      (elementBytes === 2 && activationMax === null && STORED_AS[entry.dtype] !== dtype) || dtype === "int4";
    throw new LastrowError(
      "weights_not_finite",
      `${file.name}: tensor ${quoteValue(entry.name)} holds a NaN or an infinity${isNarrower ? `, or a number beyond ${dtype}` : ""}; every weight must be a finite number${isNarrower ? ` of ${dtype}, or the dtype another one` : ""}.`,
    );
  }
  return packed;
}

function compareStrings(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
