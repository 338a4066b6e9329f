/** From what is known of a model to an engine that runs it: plans its memory, starts its kernels and reads its weights. */

import type { ReadProgress } from "../formats/load-progress.js";
import type { ModelFile } from "../formats/model-files.js";
import type { Kernels } from "../kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout } from "../kernels/kv-layout.js";
import type { PackedDtype } from "../kernels/weight-types.js";
import { kvKinds } from "../kv-cache/block-needs.js";
import { KvCache } from "../kv-cache/kv-cache.js";
import { Decoder } from "../model/decoder.js";
import { loadWeights } from "../model/load-weights.js";
import type { EngineInfo, EngineSetup } from "../protocol/engine-setup.js";
import { EngineCore } from "./engine-core.js";
import { type EngineThreads, MAX_SEQUENCES, matricesOf, planEngine } from "./engine-plan.js";

/**
 * Loads an engine: its weights are read once, straight into the kernels' memory, which is reserved once.
 *
 * @param files those of the setup, in its order; they stay open
 * @throws LastrowError `invalid_argument` for KV memory without room for a block, `memory_limit_exceeded`,
 *   `runtime_unsupported`, `code_unavailable`, `thread_lost`, `weights_not_finite`, `model_file_invalid`; what the files throw
 */
export async function loadEngine(
  setup: EngineSetup,
  files: readonly ModelFile[],
  threads: EngineThreads,
  onProgress?: (progress: ReadProgress) => void,
): Promise<{ core: EngineCore; info: EngineInfo }> {
  const { kvDtype } = setup;
  const plan = planEngine(setup, threads);
  const { backend, weights, kv, contextLength, contextBound } = plan;
  const { matrixBytes, dtype } = matricesOf(plan);
  const dtypes = Object.keys(matrixBytes) as PackedDtype[];
  const storedDtypes = setup.tensors.map(({ entry }) => entry.dtype);
  const kernels = await backend.create(plan.bytes, { dtypes, kvDtypes: [kvDtype], storedDtypes });
  let roundedTensors: number;
  try {
    const tensors = setup.tensors.map((tensor) => ({ ...tensor, file: files[tensor.file] }));
    roundedTensors = await loadWeights(tensors, weights.places, kernels, plan.staging, onProgress);
  } catch (error) {
    await kernels.dispose();
    throw error;
  }
  const model = new Decoder(plan.decoder, kernels, weights.weights, plan.scratch);
  const core = new EngineCore({
    model,
    kernels,
    kvCache: kvCacheIn(kernels, kv),
    maxSequences: MAX_SEQUENCES,
  });
  const info = {
    kernels: backend.name,
    threads: backend.threads,
    vectors: kernels.vectors,
    dots: kernels.dots,
    notices: [...kernels.notices, ...vectorNotices(setup, threads, kernels)],
    weightBytes: plan.weightBytes,
    ...{ dtype, matrixBytes },
    roundedTensors,
    contextLength,
    contextBound,
    kv: {
      blockSize: BLOCK_SIZE,
      dtype: kvDtype,
      blocks: kv.numBlocks,
      blockBytes: kv.blockBytes,
      bytesPerToken: (kv.groups.length * kv.blockBytes) / BLOCK_SIZE,
      kinds: kvKinds(kv),
      bytes: plan.kvBytes,
      tokens: plan.kvTokens,
      bound: plan.kvBound,
    },
    memoryBytes: plan.bytes,
    tokenBudget: model.maxRows,
  };
  return { core, info };
}

/** Why there are no vectors of 256 bits where they were asked for. */
function vectorNotices({ vectors }: EngineSetup, threads: EngineThreads, kernels: Kernels): string[] {
  if (vectors !== 256 || kernels.vectors === 256 || kernels.notices.length > 0) return [];
  const wide = kernels.vectors === null ? "the reference kernels have none" : threads.wideVectors(false);
  const reason = typeof wide === "string" ? wide : "V8 makes none with this processor";
  return [`Vectors of 256 bits were asked for and are not in use: ${reason}.`];
}

function kvCacheIn(kernels: Kernels, layout: KvLayout): KvCache {
  const slab = kernels.u8(layout.offset, layout.numBlocks * layout.blockBytes);
  const { blockBytes } = layout;
  return new KvCache(layout, {
    copyBlock: (from, to) => slab.copyWithin(to * blockBytes, from * blockBytes, (from + 1) * blockBytes),
    hashSeed: crypto.getRandomValues(new Int32Array(1))[0],
  });
}
