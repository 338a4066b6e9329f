/**
 * How many KV blocks sequences take, counted before they have them. A window's layers need no more than what the window
 * sees, and what is written at once; the others need all.
 */
import { BLOCK_SIZE, firstKeptBlock, type KvLayout, type LayerGroup } from "../kernels/kv-layout.js";

/**
 * Most blocks that a sequence has at a time until it has so many rows.
 * @param chunk most rows that are written at once
 */
export function blocksFor(groups: readonly LayerGroup[], rows: number, chunk: number): number {
  return groups.reduce((sum, { window }) => sum + groupBlocksFor(window, rows, chunk), 0);
}

/** The same of one group. */
export function groupBlocksFor(window: LayerGroup["window"], rows: number, chunk: number): number {
  const all = Math.ceil(rows / BLOCK_SIZE);
  if (window === null) return all;
  // What is kept, the block that is being filled, and what the other rows may need.
  const seen = Math.ceil(window / BLOCK_SIZE) + 1 + Math.ceil((Math.max(1, chunk) - 1) / BLOCK_SIZE);
  return Math.min(all, seen);
}

/**
 * Most rows of a sequence that has so many blocks to itself, fed row by row if need be: a multiple of 16, or `most`.
 */
export function rowsThatFit(groups: readonly LayerGroup[], numBlocks: number, most: number): number {
  let fitting = 0;
  let tooMany = Math.ceil(most / BLOCK_SIZE) + 1;
  while (tooMany - fitting > 1) {
    const middle = Math.floor((fitting + tooMany) / 2);
    if (blocksFor(groups, middle * BLOCK_SIZE, 1) <= numBlocks) fitting = middle;
    else tooMany = middle;
  }
  return Math.min(most, fitting * BLOCK_SIZE);
}

/** Layers that see equally far, and what they take. */
export interface KvKind {
  /** So many keys are seen by each row, the last ones; null: all. */
  readonly window: number | null;
  readonly layers: number;
  /** Groups that these layers are in, with blocks of their own. Groups are numbered kind after kind. */
  readonly groups: number;
  /** Bytes of K and V of a position. */
  readonly bytesPerToken: number;
}

/** The kinds of a model's layers. */
export function kvKinds({ groups, blockBytes }: Pick<KvLayout, "groups" | "blockBytes">): KvKind[] {
  const kinds: KvKind[] = [];
  for (const { window, layers } of groups) {
    const same = kinds.findIndex((kind) => kind.window === window);
    const before = kinds[same] ?? { window, layers: 0, groups: 0, bytesPerToken: 0 };
    const kind = {
      window,
      layers: before.layers + layers.length,
      groups: before.groups + 1,
      bytesPerToken: before.bytesPerToken + blockBytes / BLOCK_SIZE,
    };
    if (same === -1) kinds.push(kind);
    else kinds[same] = kind;
  }
  return kinds;
}

/** Bytes of K and V that are kept of a sequence of so many rows. */
export function keptBytes(kinds: readonly KvKind[], rows: number): number {
  return kinds.reduce(
    (sum, { window, bytesPerToken }) =>
      sum + (rows - BLOCK_SIZE * firstKeptBlock(window, rows)) * bytesPerToken,
    0,
  );
}

/** Bytes of the blocks that a sequence has at most until it has so many rows, fed one by one. */
export function sequenceBytes(kinds: readonly KvKind[], rows: number): number {
  return kinds.reduce(
    (sum, { window, bytesPerToken }) => sum + groupBlocksFor(window, rows, 1) * BLOCK_SIZE * bytesPerToken,
    0,
  );
}
