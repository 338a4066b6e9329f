/** From a model's files to a model that runs. */

import { platform } from "#platform";
import { MAX_CONTEXT_LENGTH } from "../architectures/family-fields.js";
import { expectArchitecture } from "../architectures/known-architectures.js";
import { type MatchedCheckpoint, matchTensors } from "../architectures/match-tensors.js";
import { readModelConfig } from "../architectures/read-config.js";
import { readChatTemplate } from "../chat/chat-template.js";
import { EngineClient } from "../client/engine-client.js";
import type { SequenceStorage } from "../client/sequence-storage.js";
import { invalidArgument, LastrowError } from "../errors.js";
import { openCheckpoint } from "../formats/checkpoint.js";
import { type GenerationDefaults, readGenerationConfig } from "../formats/generation-config.js";
import { type LoadProgress, withRate } from "../formats/load-progress.js";
import type { ModelFile } from "../formats/model-files.js";
import type { KernelsName } from "../kernels/kernels.js";
import { KV_DTYPES, type KvDtype } from "../kernels/kv-types.js";
import { parseMemorySize } from "../memory-size.js";
import { type ModelConfig, modelConfig } from "../model/config.js";
import { widestRow } from "../model/load-weights.js";
import { ASKED_DTYPES, type AskedDtype } from "../model/weight-dtypes.js";
import { checkOptions, oneOf, wholeNumber } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { ModelSource } from "../platform/platform.js";
import type { EngineInfo, EngineSetup } from "../protocol/engine-setup.js";
import type { EngineConnection } from "../protocol/messages.js";
import { loadTokenizer } from "../tokenizer/load-tokenizer.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { LanguageModel, type LanguageModelParts } from "./language-model.js";
import { ModelFingerprint } from "./model-fingerprint.js";

/**
 * How a model is loaded and run. All of it is optional; nothing but `dtype`, `kvDtype` and, for a model with two tables of
 * rotary frequencies, `contextLength` changes a bit of a logit.
 */
