/**
 * A checkpoint's tensors against a family's list: every weight present, of a dtype that is read, and of exactly the shape
 * that the config asks for. Reads no data.
 */
import { LastrowError, modelFileInvalid } from "../errors.js";
import type { Checkpoint, CheckpointTensor } from "../formats/checkpoint.js";
import { isStoredFloat, STORED_TYPES, type StoredDtype, type StoredFloat } from "../kernels/weight-types.js";
import type { DecoderSpec, TensorRow } from "../model/decoder-spec.js";
import type { MatchedTensor } from "../model/load-weights.js";
import { quoteValue } from "../quote-value.js";
import type { StoredFamily } from "./architecture.js";

/** Those that safetensors may store weights in. GGUF has more, and its reader refuses others. */
const FLOAT_DTYPES: readonly StoredFloat[] = ["F32", "F16", "BF16"];

export interface MatchedCheckpoint {
  /** As the config states it, but for `tied`: the head is the embedding only where the checkpoint has no head of its own. */
  readonly decoder: DecoderSpec;
  /** Every weight that the model uses, by canonical name (`h.0.attn.c_attn.weight`), in the checkpoint's order. */
  readonly tensors: ReadonlyMap<string, MatchedTensor>;
  /** Number of parameters: the elements of all `tensors`, so that a tied head counts once. */
  readonly parameters: number;
}

/**
 * Finds and checks every weight. A name may have a prefix of the family (`transformer.`) or not.
 *
 * @throws LastrowError `model_file_invalid` for a weight that is missing, comes twice or has another shape than the config
 *   asks for, and for a tensor that is no part of the family; `model_unsupported` for a dtype other than F32, F16 and BF16
 */
export function matchTensors(
  checkpoint: Checkpoint,
  architecture: StoredFamily,
  stated: DecoderSpec,
): MatchedCheckpoint {
  const stored = byCanonicalName(checkpoint, architecture.prefixes);
  const expected = rowsByName(architecture.tensors(stated));
  const fileNames = checkpoint.files.map((file) => file.name).join(", ");
  for (const [name, [{ shape, optional }]] of expected) {
    if (optional !== true && !stored.has(name)) {
      throw modelFileInvalid(
        `${fileNames}: tensor ${quoteValue(name)} of shape ${quoteValue(shape)} is missing.`,
      );
    }
  }
  const tensors = new Map<string, MatchedTensor>();
  let parameters = 0;
  let hasHead = false;
  for (const [name, tensor] of stored) {
    const rows = expected.get(name);
    if (rows === undefined) {
      if (architecture.ignored.test(name)) continue;
      const layers = stated.layers.length;
      throw modelFileInvalid(
        `${tensor.file.name}: tensor ${quoteValue(tensor.entry.name)} does not belong to ${architecture.name} with ` +
          `${layers} ${layers === 1 ? "layer" : "layers"}.`,
      );
    }
    tensors.set(name, { ...checked(tensor, rows[0].shape), rows });
    hasHead ||= rows.some(({ to }) => to === "head");
    parameters += rows[0].shape.reduce((product, size) => product * size, 1);
  }
  return { decoder: { ...stated, tied: !hasHead }, tensors, parameters };
}

function rowsByName(rows: readonly TensorRow[]): Map<string, TensorRow[]> {
  const byName = new Map<string, TensorRow[]>();
  for (const row of rows) {
    const others = byName.get(row.name);
    if (others === undefined) byName.set(row.name, [row]);
    else others.push(row);
  }
  return byName;
}

/** In the checkpoint's order. */
function byCanonicalName(
  { tensors }: Checkpoint,
  prefixes: readonly string[],
): Map<string, CheckpointTensor> {
  const found = new Map<string, CheckpointTensor>();
  for (const tensor of tensors.values()) {
    const { name } = tensor.entry;
    const canonical = name.slice(prefixes.find((prefix) => name.startsWith(prefix))?.length ?? 0);
    const other = found.get(canonical);
    if (other !== undefined) {
      throw modelFileInvalid(
        `Tensor ${quoteValue(canonical)} comes twice: ${quoteValue(other.entry.name)} in ${other.file.name} and ` +
          `${quoteValue(name)} in ${tensor.file.name}.`,
      );
    }
    found.set(canonical, tensor);
  }
  return found;
}

function checked({ entry, file }: CheckpointTensor, shape: TensorRow["shape"]): Omit<MatchedTensor, "rows"> {
  const tensor = `${file.name}: tensor ${quoteValue(entry.name)}`;
  const { dtype } = entry;
  if (!isWeightDtype(dtype)) {
    throw new LastrowError(
      "model_unsupported",
      `${tensor} has dtype ${dtype}; weights are read as ${FLOAT_DTYPES.join(", ")}.`,
    );
  }
  if (!isStoredFloat(dtype) && shape.length !== 2) {
    throw modelFileInvalid(`${tensor} has dtype ${dtype}, which only matrices may have.`);
  }
  if (entry.shape.length !== shape.length || shape.some((size, i) => size !== entry.shape[i])) {
    throw modelFileInvalid(
      `${tensor} has shape ${quoteValue(entry.shape)}, but the config asks for ${quoteValue(shape)}.`,
    );
  }
  return { entry: { ...entry, dtype }, file };
}

function isWeightDtype(dtype: string): dtype is StoredDtype {
  return Object.hasOwn(STORED_TYPES, dtype);
}
