/** KV caches of engines that tests put together: over all blocks of a model's memory, or over the first ones of another's. */
import type { Kernels } from "../src/kernels/kernels.js";
import type { KvLayout } from "../src/kernels/kv-layout.js";
import { KvCache } from "../src/kv-cache/kv-cache.js";
import type { ModelParts } from "./fed-sequence.js";

/** @param layout where its blocks are in the kernels' memory */
export function cacheOver(kernels: Kernels, layout: KvLayout): KvCache {
  const { offset, numBlocks, blockBytes } = layout;
  const slab = kernels.u8(offset, numBlocks * blockBytes);
  return new KvCache(layout, {
    copyBlock: (from, to) => slab.copyWithin(to * blockBytes, from * blockBytes, (from + 1) * blockBytes),
  });
}

/** An empty cache of a model's first blocks, of all groups together. What the model's own has of them is overwritten. */
export function firstBlocks({ kernels, kvCache: { layout } }: ModelParts, numBlocks: number): KvCache {
  if (numBlocks > layout.numBlocks) throw new Error("the model has less KV memory");
  return cacheOver(kernels, { ...layout, numBlocks });
}
