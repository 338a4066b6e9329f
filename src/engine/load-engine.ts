/** From what is known of a model to an engine that runs it: plans its memory, starts its kernels and reads its weights. */
import type { ModelFile } from "../formats/model-files.js";
import type { Kernels, KernelsName, PackedDtype } from "../kernels/kernels.js";
import { BLOCK_SIZE, type KvDtype, type KvLayout } from "../kernels/kv-layout.js";
import { KvCache } from "../kv-cache/kv-cache.js";
import { Decoder } from "../model/decoder.js";
import { loadWeights, type MatchedTensor } from "../model/load-weights.js";
import type { LoadProgress } from "../platform/platform.js";
import { EngineCore } from "./engine-core.js";
import { type EngineShape, type HelperThreads, MAX_SEQUENCES, planEngine } from "./engine-plan.js";

/** How an engine is to be, and what it is made of: plain data. */
export interface EngineSetup extends EngineShape {
  /** Every tensor that the model uses, with the number of the file that it is in. */
  readonly tensors: readonly (Omit<MatchedTensor, "file"> & { readonly file: number })[];
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
  threads: HelperThreads,
  onProgress?: (progress: LoadProgress) => void,
): Promise<{ core: EngineCore; info: EngineInfo }> {
  const { decoder, dtype, kvDtype } = setup;
  const plan = planEngine(setup, threads);
  const { backend, weights, kv, scratch } = plan;
  const kernels = await backend.create(plan.bytes);
  try {
    const tensors = setup.tensors.map((tensor) => ({ ...tensor, file: files[tensor.file] }));
    await loadWeights(tensors, weights.places, kernels, plan.staging, onProgress);
  } catch (error) {
    await kernels.dispose();
    throw error;
  }
  const core = new EngineCore({
    model: new Decoder(decoder, kernels, weights.weights, scratch),
    kernels,
    kvCache: kvCacheIn(kernels, kv),
    maxSequences: MAX_SEQUENCES,
  });
  const info = {
    kernels: backend.name,
    threads: backend.threads,
    weightBytes: plan.weightBytes,
    dtype,
    kv: {
      blockSize: BLOCK_SIZE,
      dtype: kvDtype,
      blocks: kv.numBlocks,
      blockBytes: kv.blockBytes,
      bytesPerToken: kv.blockBytes / BLOCK_SIZE,
      bytes: plan.kvBytes,
    },
    memoryBytes: plan.bytes,
    tokenBudget: scratch.x.rows,
  };
  return { core, info };
}

function kvCacheIn(kernels: Kernels, layout: KvLayout): KvCache {
  const slab = kernels.u8(layout.offset, layout.numBlocks * layout.blockBytes);
  const { blockBytes } = layout;
  return new KvCache(layout, {
    copyBlock: (from, to) => slab.copyWithin(to * blockBytes, from * blockBytes, (from + 1) * blockBytes),
    hashSeed: crypto.getRandomValues(new Int32Array(1))[0],
  });
}
