/** What always holds in a KV cache, as code. Property tests run it after every step. */
import { BLOCK_SIZE, firstKeptBlock, firstSeenBlock } from "../kernels/kv-layout.js";
import type { Adoption } from "./adoption.js";
import type { BlockTable } from "./block-table.js";
import type { KvCache } from "./kv-cache.js";
import type { PrefixNode } from "./prefix-index.js";

/** Everything that does not hold, in words; empty when the cache is sound. O(blocks + rows). */
export function violatedInvariants(cache: KvCache): string[] {
  const { pool, index } = cache;
  const violated: string[] = [];
  const expected = new Int32Array(pool.numBlocks);
  const known = new Set<PrefixNode>();
  for (const table of cache.tables) {
    violated.push(...violatedByTable(cache, table));
    for (let node = table.prefix; node !== null; node = node.parent) known.add(node);
    for (const block of table.blockIds) if (block in expected) expected[block] += 1;
  }

  for (const adoption of cache.adoptions) {
    violated.push(...violatedByAdoption(cache, adoption));
    for (const node of adoption.nodes) known.add(node);
    for (const { block } of heldBy(cache, adoption)) expected[block] += 1;
  }

  const free = pool.freeBlocks();
  const onFreeList = new Set(free);
  if (onFreeList.size !== free.length) violated.push("a block is on the free list twice");
  if (free.length !== pool.numFree)
    violated.push(`${free.length} free blocks listed, ${pool.numFree} counted`);

  let referenced = 0;
  let published = 0;
  for (let block = 0; block < pool.numBlocks; block++) {
    const count = pool.refCount(block);
    if (count !== expected[block]) {
      violated.push(
        `block ${block} has ${count} references, tables and adoptions hold it ${expected[block]} times`,
      );
    }
    if (onFreeList.has(block) !== (count === 0)) {
      violated.push(
        `block ${block} has ${count} references and is ${count === 0 ? "not " : ""}on the free list`,
      );
    }
    if (count > 0) referenced += 1;
    const node = index.nodeOf(block);
    if (node === null) continue;
    published += 1;
    for (let before: PrefixNode | null = node; before !== null; before = before.parent) known.add(before);
    violated.push(...violatedByPublished(cache, block, node));
  }
  if (referenced + free.length !== pool.numBlocks) {
    violated.push(`${referenced} referenced + ${free.length} free blocks are not ${pool.numBlocks}`);
  }
  if (published !== index.size) violated.push(`${published} published blocks, ${index.size} counted`);
  if (known.size !== index.numNodes) {
    violated.push(`${known.size} prefixes are of use, ${index.numNodes} are known`);
  }
  if (new Set([...known].map(({ id }) => id)).size !== known.size)
    violated.push("two prefixes have the same id");
  return violated;
}

/** A sequence has what its next row sees, in runs that end together; its windows have nothing that they do not need. */
function violatedByTable(cache: KvCache, table: BlockTable): string[] {
  const violated: string[] = [];
  const { length, runs, givenLength, numPublished } = table;
  const { groups } = cache.layout;
  if (length > table.capacity) violated.push(`${length} rows in ${table.capacity} slots`);
  if (length > table.tokens.length) violated.push(`${length} rows of ${table.tokens.length} tokens`);
  if (numPublished * BLOCK_SIZE > length) violated.push("a block that is not full is published");
  let depth = 0;
  for (let node = table.prefix; node !== null; node = node.parent) depth += 1;
  if (depth !== numPublished) violated.push(`a prefix of ${depth} blocks is called one of ${numPublished}`);
  for (const [group, { first, ids }] of runs.entries()) {
    const { window } = groups[group];
    if (first + ids.length !== runs[0].first + runs[0].ids.length) {
      violated.push(`group ${group} of sequence ${table.sequence} ends elsewhere than the others`);
    }
    if (first > firstSeenBlock(window, Math.max(length, givenLength))) {
      violated.push(`group ${group} begins with block ${first}, and row ${length} sees more`);
    }
    if (givenLength > 0 && first > firstKeptBlock(window, givenLength + 1)) {
      violated.push(`group ${group} begins with block ${first}, behind what is given of ${givenLength} rows`);
    }
    for (const [i, block] of ids.entries()) {
      if (block < 0 || block >= cache.pool.numBlocks) {
        violated.push(`block ${block} does not exist`);
        continue;
      }
      if (cache.groupOf(block) !== group) {
        violated.push(`block ${block} of group ${cache.groupOf(block)} is in a run of group ${group}`);
      }
      const node = cache.index.nodeOf(block);
      if (node !== null && node.blocks[group] !== block)
        violated.push(`block ${block} is not where it is found`);
      if (node !== null && first + i < numPublished && node !== nodeAt(table, first + i)) {
        violated.push(`block ${block} is published as that of another prefix than its sequence's`);
      }
    }
  }
  return violated;
}

/** An adoption holds published blocks of its prefix: each where it is found. */
function violatedByAdoption(cache: KvCache, adoption: Adoption): string[] {
  const held = heldBy(cache, adoption);
  const violated = held.flatMap(({ block, group, index }) => {
    if (adoption.nodes[index].blocks[group] === block && cache.groupOf(block) === group) return [];
    return [`adoption ${adoption.sequence} holds block ${block}, which is not block ${index} of its prefix`];
  });
  if (held.length !== adoption.numHeld)
    violated.push(
      `adoption ${adoption.sequence} holds ${held.length} blocks, and counts ${adoption.numHeld}`,
    );
  return violated;
}

function heldBy({ layout }: KvCache, adoption: Adoption) {
  return layout.groups.flatMap((_, group) =>
    adoption.nodes.flatMap((_, index) => {
      const block = adoption.heldAt(group, index);
      return block < 0 ? [] : [{ block, group, index }];
    }),
  );
}

/** The prefix that ends with block `index` of a sequence. */
function nodeAt({ prefix, numPublished }: BlockTable, index: number): PrefixNode | null {
  let node = prefix;
  for (let i = numPublished - 1; i > index && node !== null; i--) node = node.parent;
  return node;
}

function violatedByPublished(cache: KvCache, block: number, node: PrefixNode): string[] {
  const { groups } = cache.layout;
  const group = cache.groupOf(block);
  if (node.blocks[group] !== block) {
    return [`block ${block} of group ${group} is published as that of prefix ${node.id}, which has another`];
  }
  // A block is evicted after all that were computed behind it: a sequence's tail goes before its head. With several groups
  // one may be written in place before the others have gone. Blocks that are loaded come in any order.
  const isLoading = [...cache.adoptions].some(({ nodes }) => nodes.includes(node));
  const isBehindNothing = node.parent !== null && node.parent.blocks[group] < 0 && !isLoading;
  if (groups.length === 1 && groups[group].window === null && isBehindNothing) {
    return [`block ${block} is published behind prefix ${node.parent?.id}, which is not there`];
  }
  return [];
}
