/**
 * All tensors of a model folder, wherever they lie: in `model.safetensors`, or in shards that
 * `model.safetensors.index.json` lists. Owns the open files until `close()`.
 *
 * What always holds: each tensor is in exactly one file, and going through `tensors` in order reads every file forwards,
 * one file after another.
 */
import { LastrowError, modelFileInvalid } from "../errors.js";
import { quoteValue } from "../quote-value.js";
import { JSON_LIMITS, readJsonObject } from "./json-file.js";
import type { ModelFile, ModelFiles } from "./model-files.js";
import { ReopenedFile } from "./reopened-file.js";
import { readSafetensorsHeader, type TensorEntry } from "./safetensors.js";
import { readWeightMap, WEIGHTS, WEIGHTS_INDEX } from "./shard-index.js";

/** A tensor and the file that it is in. */
export interface CheckpointTensor {
  readonly entry: TensorEntry;
  readonly file: ModelFile;
}

export interface Checkpoint {
  /** By the name in the file, file after file and within a file in ascending order of offset. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** The files that hold the tensors. */
  readonly files: readonly ModelFile[];
  /** Closes the files. Further calls do nothing. */
  close(): Promise<void>;
}

/**
 * Opens the weights of a model and reads the headers, no data. As in Hugging Face transformers, `model.safetensors` is
 * taken if it is there, and the index otherwise.
 *
 * The index and the shards must agree: a tensor that the index maps to a shard must be in it, and a tensor in a shard
 * must be in the index, so that a forgotten, outdated or foreign shard is found here. (`metadata.total_size` is not
 * looked at; writers disagree on what it counts.)
 *
 * Shards are closed again after their headers were read and opened a second time at the first read of their data: a
 * browser lets only a few downloads from one host be open at a time.
 *
 * @throws LastrowError `model_not_found` when the folder has neither file or a shard is missing; `model_file_invalid`
 *   when a file is not sound (see `readSafetensorsHeader`), a shard name is not a plain file name, the index and the
 *   shards disagree, or one tensor is in two shards. Nothing stays open then.
 */
export async function openCheckpoint(files: ModelFiles): Promise<Checkpoint> {
  const single = await files.open(WEIGHTS);
  return single === null ? openShards(files) : openSingle(single);
}

async function openSingle(file: ModelFile): Promise<Checkpoint> {
  try {
    const tensors = new Map<string, CheckpointTensor>();
    await addTensors(tensors, file);
    return checkpointOf(tensors, [file]);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openShards(files: ModelFiles): Promise<Checkpoint> {
  const index = await readJsonObject(files, WEIGHTS_INDEX, JSON_LIMITS.tensors);
  if (index === null) {
    throw new LastrowError(
      "model_not_found",
      `${files.label} has no weights: expected ${WEIGHTS}, or shards with ${WEIGHTS_INDEX} (other formats, such as ` +
        "PyTorch's pytorch_model.bin, are not read).",
    );
  }
  const weightMap = readWeightMap(index.json, index.name);
  const shardNames = [...new Set(weightMap.values())].sort();
  const tensors = new Map<string, CheckpointTensor>();
  const shards: ModelFile[] = [];
  for (const shardName of shardNames) {
    const header = await files.open(shardName);
    if (header === null) {
      throw new LastrowError(
        "model_not_found",
        `${files.label} has no ${shardName}, which ${index.name} names.`,
      );
    }
    try {
      const data = new ReopenedFile(files, shardName, header);
      const names = await addTensors(tensors, header, data);
      const unlisted = names.find((name) => weightMap.get(name) !== shardName);
      if (unlisted !== undefined) {
        throw modelFileInvalid(
          `${header.name} holds tensor ${quoteValue(unlisted)}, but ${index.name} does not place it there.`,
        );
      }
      shards.push(data);
    } finally {
      await header.close();
    }
  }
  checkAllFound(weightMap, tensors, index.name);
  return checkpointOf(tensors, shards);
}

/**
 * Reads the header of `headerFile` and adds its tensors.
 * @returns the tensors' names as the file has them
 */
async function addTensors(
  tensors: Map<string, CheckpointTensor>,
  headerFile: ModelFile,
  dataFile: ModelFile = headerFile,
): Promise<string[]> {
  const header = await readSafetensorsHeader(headerFile);
  for (const entry of header.tensors.values()) {
    const other = tensors.get(entry.name);
    if (other !== undefined) {
      throw modelFileInvalid(
        `Tensor ${quoteValue(entry.name)} comes twice: in ${other.file.name} and in ${headerFile.name}.`,
      );
    }
    tensors.set(entry.name, { entry, file: dataFile });
  }
  return [...header.tensors.keys()];
}

function checkAllFound(
  weightMap: ReadonlyMap<string, string>,
  tensors: ReadonlyMap<string, CheckpointTensor>,
  indexName: string,
): void {
  for (const [tensor, shard] of weightMap) {
    if (!tensors.has(tensor)) {
      throw modelFileInvalid(
        `${indexName} places tensor ${quoteValue(tensor)} in ${shard}, but it is not there.`,
      );
    }
  }
}

/** Tensors and the files that they are in, which it owns from now on. */
export function checkpointOf(
  tensors: ReadonlyMap<string, CheckpointTensor>,
  files: readonly ModelFile[],
): Checkpoint {
  let closing: Promise<void> | undefined;
  return {
    tensors,
    files,
    close() {
      closing ??= Promise.all(files.map((file) => file.close())).then(() => undefined);
      return closing;
    },
  };
}
