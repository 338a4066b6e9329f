/** From a model's files to a model that runs. */

import { platform } from "#platform";
import { Engine } from "./engine/engine.js";
import { LastrowError } from "./errors.js";
import { openCheckpoint } from "./formats/checkpoint.js";
import type { GenerationDefaults } from "./formats/generation-config.js";
import { readGenerationConfig } from "./formats/generation-config.js";
import { planGpt2Tensors } from "./formats/gpt2-checkpoint.js";
import { readModelConfig } from "./formats/gpt2-config.js";
import {
  type KernelBackend,
  type Kernels,
  type KernelsName,
  MAX_MEMORY_BYTES,
  type PackedDtype,
} from "./kernels/kernels.js";
import { BLOCK_SIZE, type KvDtype, type KvLayout, kvBlockBytes, kvLayout } from "./kernels/kv-layout.js";
import { MemoryPlan } from "./kernels/memory-plan.js";
import { referenceBackend } from "./kernels/reference/reference-kernels.js";
import { wasmBackend } from "./kernels/wasm/wasm-kernels.js";
import { KvCache } from "./kv-cache/kv-cache.js";
import { LanguageModel, type LanguageModelParts, type ModelInfo } from "./language-model.js";
import { formatMemorySize, parseMemorySize } from "./memory-size.js";
import type { ModelConfig } from "./model/config.js";
import { Gpt2, planGpt2Scratch, planGpt2Weights } from "./model/gpt2.js";
import { loadGpt2Weights, planStaging } from "./model/load-gpt2.js";
import type { LoadProgress, ModelSource } from "./platform/platform.js";
import { loadTokenizer } from "./tokenizer/load-tokenizer.js";
import type { Tokenizer } from "./tokenizer/tokenizer.js";

export interface LoadOptions {
  /** `wasm` (the default), or `reference`: plain TypeScript, the same bits, far slower. */
  readonly kernels?: KernelsName | undefined;
  /**
   * How weights are kept in memory: `f32` (the default), or `int8`, which takes about 27 % of the memory, is faster and
   * deviates a little. They are made of the checkpoint's weights when it is loaded, whatever type those have.
   */
  readonly dtype?: PackedDtype | undefined;
  /**
   * Memory for K and V: bytes, or a text such as `"512MiB"`. It is rounded down to whole blocks of 16 positions.
   * Default: what four full contexts need. Requests that do not fit beside each other take turns; what one sequence
   * needs must be there.
   */
  readonly kvMemory?: number | string | undefined;
  /**
   * How K and V are kept: `f32` (the default), or `int8`, which takes about a quarter of the memory and deviates a
   * little. Whatever is promised of bits holds within each.
   */
  readonly kvDtype?: KvDtype | undefined;
  /**
   * Threads that share the work, the caller's included: 1 to 64. Default: as many as the machine runs at once. Any
   * number gives the same bits. Where memory cannot be shared (a page without isolation headers) it is 1.
   */
  readonly threads?: number | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Cancels loading with the error code `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

const MAX_THREADS = 64;

/** Rows that one forward pass takes, of all sequences together: longer prompts are fed in chunks of it. */
const MAX_ROWS = 512;
/** Most sequences in one forward pass. */
const MAX_SEQUENCES = 64;
/** Most rows of logits that one forward pass gives, and most bytes of them: a row of 50,257 takes 200 kB. */
const MAX_LOGITS_ROWS = MAX_SEQUENCES;
const MAX_LOGITS_BYTES = 16 * 1024 * 1024;
/** Full contexts that the KV cache has room for when nobody says how much memory it may take. */
const DEFAULT_CONTEXTS = 4;

/**
 * Loads a model: its weights are read once, straight into the kernels' memory, which is reserved once.
 *
 * @param source see `ModelSource`; in Node the embedded model by default
 * @throws LastrowError with a code and a sentence that names the file and what was expected
 */
export async function load(source?: ModelSource, options: LoadOptions = {}): Promise<LanguageModel> {
  return new LanguageModel(await loadParts(source, options));
}

/** Everything that a `LanguageModel` is made of; `load` without the wrapping. */
export async function loadParts(
  source: ModelSource | undefined,
  options: LoadOptions,
): Promise<LanguageModelParts> {
  const start = performance.now();
  const backend = chooseBackend(options);
  const dtype = chooseDtype("dtype", options.dtype);
  const kvDtype = chooseDtype("kvDtype", options.kvDtype);
  const kvMemory = options.kvMemory === undefined ? null : parseMemorySize(options.kvMemory, "kvMemory");
  throwIfAborted(options.signal);

  const files = await platform.openModel(source, options);
  const stated = await readModelConfig(files);
  const defaults = await readGenerationConfig(files, stated.vocabSize);
  const tokenizer = await loadTokenizer(files, stated.vocabSize);
  const checkpoint = await openCheckpoint(files);
  try {
    const tensors = planGpt2Tensors(checkpoint, stated);
    const config = { ...stated, tieWordEmbeddings: tensors.tieWordEmbeddings };
    const plan = new MemoryPlan(backend, dtype);
    const bytesBefore = plan.bytes;
    const weights = planGpt2Weights(plan, config);
    const weightBytes = plan.bytes - bytesBefore;
    const numBlocks = chooseBlocks(config, kvDtype, kvMemory);
    const kv = kvLayout(config, kvDtype, plan.reserve(numBlocks * kvBlockBytes(config, kvDtype)), numBlocks);
    const scratch = planGpt2Scratch(plan, config, {
      maxRows: Math.min(MAX_ROWS, numBlocks * BLOCK_SIZE),
      maxLogitsRows: logitsRows(config),
      maxSequences: MAX_SEQUENCES,
    });
    const staging = planStaging(plan, config);
    if (plan.bytes > MAX_MEMORY_BYTES) {
      throw new LastrowError(
        "memory_limit_exceeded",
        `${files.label} needs ${formatMemorySize(weightBytes)} for weights, ${formatMemorySize(kv.numBlocks * kv.blockBytes)} for keys and values and ${formatMemorySize(plan.bytes - weightBytes - kv.numBlocks * kv.blockBytes)} to work in; WebAssembly's memory ends at ${formatMemorySize(MAX_MEMORY_BYTES)}.`,
      );
    }
    const kernels = await backend.create(plan.bytes);
    try {
      await loadGpt2Weights(tensors, weights, kernels, staging, options);
    } catch (error) {
      await kernels.dispose();
      throw error;
    }

    const info: ModelInfo = {
      label: files.label,
      config,
      kernels: backend.name,
      threads: backend.threads,
      parameters: tensors.parameters,
      weightBytes,
      dtype,
      kv: {
        blockSize: BLOCK_SIZE,
        dtype: kvDtype,
        blocks: numBlocks,
        blockBytes: kv.blockBytes,
        bytesPerToken: kv.blockBytes / BLOCK_SIZE,
        bytes: numBlocks * kv.blockBytes,
      },
      memoryBytes: plan.bytes,
      maxRows: scratch.x.rows,
      tensors: [...tensors.tensors]
        .map(([name, { entry }]) => ({ name, dtype: entry.dtype, shape: entry.shape }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    };
    return {
      engine: new Engine(
        {
          model: new Gpt2(config, kernels, weights, scratch),
          kernels,
          kvCache: kvCacheIn(kernels, kv),
          maxSequences: MAX_SEQUENCES,
        },
        () => platform.yieldToEventLoop(),
      ),
      tokenizer,
      defaults,
      bosTokenId: startToken(config, defaults, tokenizer),
      eosTokenIds: defaults.eosTokenIds ?? config.eosTokenIds,
      info,
      loadMs: performance.now() - start,
    };
  } finally {
    await checkpoint.close();
  }
}

