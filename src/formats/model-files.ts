/**
 * Where a model's files come from, as seen by everything that reads them: a folder, a list of browser `File`s, a web
 * address, the Hub's cache. Readers of formats are written against this and know no platform.
 */
import { LastrowError } from "../errors.js";

/** One readable file of a model. */
export interface ModelFile {
  /** The name used in messages, e.g. `model.safetensors` or a full path. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /**
   * Fills `target` with the bytes from `offset` on.
   * Callers read in ascending order of offset (a download can only be read forwards), and may ask for more before they
   * have what they asked for.
   * @throws LastrowError `model_file_invalid` when the file ends before `target` is full.
   */
  read(offset: number, target: Uint8Array): Promise<void>;
  /** Lets go of it; nothing is read afterwards. */
  close(): Promise<void>;
}

/** The files of one model. */
export interface ModelFiles {
  /** What the model is called in messages and results, e.g. `stories` or `openai-community/gpt2`. */
  readonly label: string;
  /** Opens a plain file name (no path separators), or one of `NESTED_FILES`; `null` when there is no such file. */
  open(name: string): Promise<ModelFile | null>;
  /** The GGUF files that hold the model, in the order of their shards; without it config.json and the files beside it do. */
  readonly gguf?: readonly string[] | undefined;
  /** What people should know of how these files were chosen, each a sentence. */
  readonly notices?: readonly string[] | undefined;
}

/** Files that lie in a folder of a model's folder: settings of sentence-transformers' modules. */
export const NESTED_FILES = ["1_Pooling/config.json", "1_LogitScore/config.json"] as const;

/** Whether a name is one of them. */
export function isNested(name: string): boolean {
  return (NESTED_FILES as readonly string[]).includes(name);
}

/** Largest size, in bytes, of a text file that is read whole: 64 MiB. */
const MAX_TEXT_BYTES = 64 * 1024 * 1024;

/**
 * Reads a whole text file as UTF-8; `null` when it does not exist.
 * @throws LastrowError `model_file_invalid` when it is over `maxBytes` or not UTF-8.
 */
export async function readText(
  files: ModelFiles,
  name: string,
  maxBytes: number = MAX_TEXT_BYTES,
): Promise<{ text: string; name: string } | null> {
  const file = await readBytes(files, name, maxBytes);
  if (file === null) return null;
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(file.bytes), name: file.name };
  } catch (cause) {
    throw new LastrowError("model_file_invalid", `${file.name} is not valid UTF-8 text.`, { cause });
  }
}

/**
 * Reads a whole file; `null` when it does not exist.
 * @throws LastrowError `model_file_invalid` when it is over `maxBytes`; nothing was read or allocated then
 */
export async function readBytes(
  files: ModelFiles,
  name: string,
  maxBytes: number,
): Promise<{ bytes: Uint8Array; name: string } | null> {
  const file = await files.open(name);
  if (file === null) return null;
  try {
    if (file.size > maxBytes) {
      throw new LastrowError(
        "model_file_invalid",
        `${file.name} has ${file.size} bytes; at most ${maxBytes} are read.`,
      );
    }
    const bytes = new Uint8Array(file.size);
    await file.read(0, bytes);
    return { bytes, name: file.name };
  } finally {
    await file.close();
  }
}
