/** What always holds in a KV cache, as code. Property tests run it after every step. */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { KvCache } from "./kv-cache.js";
import { NO_PREFIX } from "./prefix-index.js";

/** Everything that does not hold, in words; empty when the cache is sound. O(blocks + rows). */
export function violatedInvariants(cache: KvCache): string[] {
  const { pool, index } = cache;
  const violated: string[] = [];
  const expected = new Int32Array(pool.numBlocks);
  for (const table of cache.tables) {
    if (table.length > table.capacity) violated.push(`${table.length} rows in ${table.capacity} slots`);
    if (table.length > table.tokens.length)
      violated.push(`${table.length} rows of ${table.tokens.length} tokens`);
    if (table.numPublished * BLOCK_SIZE > table.length)
      violated.push("a block that is not full is published");
    for (const block of table.blockIds) {
      if (block < 0 || block >= pool.numBlocks) violated.push(`block ${block} does not exist`);
      else expected[block] += 1;
    }
  }

  const free = pool.freeBlocks();
  const onFreeList = new Set(free);
  if (onFreeList.size !== free.length) violated.push("a block is on the free list twice");
  if (free.length !== pool.numFree)
    violated.push(`${free.length} free blocks listed, ${pool.numFree} counted`);

  let referenced = 0;
  let published = 0;
  const ids = new Set<number>();
  for (let block = 0; block < pool.numBlocks; block++) {
    const count = pool.refCount(block);
    if (count !== expected[block]) {
      violated.push(`block ${block} has ${count} references, the tables hold it ${expected[block]} times`);
    }
    if (onFreeList.has(block) !== (count === 0)) {
      violated.push(
        `block ${block} has ${count} references and is ${count === 0 ? "not " : ""}on the free list`,
      );
    }
    if (count > 0) referenced += 1;
    if (!index.isPublished(block)) continue;
    published += 1;
    if (ids.has(index.idOf(block))) violated.push(`prefix id ${index.idOf(block)} is used twice`);
    ids.add(index.idOf(block));
  }
  for (let block = 0; block < pool.numBlocks; block++) {
    const parent = index.parentOf(block);
    // A block is evicted after all that were computed behind it: a sequence's tail goes before its head.
    if (index.isPublished(block) && parent !== NO_PREFIX && !ids.has(parent)) {
      violated.push(`block ${block} is published behind prefix ${parent}, which is not there`);
    }
  }
  if (referenced + free.length !== pool.numBlocks) {
    violated.push(`${referenced} referenced + ${free.length} free blocks are not ${pool.numBlocks}`);
  }
  if (published !== index.size) violated.push(`${published} published blocks, ${index.size} counted`);
  return violated;
}
