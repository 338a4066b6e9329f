/**
 * Rows of K and V as everyone else has them, (positions, heads, headDim), and as they lie in a KV block. Copies in both
 * directions and changes no bit: integers and scales of int8 stay what they are.
 */
import type { Kernels } from "./kernels.js";
import { BLOCK_SIZE, type KvLayout, kvOffset, scaleOffset, valueOffset } from "./kv-layout.js";
import { KV_TYPES, type KvType } from "./kv-types.js";

/** What a block keeps of a position and a layer; not every type has scales. */
type KvPart = "key" | "value" | "key_scale" | "value_scale";

/** Which rows: the first ones of one part of one layer of a block. */
export interface KvRows {
  readonly block: number;
  readonly layer: number;
  readonly part: KvPart;
  /** 1 to 16. */
  readonly count: number;
}

/** The parts of a layer, and the elements and bytes that a row of each has. */
export function kvParts(kv: Pick<KvLayout, "dtype" | "numKvHeads" | "headDim">): readonly KvPartShape[] {
  const { dtype, numKvHeads, headDim } = kv;
  const shape = [numKvHeads, headDim];
  const { elementBytes, scaled, savedAs } = KV_TYPES[dtype];
  const bytes = numKvHeads * headDim * elementBytes;
  const scales = (part: KvPart) =>
    ({ part, elementBytes: 4, savedAs: "F32", shape: [numKvHeads], bytes: 4 * numKvHeads }) as const;
  const elements = (part: KvPart) => ({ part, elementBytes, savedAs, shape, bytes }) as const;
  return [
    ...(scaled ? [scales("key_scale"), scales("value_scale")] : []),
    elements("key"),
    elements("value"),
  ];
}

export interface KvPartShape {
  readonly part: KvPart;
  readonly elementBytes: keyof typeof ELEMENTS;
  /** The element's type in a saved sequence. */
  readonly savedAs: KvType["savedAs"];
  /** Of a row: (heads, headDim), or (heads) of scales. */
  readonly shape: readonly number[];
  /** Of a row. */
  readonly bytes: number;
}

/** Rows of a sequence: of some of its blocks, in order, for each of some tensors. */
export interface RowRange {
  readonly firstBlock: number;
  readonly numBlocks: number;
  readonly tensors: readonly RangeTensor[];
}

export interface RangeTensor {
  readonly layer: number;
  readonly part: KvPart;
  readonly rowBytes: number;
  /** It has no rows of the sequence's blocks before this one. */
  readonly firstBlock: number;
}

/** Rows that a tensor has of the positions from the beginning of block `firstBlock` to before `end`. */
export function rowsInRange(tensor: RangeTensor, firstBlock: number, end: number): number {
  return Math.max(0, end - BLOCK_SIZE * Math.max(firstBlock, tensor.firstBlock));
}

/**
 * Copies rows out of a block.
 * @param out (count, …the part's shape), at an address that is a multiple of its element's size
 */
export function readKvRows(memory: KvMemory, kv: KvLayout, rows: KvRows, out: Uint8Array): void {
  const { slab, elementsOf, order } = placeOf(memory, kv, rows);
  copy({
    to: elementsOf(out),
    toOrder: order.rows,
    from: slab,
    fromOrder: order.slab,
    counts: order.counts,
  });
}

/** Copies rows into a block; what `readKvRows` copied out. */
export function writeKvRows(memory: KvMemory, kv: KvLayout, rows: KvRows, source: Uint8Array): void {
  const { slab, elementsOf, order } = placeOf(memory, kv, rows);
  copy({
    to: slab,
    toOrder: order.slab,
    from: elementsOf(source),
    fromOrder: order.rows,
    counts: order.counts,
  });
}

type KvMemory = Pick<Kernels, "i32" | "u8">;

type Elements = Int32Array | Uint16Array | Uint8Array;

/** Views of elements of so many bytes. Floats are copied as integers: a NaN keeps its payload. */
const ELEMENTS = {
  4: {
    inMemory: (memory: KvMemory, offset: number, bytes: number): Elements => memory.i32(offset, bytes / 4),
    of: (bytes: Uint8Array): Elements => new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4),
  },
  2: {
    inMemory: (memory: KvMemory, offset: number, bytes: number): Elements => halves(memory.u8(offset, bytes)),
    of: (bytes: Uint8Array): Elements => halves(bytes),
  },
  1: {
    inMemory: (memory: KvMemory, offset: number, bytes: number): Elements => memory.u8(offset, bytes),
    of: (bytes: Uint8Array): Elements => bytes,
  },
} as const;

function halves({ buffer, byteOffset, length }: Uint8Array): Uint16Array {
  return new Uint16Array(buffer, byteOffset, length / 2);
}

/** How far apart, in elements, heads are, and the neighbours of the outer and of the inner loop. */
interface Order {
  readonly start: number;
  readonly head: number;
  readonly outer: number;
  readonly inner: number;
}

interface Walk {
  readonly counts: { readonly heads: number; readonly outer: number; readonly inner: number };
  readonly slab: Order;
  readonly rows: Order;
}

function placeOf(memory: KvMemory, kv: KvLayout, rows: KvRows) {
  const offset = kvOffset(kv, rows.block, rows.layer, 0);
  const isScale = rows.part === "key_scale" || rows.part === "value_scale";
  const { inMemory, of } = ELEMENTS[isScale ? 4 : KV_TYPES[kv.dtype].elementBytes];
  return { slab: inMemory(memory, offset, kv.layerBytes), elementsOf: of, order: walkOf(kv, rows) };
}

/** Along the dimensions of a row: they are many, and lie side by side in the row. */
function walkOf(kv: KvLayout, { part, count }: KvRows): Walk {
  const { numKvHeads: heads, headDim, headBytes } = kv;
  const { elementBytes } = KV_TYPES[kv.dtype];
  const perRow = heads * headDim;
  const head = headBytes / elementBytes;
  switch (part) {
    case "key":
      return {
        counts: { heads, outer: count, inner: headDim },
        slab: { start: 0, head, outer: 1, inner: BLOCK_SIZE },
        rows: { start: 0, head: headDim, outer: perRow, inner: 1 },
      };
    case "value":
      return {
        counts: { heads, outer: count, inner: headDim },
        slab: { start: valueOffset(kv) / elementBytes, head, outer: headDim, inner: 1 },
        rows: { start: 0, head: headDim, outer: perRow, inner: 1 },
      };
    default: {
      const behind = part === "key_scale" ? 0 : BLOCK_SIZE;
      return {
        counts: { heads, outer: 1, inner: count },
        slab: { start: scaleOffset(kv) / 4 + behind, head: headBytes / 4, outer: 0, inner: 1 },
        rows: { start: 0, head: 1, outer: 0, inner: heads },
      };
    }
  }
}

function copy(call: {
  readonly to: Elements;
  readonly toOrder: Order;
  readonly from: Elements;
  readonly fromOrder: Order;
  readonly counts: Walk["counts"];
}): void {
  const { to, toOrder, from, fromOrder } = call;
  const { heads, outer, inner } = call.counts;
  // Read once: the loop runs twice as fast.
  const toStep = toOrder.inner;
  const fromStep = fromOrder.inner;
  for (let h = 0; h < heads; h++) {
    for (let o = 0; o < outer; o++) {
      let t = toOrder.start + h * toOrder.head + o * toOrder.outer;
      let f = fromOrder.start + h * fromOrder.head + o * fromOrder.outer;
      for (let i = 0; i < inner; i++) {
        to[t] = from[f];
        t += toStep;
        f += fromStep;
      }
    }
  }
}
