/** What K and V take, and what they would take without grouped heads and without windows. */
import { type KvKind, sequenceBytes } from "../kv-cache/block-needs.js";
import type { ModelInfo } from "../library/model-info.js";

/** Bytes of K and V. */
export interface CacheBytes {
  /** Of a row, in all layers. */
  readonly token: number;
  /** Of the sequence, in whole blocks: the most that it has at a time, fed row by row. */
  readonly sequence: number;
  /** Of a full context, in the same way. */
  readonly context: number;
}

/** Bytes of the KV cache as it is, and as it would be. */
export interface CacheCosts {
  /** As it is. */
  readonly cacheBytes: CacheBytes;
  /** The same with as many heads of K and V as of queries: what grouped heads save. Null where no heads are grouped. */
  readonly ungroupedCacheBytes: CacheBytes | null;
  /** The same when every layer kept all rows: what windows save. Null where no layer has a window. */
  readonly unwindowedCacheBytes: CacheBytes | null;
}

/**
 * Bytes of K and V of a sequence, as the cache keeps them, and as they would be without grouped heads or without windows.
 * @param info of the model that is loaded
 * @param rows of the sequence, 0 or more
 */
export function cacheCosts({ config, kv }: Pick<ModelInfo, "config" | "kv">, rows: number): CacheCosts {
  const { kinds } = kv;
  const { numHeads, numKvHeads, contextLength } = config;
  const bytesOf = (of: readonly KvKind[]): CacheBytes => ({
    token: of.reduce((sum, { bytesPerToken }) => sum + bytesPerToken, 0),
    sequence: sequenceBytes(of, rows),
    context: sequenceBytes(of, contextLength),
  });
  const groupSize = numHeads / numKvHeads;
  const ungrouped = kinds.map((kind) => ({ ...kind, bytesPerToken: groupSize * kind.bytesPerToken }));
  const hasWindows = kinds.some(({ window }) => window !== null);
  return {
    cacheBytes: bytesOf(kinds),
    ungroupedCacheBytes: groupSize === 1 ? null : bytesOf(ungrouped),
    unwindowedCacheBytes: hasWindows ? bytesOf(kinds.map((kind) => ({ ...kind, window: null }))) : null,
  };
}
