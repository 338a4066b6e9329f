/**
 * Rows of K and V as everyone else has them, (positions, heads, headDim), and as they lie in a KV block. Copies in both
 * directions and changes no bit: integers and scales of int8 stay what they are.
 */
import type { Kernels } from "./kernels.js";
import { BLOCK_SIZE, type KvDtype, type KvLayout, kvOffset, scaleOffset, valueOffset } from "./kv-layout.js";

/** What a block keeps of a position and a layer; scales belong to int8. */
export type KvPart = "key" | "value" | "key_scale" | "value_scale";

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
  const bytes = numKvHeads * headDim * (dtype === "f32" ? 4 : 1);
  const scales = (part: KvPart) =>
    ({ part, element: "f32", shape: [numKvHeads], bytes: 4 * numKvHeads }) as const;
  const elements = (part: KvPart) => ({ part, element: dtype, shape, bytes }) as const;
  return [
    ...(dtype === "int8" ? [scales("key_scale"), scales("value_scale")] : []),
    elements("key"),
    elements("value"),
  ];
}

export interface KvPartShape {
  readonly part: KvPart;
  readonly element: KvDtype;
  /** Of a row: (heads, headDim), or (heads) of scales. */
  readonly shape: readonly number[];
  /** Of a row. */
  readonly bytes: number;
}

/** Rows of a sequence: of some of its blocks, in order, for each of some tensors. */
export interface RowRange {
  readonly firstBlock: number;
  readonly numBlocks: number;
  readonly tensors: readonly { readonly layer: number; readonly part: KvPart; readonly rowBytes: number }[];
}

/**
 * Copies rows out of a block.
 * @param out (count, …the part's shape), at an address that is a multiple of its element's size
 */
export function readKvRows(memory: KvMemory, kv: KvLayout, rows: KvRows, out: Uint8Array): void {
  const { slab, order } = placeOf(memory, kv, rows);
  copy({
    to: elementsOf(out, slab),
    toOrder: order.rows,
    from: slab,
    fromOrder: order.slab,
    counts: order.counts,
  });
}

/** Copies rows into a block; what `readKvRows` copied out. */
export function writeKvRows(memory: KvMemory, kv: KvLayout, rows: KvRows, source: Uint8Array): void {
  const { slab, order } = placeOf(memory, kv, rows);
  copy({
    to: slab,
    toOrder: order.slab,
    from: elementsOf(source, slab),
    fromOrder: order.rows,
    counts: order.counts,
  });
}

type KvMemory = Pick<Kernels, "i32" | "u8">;

/** f32 is copied as 32-bit integers: a NaN keeps its payload. */
type Elements = Int32Array | Uint8Array;

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

function placeOf(memory: KvMemory, kv: KvLayout, rows: KvRows): { slab: Elements; order: Walk } {
  const { layerBytes, dtype } = kv;
  const offset = kvOffset(kv, rows.block, rows.layer, 0);
  const isWords = dtype === "f32" || rows.part === "key_scale" || rows.part === "value_scale";
  return {
    slab: isWords ? memory.i32(offset, layerBytes / 4) : memory.u8(offset, layerBytes),
    order: walkOf(kv, rows),
  };
}

/** Along the dimensions of a row: they are many, and lie side by side in the row. */
function walkOf(kv: KvLayout, { part, count }: KvRows): Walk {
  const { numKvHeads: heads, headDim, headBytes } = kv;
  const elementBytes = kv.dtype === "f32" ? 4 : 1;
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

function elementsOf(bytes: Uint8Array, like: Elements): Elements {
  return like instanceof Uint8Array
    ? bytes
    : new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
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