export interface LoadOptions {
  /** `wasm` (the default), or `reference`: plain TypeScript, the same bits, far slower. */
  readonly kernels?: KernelsName | undefined;
  /**
   * How the matrices of weights are kept in memory. `auto` (the default) keeps those of 16 bits as they are stored, `bf16`
   * or `f16`, and the rest as `f32`; it also takes `f32` where all of them are so small that this is faster. These three give
   * the same bits for the same values, and share saved sequences. Asked for by name, `bf16` and `f16` round what they cannot
   * represent, which `LanguageModel.info.roundedTensors` tells. `int8` takes about 27 % of the memory of `f32`, is faster
   * and deviates a little. They are made of the checkpoint's weights when it is loaded, whatever type those have.
   */
  readonly dtype?: AskedDtype | undefined;
  /**
   * Most positions that a sequence can have: 1 up to what the model was made for. Default: that, or the longest power of
   * two below it, 512 or more, whose K and V take no more than half of what is free beside the weights;
   * `LanguageModel.info` tells which and why (`contextLength`, `contextBound`). A shorter one takes less memory and
   * changes no bit. A model with two tables of rotary frequencies (`longrope`, as Phi has it) is
   * loaded with the shorter of its two lengths and that one's table by default; a longer context must be asked for, takes
   * the other table, and so changes every bit.
   */
  readonly contextLength?: number | undefined;
  /**
   * Memory for K and V: bytes, or a text such as `"512MiB"`. It is rounded down to whole blocks of 16 positions.
   * Default: what four full contexts need, but at most a quarter of what is free beside the weights (half of it for a
   * single full context; of a browser's machine three quarters are taken to be free, and one that it does not tell of to
   * have 4 GiB), and at most what the weights leave of WebAssembly's 4 GiB. `LanguageModel.info.kv` tells what was
   * chosen, and why. Requests that do not fit beside each other take turns; what one sequence needs must be there.
   */
  readonly kvMemory?: number | string | undefined;
  /**
   * How K and V are kept: `f32` (the default); `f16`, which takes half of the memory and rounds them once, and with which a
   * value beyond ±65,504 is a `numerical_error`; or `int8`, which takes about a quarter and deviates a little. Whatever is promised of bits holds within each.
   */
  readonly kvDtype?: KvDtype | undefined;
  /**
   * Threads that share the work, the caller's included: 1 to 64. Default: as many as the machine runs at once. Any
   * number gives the same bits. Where memory cannot be shared (a page without isolation headers) it is 1.
   */
  readonly threads?: number | undefined;
  /**
   * Whether the engine runs in a worker of its own, so that no forward pass holds up the caller's event loop. Default:
   * where one can be started; else it runs on the caller's thread, and lets others have a turn between steps. `true`
   * makes it an error when none can. The bits are the same.
   */
  readonly worker?: boolean | undefined;
  /**
   * Most new rows of all sequences together in one step: 1 to 65,536, default 512. Longer prompts are fed in chunks of
   * it. The more, the faster prompts go through when many wait; the fewer, the sooner those that run have their next
   * token, and the less working memory it takes. With less than there are sequences that generate, the youngest of them
   * wait. Any number gives the same bits.
   */
  readonly tokenBudget?: number | undefined;
  /**
   * At least 32 secret bytes that prove which saved sequences were saved here: only those may be found by others after
   * they are restored. Default: in Node a key that this user's programs share, in a file that is made when it is first
   * needed; in a browser none. Null: none.
   */
  readonly installationKey?: Uint8Array | null | undefined;
  /** Called with the bytes downloaded, then with the bytes loaded, and their rate: from time to time, and at the end of each. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Cancels loading with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

export const LOAD_OPTIONS = optionNames<LoadOptions>()("load", {
  ...{ kernels: true, dtype: true, contextLength: true, kvDtype: true, kvMemory: true, threads: true },
  ...{ worker: true, tokenBudget: true, installationKey: true, onProgress: true, signal: true },
});

const MAX_THREADS = 64;
/** What `contextLength` may be; which of them there are is for the model to say. */
export const CONTEXT_LENGTHS = { from: 1, to: MAX_CONTEXT_LENGTH };
const MAX_TOKEN_BUDGET = 65_536;

/**
 * Loads a model: its weights are read once, straight to where they are used.
 *
 * @param source see `ModelSource`; in Node the embedded model by default
 * @throws LastrowError with a code and a sentence that names the file and what was expected
 */
export async function load(source?: ModelSource, options: LoadOptions = {}): Promise<LanguageModel> {
  return new LanguageModel(await loadParts(source, options, () => connect(options.worker)));
}

/**
 * Everything that a `LanguageModel` is made of; `load` without the wrapping.
 * @param connectEngine starts what runs the model
 */
export async function loadParts(
  source: ModelSource | undefined,
  options: LoadOptions,
  connectEngine: () => Promise<EngineConnection>,
): Promise<LanguageModelParts> {
  const start = performance.now();
  const settings = engineOptions(options);
  const wanted = {
    contextLength: wholeNumber("contextLength", options.contextLength, undefined, CONTEXT_LENGTHS),
  };
  const onProgress = options.onProgress && withRate(options.onProgress);
  expectNoOptions(source);
  throwIfAborted(options.signal);
  const files = await platform.openModel(source, {
    onProgress,
    signal: options.signal,
    // What is not supported, or cannot fit, is not worth its download.
    beforeWeights: async (fetched) => {
      const { decoder, modelType } = await readModelConfig(fetched, wanted);
      const stored = widestRow(expectArchitecture(modelType).tensors(decoder));
      const [{ expectToFit }, { threads }] = await Promise.all([
        import("../engine/engine-plan.js"),
        import("#threads"),
      ]);
      const shape = { label: fetched.label, decoder, widestRow: stored, tensors: null, ...settings };
      expectToFit(shape, threads.memory());
    },
  });
  const fingerprint = new ModelFingerprint();
  const texts = fingerprint.texts(files);
  const stated = await readModelConfig(texts, wanted);
  const defaults = await readGenerationConfig(files, stated.vocabSize);
  // Starts while the tokenizer is read.
  const connecting = connectEngine();
  let engine: EngineClient | null = null;
  try {
    // Its failure is reported where it is awaited.
    connecting.catch(() => undefined);
    const tokenizer = await loadTokenizer(texts, stated.vocabSize);
    const chatTemplate = await readChatTemplate(files);
    const checkpoint = await openCheckpoint(files);
    try {
      const matched = matchTensors(checkpoint, expectArchitecture(stated.modelType), stated.decoder);
      const { decoder } = matched;
      const described = describeTensors(matched);
      fingerprint.expect(described.tensors, expectArchitecture(stated.modelType));
      engine = new EngineClient(await connecting);
      const { label } = files;
      const info = await engine.load(
        {
          label,
          decoder,
          widestRow: widestRow(described.tensors.flatMap(({ rows }) => rows)),
          ...settings,
          tensors: described.tensors,
          files: described.files.map(({ name, size }) => ({ name, size })),
        },
        described.files,
        {
          onProgress,
          signal: options.signal,
          onRead: (file, offset, bytes) => fingerprint.add(file, offset, bytes),
        },
      );
      throwIfAborted(options.signal);
      const config = modelConfig(
        { ...decoder, contextLength: info.contextLength },
        { ...stated, eosTokenIds: defaults.eosTokenIds ?? stated.eosTokenIds },
      );
      return {
        engine,
        startTemplateThread: () => platform.startTemplateThread(),
        tokenizer,
        chatTemplate,
        defaults,
        bosTokenId: startToken(config, defaults, tokenizer),
        eosTokenIds: config.eosTokenIds,
        info: {
          label,
          config,
          ...info,
          parameters: matched.parameters,
          tensors: [...matched.tensors]
            .map(([name, { entry }]) => ({ name, dtype: entry.dtype, shape: entry.shape }))
            .sort((a, b) => (a.name < b.name ? -1 : 1)),
          worker: engine.isWorker,
        },
        loadMs: performance.now() - start,
        storage: storageOf(fingerprint, { ...config, ...info, kvDtype: info.kv.dtype }, options),
      };
    } finally {
      await checkpoint.close();
    }
  } catch (error) {
    if (engine !== null) await engine.dispose("The model");
    else {
      await connecting.then(
        (connection) => connection.close(),
        () => undefined,
      );
    }
    throw error;
  }
}

/** Options in the place of a model would be taken for names of files. */
function expectNoOptions(source: unknown): void {
  if (typeof source !== "object" || source === null) return;
  const name = Object.keys(source).find((key) => key === "model" || LOAD_OPTIONS.names.includes(key));
  if (name === undefined) return;
  throw invalidArgument(
    `load takes the model first, then its options: ${name} is not the name of a model file.`,
  );
}

/** Starts a worker for the engine, or has it run here where that is not possible and not demanded. */
async function connect(worker: boolean | undefined): Promise<EngineConnection> {
  if (worker !== false) {
    try {
      return await platform.startEngineWorker();
    } catch (cause) {
      if (worker === true) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new LastrowError(
          "runtime_unsupported",
          `No worker can be started for the engine (${reason}); with worker: false it runs on the caller's thread.`,
          { cause },
        );
      }
    }
  }
  // Loaded lazily: unused with a worker.
  const { startInProcess } = await import("../engine/in-process.js");
  return startInProcess().connection;
}

