/**
 * Reads a checkpoint's tensors, slice by slice, and packs them into the kernels' memory. Each byte is read once, in
 * the order of the file, through a small staging area: the weights never exist twice.
 */
import { LastrowError } from "../errors.js";
import type { PlannedTensor } from "../formats/gpt2-checkpoint.js";
import { quoteValue } from "../formats/quote-value.js";
import {
  INT8_GROUP,
  type Kernels,
  type LinearWeight,
  type StoredOrder,
  type StoredRows,
  type Tensor,
} from "../kernels/kernels.js";
import type { MemoryPlan } from "../kernels/memory-plan.js";
import type { LoadProgress } from "../platform/platform.js";
import type { Gpt2Config } from "./config.js";
import type { Gpt2Weights, LayerNormWeights, LinearWeights } from "./gpt2.js";

/** Usual size of the staging area: large enough for the file system, small enough for the processor's cache. */
const STAGING_BYTES = 1024 * 1024;

/** A place that slices of a file are read into. */
export interface Staging {
  readonly offset: number;
  readonly bytes: number;
}

/** Reserves the staging area: at least one group of stored rows of the widest tensor; 16 MB at most, by the config's bounds. */
export function planStaging(plan: MemoryPlan, config: Gpt2Config): Staging {
  const widest = 4 * Math.max(3 * config.hiddenSize, config.innerSize);
  const bytes = Math.max(STAGING_BYTES, INT8_GROUP * widest);
  return { offset: plan.reserve(bytes), bytes };
}

/** Where one stored tensor goes: rows of `width` values. */
interface Destination {
  readonly width: number;
  /** Rows that must be packed together: slices hold whole groups of so many, but for the last. */
  readonly rowGroup: number;
  readonly pack: (rows: StoredRows) => boolean;
}

/**
 * Fills `weights` from the files.
 * @throws LastrowError `weights_not_finite` naming the tensor, and what the files throw
 */
export async function loadGpt2Weights(
  tensors: ReadonlyMap<string, PlannedTensor>,
  weights: Gpt2Weights,
  kernels: Kernels,
  staging: Staging,
  onProgress?: (progress: LoadProgress) => void,
): Promise<void> {
  const destinations = gpt2Destinations(weights, kernels);
  const work = [...tensors].map(([name, planned]) => {
    const destination = destinations.get(name);
    if (destination === undefined) throw new Error(`${name} has no place in memory`);
    return { planned, destination };
  });
  if (work.length !== destinations.size) throw new Error("a weight has no tensor");
  work.sort(
    (a, b) =>
      compareStrings(a.planned.file.name, b.planned.file.name) ||
      a.planned.entry.begin - b.planned.entry.begin,
  );

  const totalBytes = work.reduce((sum, { planned }) => sum + planned.entry.end - planned.entry.begin, 0);
  let loadedBytes = 0;
  for (const { planned, destination } of work) {
    for await (const bytes of packTensor(planned, destination, kernels, staging)) {
      loadedBytes += bytes;
      onProgress?.({ phase: "load", file: planned.file.name, loadedBytes, totalBytes });
    }
  }
}

/** Packs one tensor; yields the bytes of each slice. */
async function* packTensor(
  { entry, file }: PlannedTensor,
  { width, rowGroup, pack }: Destination,
  kernels: Kernels,
  staging: Staging,
): AsyncGenerator<number> {
  const rowBytes = width * (entry.dtype === "F32" ? 4 : 2);
  const rowCount = (entry.end - entry.begin) / rowBytes;
  const rowsPerSlice = rowGroup * Math.floor(staging.bytes / rowBytes / rowGroup);
  for (let firstRow = 0; firstRow < rowCount; firstRow += rowsPerSlice) {
    const count = Math.min(rowsPerSlice, rowCount - firstRow);
    const slice = kernels.u8(staging.offset, count * rowBytes);
    await file.read(entry.begin + firstRow * rowBytes, slice);
    const finite = pack({ offset: staging.offset, dtype: entry.dtype, firstRow, rowCount: count });
    if (!finite) {
      throw new LastrowError(
        "weights_not_finite",
        `${file.name}: tensor ${quoteValue(entry.name)} holds a NaN or an infinity; every weight must be a finite number.`,
      );
    }
    yield slice.length;
  }
}

/** Every tensor of a GPT-2 checkpoint, by its canonical name, and the place it goes to. */
function gpt2Destinations(weights: Gpt2Weights, kernels: Kernels): Map<string, Destination> {
  const destinations = new Map<string, Destination>();
  const plain = (name: string, tensor: Tensor) =>
    destinations.set(name, {
      width: tensor.cols,
      rowGroup: 1,
      pack: (rows) => kernels.unpackRows(tensor, rows),
    });
  const matrix = (name: string, weight: LinearWeight, order: StoredOrder) =>
    destinations.set(name, {
      width: order === "in-out" ? weight.outFeatures : weight.inFeatures,
      rowGroup: weight.dtype === "int8" && order === "in-out" ? INT8_GROUP : 1,
      pack: (rows) => kernels.packLinear(weight, order, rows),
    });
  const layerNorm = (name: string, { weight, bias }: LayerNormWeights) => {
    plain(`${name}.weight`, weight);
    plain(`${name}.bias`, bias);
  };
  // Conv1D stores (in, out).
  const conv1d = (name: string, { weight, bias }: LinearWeights) => {
    matrix(`${name}.weight`, weight, "in-out");
    plain(`${name}.bias`, bias);
  };

  matrix("wte.weight", weights.wte, "out-in");
  plain("wpe.weight", weights.wpe);
  weights.h.forEach((layer, i) => {
    layerNorm(`h.${i}.ln_1`, layer.ln_1);
    conv1d(`h.${i}.attn.c_attn`, layer.attn.c_attn);
    conv1d(`h.${i}.attn.c_proj`, layer.attn.c_proj);
    layerNorm(`h.${i}.ln_2`, layer.ln_2);
    conv1d(`h.${i}.mlp.c_fc`, layer.mlp.c_fc);
    conv1d(`h.${i}.mlp.c_proj`, layer.mlp.c_proj);
  });
  layerNorm("ln_f", weights.ln_f);
  if (weights.lm_head !== weights.wte) matrix("lm_head.weight", weights.lm_head, "out-in");
  return destinations;
}

function compareStrings(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
