/** From what is known of a model to an engine that runs it: plans its memory, starts its kernels and reads its weights. */
import { LastrowError } from "../errors.js";
import type { PlannedTensor } from "../formats/gpt2-checkpoint.js";
import type { ModelFile } from "../formats/model-files.js";
import {
  type KernelBackend,
  type Kernels,
  type KernelsName,
  MAX_MEMORY_BYTES,
  type PackedDtype,
} from "../kernels/kernels.js";
import { BLOCK_SIZE, type KvDtype, type KvLayout, kvBlockBytes, kvLayout } from "../kernels/kv-layout.js";
import { MemoryPlan } from "../kernels/memory-plan.js";
import { referenceBackend } from "../kernels/reference/reference-kernels.js";
import { wasmBackend } from "../kernels/wasm/wasm-kernels.js";
import { KvCache } from "../kv-cache/kv-cache.js";
import { formatMemorySize } from "../memory-size.js";
import type { Gpt2Config, ModelConfig } from "../model/config.js";
import { Gpt2, planGpt2Scratch, planGpt2Weights } from "../model/gpt2.js";
import { loadGpt2Weights, planStaging } from "../model/load-gpt2.js";
import type { LoadProgress } from "../platform/platform.js";
import type { Threads } from "../platform/threads.js";
import { EngineCore } from "./engine-core.js";

/** How an engine is to be, checked: plain data. */
export interface EngineSetup {
  /** What the model is called in messages. */
  readonly label: string;
  readonly config: Gpt2Config;
  readonly kernels: KernelsName;
  /** Null: as many as can work at once. */
  readonly threads: number | null;
  readonly dtype: PackedDtype;
  readonly kvDtype: KvDtype;
  /** Bytes; null: room for four full contexts. */
  readonly kvMemory: number | null;
  /** Most rows of a step; null: 512. */
  readonly tokenBudget: number | null;
  /** Every weight, and the number of the file that it is in. */
  readonly tensors: readonly {
    readonly name: string;
    readonly entry: PlannedTensor["entry"];
    readonly file: number;
  }[];
  readonly files: readonly { readonly name: string; readonly size: number }[];
}

/** What an engine takes. Sizes in bytes. */
export interface EngineInfo {
  readonly kernels: KernelsName;
  /** Threads that share the kernels' work. */
  readonly threads: number;
  /** Bytes of the weights in the kernels' memory. */
  readonly weightBytes: number;
  /** Type of the weights in memory; position embeddings, norms and biases are always f32. */
  readonly dtype: PackedDtype;
  readonly kv: {
    readonly blockSize: number;
    /** Type of K and V in memory. */
    readonly dtype: KvDtype;
    readonly blocks: number;
    readonly blockBytes: number;
    readonly bytesPerToken: number;
    /** Memory that is reserved for K and V. */
    readonly bytes: number;
  };
  /** All memory of the kernels: weights, K and V, working memory. */
  readonly memoryBytes: number;
  /** Most new rows of all sequences in one step: what was asked for, or all that the KV cache has room for. */
  readonly tokenBudget: number;
}

const MAX_THREADS = 64;
/** Rows that one forward pass takes, of all sequences together, when nobody says how many. */
const DEFAULT_TOKEN_BUDGET = 512;
/** Most sequences in one forward pass. */
const MAX_SEQUENCES = 64;
/** Most rows of logits that one forward pass gives, and most bytes of them: a row of 50,257 takes 200 kB. */
const MAX_LOGITS_ROWS = MAX_SEQUENCES;
const MAX_LOGITS_BYTES = 16 * 1024 * 1024;
/** Full contexts that the KV cache has room for when nobody says how much memory it may take. */
const DEFAULT_CONTEXTS = 4;

/**
 * Loads an engine: its weights are read once, straight into the kernels' memory, which is reserved once.
 *
 * @param files those of the setup, in its order; they stay open
 * @throws LastrowError `invalid_argument` for KV memory without room for a block, `memory_limit_exceeded`,
 *   `runtime_unsupported`, `thread_lost`, `weights_not_finite`, `model_file_invalid`; what the files throw
 */
export async function loadEngine(
  setup: EngineSetup,
  files: readonly ModelFile[],
  threads: Pick<Threads, "availableThreads" | "startHelper">,
  onProgress?: (progress: LoadProgress) => void,
): Promise<{ core: EngineCore; info: EngineInfo }> {
  const { config, dtype, kvDtype } = setup;
  const backend = chooseBackend(setup, threads);
  const plan = new MemoryPlan(backend, dtype);
  const bytesBefore = plan.bytes;
  const weights = planGpt2Weights(plan, config);
  const weightBytes = plan.bytes - bytesBefore;
  const numBlocks = chooseBlocks(config, kvDtype, setup.kvMemory);
  const kv = kvLayout(config, kvDtype, plan.reserve(numBlocks * kvBlockBytes(config, kvDtype)), numBlocks);
  const kvBytes = kv.numBlocks * kv.blockBytes;
  const scratch = planGpt2Scratch(plan, config, {
    maxRows: Math.min(setup.tokenBudget ?? DEFAULT_TOKEN_BUDGET, numBlocks * BLOCK_SIZE),
    maxLogitsRows: logitsRows(config),
    maxSequences: MAX_SEQUENCES,
  });
  const staging = planStaging(plan, config);
  if (plan.bytes > MAX_MEMORY_BYTES) {
    throw new LastrowError(
      "memory_limit_exceeded",
      `${setup.label} needs ${formatMemorySize(weightBytes)} for weights, ${formatMemorySize(kvBytes)} for keys and values and ${formatMemorySize(plan.bytes - weightBytes - kvBytes)} to work in; WebAssembly's memory ends at ${formatMemorySize(MAX_MEMORY_BYTES)}.`,
    );
  }
  const kernels = await backend.create(plan.bytes);
  try {
    const tensors = new Map(
      setup.tensors.map(({ name, entry, file }) => [name, { entry, file: files[file] }]),
    );
    await loadGpt2Weights(tensors, weights, kernels, staging, onProgress);
  } catch (error) {
    await kernels.dispose();
    throw error;
  }
  const core = new EngineCore({
    model: new Gpt2(config, kernels, weights, scratch),
    kernels,
    kvCache: kvCacheIn(kernels, kv),
    maxSequences: MAX_SEQUENCES,
  });
  const info = {
    kernels: backend.name,
    threads: backend.threads,
    weightBytes,
    dtype,
    kv: {
      blockSize: BLOCK_SIZE,
      dtype: kvDtype,
      blocks: numBlocks,
      blockBytes: kv.blockBytes,
      bytesPerToken: kv.blockBytes / BLOCK_SIZE,
      bytes: kvBytes,
    },
    memoryBytes: plan.bytes,
    tokenBudget: scratch.x.rows,
  };
  return { core, info };
}

function chooseBackend(
  { kernels, threads }: EngineSetup,
  { availableThreads, startHelper }: Pick<Threads, "availableThreads" | "startHelper">,
): KernelBackend {
  if (kernels === "reference") return referenceBackend;
  const available = availableThreads();
  const chosen = available === 1 ? 1 : (threads ?? available);
  return wasmBackend({ threads: Math.min(chosen, MAX_THREADS), startHelper });
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