/** How sequences of this model are saved and restored. */
function storageOf(
  fingerprint: ModelFingerprint,
  model: ModelConfig & Pick<EngineInfo, "dtype" | "roundedTensors"> & { readonly kvDtype: KvDtype },
  { installationKey }: LoadOptions,
): SequenceStorage {
  const { dtype, roundedTensors, kvDtype, rotaryTable, numLayers, numKvHeads, headDim } = model;
  let key: Promise<Uint8Array | null> | null = null;
  return {
    identity: async () => ({
      fingerprint: await fingerprint.value(),
      earlierFingerprints: await fingerprint.earlier(),
      // Weights that are none but the stored values give what f32 gives.
      dtype: roundedTensors === 0 ? "f32" : dtype,
      kvDtype,
      rotaryTable,
    }),
    kv: { dtype: kvDtype, numLayers, numKvHeads, headDim },
    installationKey: () => {
      key ??= installationKey === undefined ? platform.installationKey() : Promise.resolve(installationKey);
      return key;
    },
    spareMemory: [],
    replaceFile: (path, pieces) => platform.replaceFile(path, pieces),
  };
}

/** Fewest bytes of a key: as many as SHA-256 has. */
const LEAST_KEY_BYTES = 32;

/** The options that are the engine's, checked. */
function engineOptions(
  options: LoadOptions,
): Pick<
  EngineSetup,
  "isContextAsked" | "kernels" | "threads" | "dtype" | "kvDtype" | "kvMemory" | "tokenBudget"
> {
  checkOptions(options, LOAD_OPTIONS);
  const { kvMemory, installationKey = null } = options;
  if (
    installationKey !== null &&
    !(installationKey instanceof Uint8Array && installationKey.length >= LEAST_KEY_BYTES)
  ) {
    throw invalidArgument(`installationKey is a Uint8Array of at least ${LEAST_KEY_BYTES} bytes, or null.`);
  }
  return {
    isContextAsked: options.contextLength !== undefined,
    kernels: oneOf("kernels", options.kernels ?? "wasm", ["wasm", "reference"]),
    threads: wholeNumber("threads", options.threads, null, { from: 1, to: MAX_THREADS }),
    dtype: oneOf("dtype", options.dtype ?? "auto", ASKED_DTYPES),
    kvDtype: oneOf("kvDtype", options.kvDtype ?? "f32", KV_DTYPES),
    tokenBudget: wholeNumber("tokenBudget", options.tokenBudget, null, { from: 1, to: MAX_TOKEN_BUDGET }),
    kvMemory: kvMemory === undefined ? null : parseMemorySize(kvMemory, "kvMemory"),
  };
}

/** The tensors with numbers in place of their files, and the files. */
function describeTensors({ tensors }: MatchedCheckpoint) {
  const files: readonly ModelFile[] = [...new Set([...tensors.values()].map(({ file }) => file))];
  const described = [...tensors].map(([name, tensor]) => ({
    ...tensor,
    name,
    file: files.indexOf(tensor.file),
  }));
  return { tensors: described, files };
}

function startToken(
  config: ModelConfig,
  defaults: GenerationDefaults,
  tokenizer: Tokenizer | null,
): number | null {
  return tokenizer?.bosTokenId ?? defaults.bosTokenId ?? config.bosTokenId;
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new LastrowError("aborted", "Loading was cancelled.");
}