function chooseBackend({ kernels = "wasm", threads }: LoadOptions): KernelBackend {
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS)) {
    throw new LastrowError(
      "invalid_argument",
      `threads is a whole number from 1 to ${MAX_THREADS}, not ${String(threads)}.`,
    );
  }
  if (kernels === "reference") return referenceBackend;
  if (kernels !== "wasm") {
    throw new LastrowError("invalid_argument", `kernels is "wasm" or "reference", not ${String(kernels)}.`);
  }
  const available = platform.availableThreads();
  const chosen = available === 1 ? 1 : (threads ?? available);
  return wasmBackend({ threads: Math.min(chosen, MAX_THREADS), startHelper: platform.startHelper });
}

function chooseDtype(name: string, dtype: unknown = "f32"): "f32" | "int8" {
  if (dtype === "f32" || dtype === "int8") return dtype;
  throw new LastrowError("invalid_argument", `${name} is "f32" or "int8", not ${String(dtype)}.`);
}

function kvCacheIn(kernels: Kernels, layout: KvLayout): KvCache {
  const slab = kernels.u8(layout.offset, layout.numBlocks * layout.blockBytes);
  const { blockBytes } = layout;
  return new KvCache(layout, {
    copyBlock: (from, to) => slab.copyWithin(to * blockBytes, from * blockBytes, (from + 1) * blockBytes),
    hashSeed: crypto.getRandomValues(new Int32Array(1))[0],
  });
}

function logitsRows({ vocabSize }: ModelConfig): number {
  return Math.max(1, Math.min(MAX_LOGITS_ROWS, Math.floor(MAX_LOGITS_BYTES / (4 * vocabSize))));
}

/** Blocks for some full contexts, or as many as fit into the memory that was given. */
function chooseBlocks(config: ModelConfig, kvDtype: KvDtype, kvMemory: number | null): number {
  const perContext = Math.ceil(config.contextLength / BLOCK_SIZE);
  if (kvMemory === null) return DEFAULT_CONTEXTS * perContext;
  const blockBytes = kvBlockBytes(config, kvDtype);
  const blocks = Math.floor(kvMemory / blockBytes);
  if (blocks >= 1) return blocks;
  throw new LastrowError(
    "invalid_argument",
    `kvMemory is ${kvMemory} bytes; one KV block of this model takes ${blockBytes}, and a full context ${perContext} blocks.`,
  );
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
