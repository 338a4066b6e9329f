/** How the blocks of a KV cache are used at the moment. */
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { EngineStats } from "../protocol/engine-stats.js";

/** O(blocks). */
export function blockCounts(kvCache: KvCache): EngineStats["blocks"] {
  const { pool, index, layout } = kvCache;
  let cached = 0;
  const kinds = new Map(layout.groups.map(({ window }) => [window, 0]));
  for (let block = 0; block < pool.numBlocks; block++) {
    const isFree = pool.refCount(block) === 0;
    if (isFree && index.isPublished(block)) cached += 1;
    if (isFree) continue;
    const { window } = layout.groups[kvCache.groupOf(block)];
    kinds.set(window, (kinds.get(window) ?? 0) + 1);
  }
  return {
    total: pool.numBlocks,
    referenced: pool.numBlocks - pool.numFree,
    cached,
    free: pool.numFree - cached,
    kinds: [...kinds].map(([window, referenced]) => ({ window, referenced })),
  };
}
