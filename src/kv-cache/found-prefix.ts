/** Looks for a prefix's blocks, without changing anything. */
import { BLOCK_SIZE, type BlockRun, firstKeptBlock, type LayerGroup } from "../kernels/kv-layout.js";
import type { BlockPool } from "./block-pool.js";
import type { PrefixIndex, PrefixNode } from "./prefix-index.js";

/** A prefix that is there already; valid until the cache changes. */
export interface FoundPrefix {
  /** Rows: a multiple of 16. */
  readonly length: number;
  /** By group of layers: what is kept of so many rows. */
  readonly runs: readonly BlockRun[];
  /** All blocks of the runs. */
  readonly blocks: readonly number[];
  /** How many of them are on the free list: taking them leaves so many fewer for others. */
  readonly free: number;
  readonly prefix: PrefixNode | null;
}

/** Where to look. */
interface KnownBlocks {
  readonly index: Pick<PrefixIndex, "find">;
  readonly pool: Pick<BlockPool, "refCount">;
  readonly groups: readonly LayerGroup[];
}

/**
 * The longest prefix of `tokens` of which all blocks are there that a sequence keeps of it: of at most `maxBlocks` times 16
 * tokens. What the row behind it sees would be enough to go on, but with a window of 17, 33, … not to be saved.
 * @param salt null: nothing is found
 */
export function findPrefix(
  known: KnownBlocks,
  salt: string | null,
  tokens: ArrayLike<number>,
  maxBlocks: number,
): FoundPrefix {
  const nodes = prefixNodes(known, salt, tokens, maxBlocks);
  let free = 0;
  const runs = known.groups.map(({ window }, group) => {
    const first = firstKeptBlock(window, nodes.length * BLOCK_SIZE);
    const ids = nodes.slice(first).map(({ blocks }) => blocks[group]);
    for (const block of ids) if (known.pool.refCount(block) === 0) free += 1;
    return { first, ids };
  });
  return {
    length: nodes.length * BLOCK_SIZE,
    runs,
    blocks: runs.flatMap(({ ids }) => ids),
    free,
    prefix: nodes.at(-1) ?? null,
  };
}

/** How many blocks long it is: for what only asks that, and of many sequences. */
export function prefixBlocks(
  known: Omit<KnownBlocks, "pool">,
  salt: string | null,
  tokens: ArrayLike<number>,
  maxBlocks: number,
): number {
  return prefixNodes(known, salt, tokens, maxBlocks).length;
}

/** The prefixes that end with each of its blocks. */
function prefixNodes(
  { index, groups }: Omit<KnownBlocks, "pool">,
  salt: string | null,
  tokens: ArrayLike<number>,
  maxBlocks: number,
): PrefixNode[] {
  const nodes: PrefixNode[] = [];
  /** By group: so many blocks up to the last node are there without a gap. */
  const unbroken = groups.map(() => 0);
  let longest = 0;
  let parent: PrefixNode | null = null;
  while (salt !== null && nodes.length < maxBlocks) {
    const node = index.find({ parent, tokens, from: nodes.length * BLOCK_SIZE, salt });
    if (node === null) break;
    nodes.push(node);
    let isWhole = true;
    let isLost = false;
    for (let group = 0; group < groups.length; group++) {
      const { window } = groups[group];
      unbroken[group] = node.blocks[group] < 0 ? 0 : unbroken[group] + 1;
      const first = firstKeptBlock(window, nodes.length * BLOCK_SIZE);
      isWhole &&= unbroken[group] >= nodes.length - first;
      isLost ||= window === null && unbroken[group] === 0;
    }
    // Layers that see everything cannot do without it further on.
    if (isLost) break;
    if (isWhole) longest = nodes.length;
    parent = node;
  }
  nodes.length = longest;
  return nodes;
}
