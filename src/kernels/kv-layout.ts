/**
 * Where a key or a value lies in the KV slab. This is the only place that knows.
 *
 *   slab   = block 0 | block 1 | …            a block is contiguous: it can be copied or saved in one piece
 *   block  = layer 0 | layer 1 | …            the layers of one group
 *   layer  = head 0 | head 1 | …              KV heads
 *   head   = K (headDim, 16) | V (16, headDim)
 *   head   = K (headDim, 16) | V (16, headDim) | 16 key scales | 16 value scales  of a type with scales, which are f32
 *
 * K is stored transposed, so that the 16 keys of a block lie side by side and one vector load serves four of them;
 * V is stored by position, so that one load serves four of its dimensions.
 *
 * Layers that see equally far are of one kind. A block holds 16 positions of one group of layers: all layers, where there
 * is one kind; otherwise as many of one kind as divide the number of each kind's layers. So all blocks have one size, and
 * any of them can serve any group.
 */
import { KV_TYPES, type KvDtype } from "./kv-types.js";

/** Positions in a block. Part of the numerics: softmax sums run in 16 lanes, block by block (docs/numerics.md). */
export const BLOCK_SIZE = 16;

/** Layers that share blocks. */
export interface LayerGroup {
  /** So many keys are seen by each row of these layers, the last ones; null: all. */
  readonly window: number | null;
  /** Their numbers in the model, ascending: a block has them in this order. */
  readonly layers: readonly number[];
}

export interface KvLayout {
  readonly dtype: KvDtype;
  /** Byte offset of the slab. */
  readonly offset: number;
  /** Blocks of all groups together. */
  readonly numBlocks: number;
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** One or more, each of equally many layers; those of one kind follow one another. */
  readonly groups: readonly LayerGroup[];
  /** For each layer the number of its group, and its place among the group's layers. */
  readonly places: readonly { readonly group: number; readonly index: number }[];
  /** Bytes of one head of one layer in one block: K, V and scales. */
  readonly headBytes: number;
  readonly layerBytes: number;
  readonly blockBytes: number;
}

export interface KvShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Of each layer, as `LayerGroup.window`; by default every layer sees all keys. */
  readonly windows?: readonly (number | null)[];
}

/** The groups of a model's layers, kinds in the order of their first layers. */
export function layerGroups({ numLayers, windows }: KvShape): LayerGroup[] {
  const kinds = new Map<number | null, number[]>();
  for (let layer = 0; layer < numLayers; layer++) {
    const window = windows?.[layer] ?? null;
    const layers = kinds.get(window);
    if (layers === undefined) kinds.set(window, [layer]);
    else layers.push(layer);
  }
  const size = [...kinds.values()].reduce((most, { length }) => greatestDivisor(most, length), 0);
  return [...kinds].flatMap(([window, layers]) =>
    Array.from({ length: layers.length / size }, (_, i) => ({
      window,
      layers: layers.slice(i * size, (i + 1) * size),
    })),
  );
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** Bytes of one block: 16 positions of the layers of one group. */
export function kvBlockBytes(shape: KvShape, dtype: KvDtype): number {
  return layerGroups(shape)[0].layers.length * shape.numKvHeads * headBytes(shape.headDim, dtype);
}

export function kvLayout(shape: KvShape, dtype: KvDtype, offset: number, numBlocks: number): KvLayout {
  const { numLayers, numKvHeads, headDim } = shape;
  const bytes = headBytes(headDim, dtype);
  const layerBytes = numKvHeads * bytes;
  const groups = layerGroups(shape);
  const places = Array.from({ length: numLayers }, (_, layer) => {
    const group = groups.findIndex(({ layers }) => layers.includes(layer));
    return { group, index: groups[group].layers.indexOf(layer) };
  });
  return {
    dtype,
    offset,
    numBlocks,
    numLayers,
    numKvHeads,
    headDim,
    groups,
    places,
    headBytes: bytes,
    layerBytes,
    blockBytes: groups[0].layers.length * layerBytes,
  };
}

/** A sequence's blocks of one group: `ids[i]` holds positions 16 (first + i) … 16 (first + i) + 15. */
export interface BlockRun {
  /** Blocks before it that the sequence does not have any more. */
  readonly first: number;
  readonly ids: readonly number[];
}

/** The runs of a sequence that has a slab for itself, with `numBlocks` blocks of each group. */
export function runsAlone(groups: KvLayout["groups"], numBlocks: number): BlockRun[] {
  return groups.map((_, group) => ({
    first: 0,
    ids: Array.from({ length: numBlocks }, (_, i) => group * numBlocks + i),
  }));
}

/** Where the row of a position lies, counted in rows over all blocks: block id · 16 + position mod 16. */
export function slotOf({ first, ids }: BlockRun, position: number): number {
  return ids[Math.floor(position / BLOCK_SIZE) - first] * BLOCK_SIZE + (position % BLOCK_SIZE);
}

/** The block with the first key that the row of a position sees: those before it are not read for it, nor for later rows. */
export function firstSeenBlock(window: LayerGroup["window"], position: number): number {
  return window === null ? 0 : Math.floor(Math.max(0, position + 1 - window) / BLOCK_SIZE);
}

/**
 * The first block that a sequence of `length` rows keeps: the last ⌈window / 16⌉ full blocks, and the one that is being
 * filled. That is what the next row sees, what the last row saw, and what every row sees that comes after the last full block, so that the
 * sequence can be cut back so far, found, and saved.
 */
export function firstKeptBlock(window: LayerGroup["window"], length: number): number {
  if (window === null) return 0;
  return Math.max(0, Math.floor(length / BLOCK_SIZE) - Math.ceil(window / BLOCK_SIZE));
}

/** Byte offset of K (headDim, 16) of one head in one block; V (16, headDim) follows it. */
export function kvOffset(kv: KvLayout, block: number, layer: number, kvHead: number): number {
  const { index } = kv.places[layer];
  return kv.offset + block * kv.blockBytes + index * kv.layerBytes + kvHead * kv.headBytes;
}

/** Bytes from the start of a head's K to its V. */
export function valueOffset(kv: KvLayout): number {
  return KV_TYPES[kv.dtype].elementBytes * BLOCK_SIZE * kv.headDim;
}

/** Bytes from the start of a head's K to the scales of its keys; those of its values follow. Only of a type with scales. */
export function scaleOffset(kv: KvLayout): number {
  return 2 * valueOffset(kv);
}

function headBytes(headDim: number, dtype: KvDtype): number {
  const { elementBytes, scaled } = KV_TYPES[dtype];
  return 2 * BLOCK_SIZE * (headDim * elementBytes + (scaled ? 4 : 0));
}
