/**
 * A model of GGUF files: one, or the shards `-00001-of-00003.gguf` …, whose first has the metadata of all. It owns the open
 * files until `close()`.
 */
import { LastrowError, modelFileInvalid } from "../../errors.js";
import { quoteValue } from "../../quote-value.js";
import { type Checkpoint, type CheckpointTensor, checkpointOf } from "../checkpoint.js";
import type { ModelFile, ModelFiles } from "../model-files.js";
import { ReopenedFile } from "../reopened-file.js";
import { type GgufHeader, type GgufTensor, readGgufHeader } from "./gguf-header.js";
import { GGUF_LIMITS } from "./gguf-limits.js";
import type { GgufMetadata } from "./gguf-metadata.js";
import type { OnText } from "./metadata-values.js";

/** A checkpoint that brings its metadata along. Its tensors have GGUF's names. */
export interface GgufFile extends Checkpoint {
  readonly tensors: ReadonlyMap<string, CheckpointTensor & { readonly entry: GgufTensor }>;
  readonly metadata: GgufMetadata;
  /** SHA-256 of the metadata's bytes, as 64 hexadecimal digits. */
  readonly metadataDigest: string;
}

/** A shard's name: what all share, its number from 1, and how many there are. */
const SHARD_NAME = /^(.*)-\d{5}-of-\d{5}\.gguf$/;
/** What `split.no`, `split.count` and `split.tensors.count` may be. */
const SHARDS = { from: 1, to: 65_535 };
const TENSORS = { from: 0, to: GGUF_LIMITS.tensors };

type Located = CheckpointTensor & { readonly entry: GgufTensor };

/**
 * Opens a model and reads the headers, no data.
 *
 * Shards are closed again after their headers were read and opened a second time at the first read of their data, as those
 * of safetensors are.
 *
 * @param names the files that hold the model, in the order of their shards; at least one
 * @param onText is given texts of the first one's metadata as they come, before all is known to be sound
 * @throws LastrowError as `readGgufHeader`; `model_not_found` when a file is missing; `model_file_invalid` when the shards
 *   do not belong together, or a tensor is in two of them. Nothing stays open then.
 */
export async function openGguf(
  files: ModelFiles,
  names: readonly string[],
  onText?: OnText,
): Promise<GgufFile> {
  const first = await openNamed(files, names[0]);
  let staysOpen = false;
  try {
    const header = await readGgufHeader(first, GGUF_LIMITS, onText);
    const count = header.metadata.wholeNumber("split.count", SHARDS) ?? 1;
    if (count > 1 || names.length > 1) return await openShards(files, names, { first, header, count });
    staysOpen = true;
    return ggufFile(header, located(header, first), [first]);
  } finally {
    if (!staysOpen) await first.close();
  }
}

interface FirstShard {
  readonly first: ModelFile;
  readonly header: GgufHeader;
  /** How many there are by its own word. */
  readonly count: number;
}

async function openShards(
  files: ModelFiles,
  names: readonly string[],
  { first, header, count }: FirstShard,
): Promise<GgufFile> {
  if (names.length !== count) throw wrongNumber(first, names, count);
  const tensorCount = header.metadata.wholeNumber("split.tensors.count", TENSORS);
  const tensors = new Map<string, Located>();
  const shards: ModelFile[] = [];
  for (const [i, name] of names.entries()) {
    const file = i === 0 ? first : await openNamed(files, name);
    try {
      const { metadata, ...shard } = i === 0 ? header : await readGgufHeader(file);
      expectNumber(metadata, "split.no", i, { from: 0, to: SHARDS.to });
      expectNumber(metadata, "split.count", count, SHARDS);
      expectNumber(metadata, "split.tensors.count", tensorCount, TENSORS);
      const data = new ReopenedFile(files, name, file);
      for (const [tensor, entry] of located(shard, data)) {
        const other = tensors.get(tensor);
        if (other !== undefined) {
          throw modelFileInvalid(
            `Tensor ${quoteValue(tensor)} comes twice: in ${other.file.name} and in ${file.name}.`,
          );
        }
        tensors.set(tensor, entry);
      }
      shards.push(data);
    } finally {
      if (i > 0) await file.close();
    }
    // Refused below.
    if (tensorCount !== null && tensors.size > tensorCount) break;
  }
  if (tensors.size !== tensorCount) {
    throw modelFileInvalid(
      `${first.name} says that its ${count} files have ${tensorCount} tensors, but ${tensors.size} were found.`,
    );
  }
  return ggufFile(header, tensors, shards);
}

async function openNamed(files: ModelFiles, name: string): Promise<ModelFile> {
  const file = await files.open(name);
  if (file === null) throw new LastrowError("model_not_found", `${files.label} has no ${name}.`);
  return file;
}

/** Says which shard is missing, where names tell it. */
function wrongNumber(first: ModelFile, names: readonly string[], count: number): LastrowError {
  const shared = SHARD_NAME.exec(names[0])?.[1];
  const digits = (number: number) => String(number).padStart(5, "0");
  const isIncomplete = shared !== undefined && names.length < count;
  for (let number = 1; isIncomplete && number <= count; number++) {
    const expected = `${shared}-${digits(number)}-of-${digits(count)}.gguf`;
    if (names.includes(expected)) continue;
    return new LastrowError(
      "model_not_found",
      `${first.name} is one of ${count} files of a model, of which ${expected} is missing.`,
    );
  }
  return modelFileInvalid(
    `${first.name} says that its model has ${count === 1 ? "one file" : `${count} files`}, but ${names.length} were given.`,
  );
}

function expectNumber(
  metadata: GgufMetadata,
  key: string,
  expected: number | null,
  range: typeof SHARDS,
): void {
  const found = metadata.wholeNumber(key, range);
  if (found === null || found !== expected) throw metadata.invalid(key, `${expected ?? "a whole number"}`);
}

function located({ tensors }: Pick<GgufHeader, "tensors">, file: ModelFile): Map<string, Located> {
  return new Map([...tensors].map(([name, entry]) => [name, { entry, file }]));
}

function ggufFile(
  { metadata, metadataDigest }: GgufHeader,
  tensors: ReadonlyMap<string, Located>,
  files: readonly ModelFile[],
): GgufFile {
  return { ...checkpointOf(tensors, files), tensors, metadata, metadataDigest };
}
