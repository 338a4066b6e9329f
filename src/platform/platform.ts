/**
 * What differs between Node and a browser where models are loaded; threads.ts has what differs where they run. `#platform`
 * in package.json's `imports` leads to the right one.
 */

import type { ReadProgress } from "../formats/load-progress.js";
import type { ModelFile, ModelFiles } from "../formats/model-files.js";
import type { EngineConnection } from "../protocol/messages.js";
import type { LimitedThread } from "./limited-thread.js";
import type { FolderEntry, FolderHandle } from "./picked-files.js";

/**
 * Where a model comes from. A model is a GGUF file, perhaps in shards (of `…-00001-of-00003.gguf` the others are found
 * beside it), or a folder with `config.json` and safetensors. A folder that holds GGUF files instead stands for the first
 * there is of Q4_K_M, Q4_K_S, Q5_K_M, Q4_0, IQ4_NL, Q5_K_S, Q6_K, Q8_0, BF16, F16.
 * - a string: in Node `"stories"`, a folder, a path to a GGUF file, a Hub name (`openai-community/gpt2`,
 *   `Qwen/Qwen3-0.6B-GGUF:Q8_0`: docs/models.md) or a web address; in a browser a web address, absolute or relative to the
 *   page. An address names the GGUF file, ending in `.gguf`, or the folder of the files.
 * - a `URL`: the same (`http:`, `https:`; in Node `file:` too)
 * - a `File` or a list of them, as a file input or a drop gives them: a GGUF file or its shards, or the files of a folder;
 *   of a folder with folders in it, the files beside the `config.json` nearest its top
 * - a folder of a browser: `FileSystemDirectoryHandle`, or the `FileSystemDirectoryEntry` of a drop
 * - an object that maps file names to addresses, such as `stories` of `lastrow/stories`
 * - anything with `open(name)`, and where it is a GGUF file with its name as `gguf: [name]`: files of your own making
 */
export type ModelSource =
  | string
  | URL
  | File
  | ArrayLike<File>
  | FolderEntry
  | FolderHandle
  | Readonly<Record<string, string | URL>>
  | ModelFiles;

export interface OpenOptions {
  readonly onProgress?: ((progress: ReadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** False: the weights will not be opened, so they are not downloaded. Default true. */
  readonly weights?: boolean | undefined;
  /** Given all other files before a download of weights begins; what it throws ends it. */
  readonly beforeWeights?: ((files: ModelFiles) => Promise<void>) | undefined;
}

/** What a thread with a limited heap does. */
export type LimitedWorkName = "template" | "grammar";

export interface Platform {
  /** Whether there are KV tiers. */
  readonly hasKvTiers: boolean;
  /**
   * Finds a model's files; `undefined` asks for the default.
   * @throws LastrowError `model_not_found`, the `hub_…` codes, `aborted`, `invalid_argument`
   */
  openModel(source: ModelSource | undefined, options: OpenOptions): Promise<ModelFiles>;
  /**
   * Starts a worker that runs src/engine/engine-worker.ts. While no call waits for it, it keeps no program alive.
   * @throws what keeps it from being started: a runtime without workers, a bundle without its file, a page's policy
   */
  startEngineWorker(): Promise<EngineConnection>;
  /**
   * Starts a thread that runs src/chat/template-thread.ts or src/client/grammar-thread.ts with a limit on its heap; null
   * where a thread's heap cannot be limited. While no call waits for it, it keeps no program alive.
   * @throws what keeps it from being started
   */
  startLimitedThread<Sent, Received>(work: LimitedWorkName): Promise<LimitedThread<Sent, Received> | null>;
  /**
   * Opens a file to read; null when there is none of that name.
   * @throws LastrowError `invalid_argument` where there are no paths; `model_not_found`, `model_file_invalid`
   */
  openFile(path: string | URL): Promise<ModelFile | null>;
  /**
   * Writes a file, which appears whole or not at all and replaces an existing one.
   * @throws LastrowError `invalid_argument` where there are no paths; `file_not_written`; what `pieces` throws
   */
  replaceFile(path: string | URL, pieces: AsyncIterable<Uint8Array>): Promise<void>;
  /** SHA-256 of pieces one after the other, as hexadecimal digits. They may change as soon as this returns. */
  sha256(pieces: readonly Uint8Array<ArrayBuffer>[]): Promise<string>;
  /** The key that this installation keeps for itself; null where there is none. */
  installationKey(): Promise<Uint8Array | null>;
}
