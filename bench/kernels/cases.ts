/**
 * Every operation, in the shapes that a forward pass of GPT-2 124M and other models gives it: a function to run, and the
 * useful work of a run. Products are in product-cases.ts. Weights, K and V lie there in as many copies as no cache has room
 * for, used in turn; rows of activations, which a pass has just written, in one.
 */
import {
  columns,
  rows as firstRows,
  type IndexList,
  type KernelBackend,
  type Kernels,
  type Tensor,
} from "../../src/kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout, kvBlockBytes, kvLayout } from "../../src/kernels/kv-layout.js";
import { KV_DTYPES, type KvDtype } from "../../src/kernels/kv-types.js";
import type { MemoryPlan } from "../../src/kernels/memory-plan.js";
import { productCases, rowsOf } from "./product-cases.js";

const WIDTH = 768;
const INNER = 4 * WIDTH;
const CONTEXT = 1024;
const KV_SHAPE = { numLayers: 12, numKvHeads: 12, headDim: 64 };
/** Heads of other models, and the window of most of their layers. */
const ATTENTION_SHAPES = [
  { model: "GPT-2", numHeads: 12, numKvHeads: 12, headDim: 64, window: null },
  { model: "SmolLM2-135M", numHeads: 9, numKvHeads: 3, headDim: 64, window: null },
  { model: "Llama-3.2-1B", numHeads: 32, numKvHeads: 8, headDim: 64, window: null },
  { model: "Qwen3-0.6B", numHeads: 16, numKvHeads: 8, headDim: 128, window: null },
  { model: "Gemma-3-270M", numHeads: 4, numKvHeads: 1, headDim: 256, window: 512 },
] as const;
/** Rows of a prompt. */
const PROMPT = 512;
/** Bytes that no cache keeps. */
const UNCACHED_BYTES = 150e6;

/** What a case is held against: bytes against the rate of reading memory, operations against the rate of their type. */
type Limit = "read" | "f32" | "int8";

export interface KernelCase {
  readonly operation: string;
  readonly shape: string;
  readonly limit: Limit;
  /** Bytes, or operations, of a run; a multiplication and an addition are two operations. */
  readonly work: number;
  /** Fills in what a run reads besides numbers. */
  readonly prepare?: (kernels: Kernels) => void;
  readonly run: (kernels: Kernels) => void;
}

/** What all but products read and write. */
interface Operands {
  readonly x: Tensor;
  readonly y: Tensor;
}

/**
 * Plans memory for all cases whose operation and shape begin with one of `wanted`; none: those of GPT-2 124M, with the types
 * of quantised files in Llama's.
 * @param rows numbers of rows of products, instead of their own
 */
export function planCases(
  plan: MemoryPlan,
  backend: KernelBackend,
  wanted: readonly string[],
  rows?: readonly number[],
): KernelCase[] {
  const isWanted = (name: string, byDefault: boolean) =>
    wanted.length === 0 ? byDefault : wanted.some((one) => name.startsWith(one));
  const cases = productCases(plan, backend, isWanted, rows);
  const operands = { x: plan.tensor(PROMPT, INNER), y: plan.tensor(PROMPT, INNER) };
  for (const dtype of KV_DTYPES) {
    const shapes = ATTENTION_SHAPES.filter(({ model }) => isWanted(`attention ${dtype} ${model}`, true));
    if (shapes.length > 0) cases.push(...attentionCases(plan, operands, dtype, shapes));
  }
  return [
    ...cases,
    ...rowCases(plan, operands).filter(({ operation, shape }) => isWanted(`${operation} ${shape}`, true)),
  ];
}

function attentionCases(
  plan: MemoryPlan,
  operands: Operands,
  dtype: KvDtype,
  models: readonly (typeof ATTENTION_SHAPES)[number][],
): KernelCase[] {
  const blocks = CONTEXT / BLOCK_SIZE;
  const { numLayers } = KV_SHAPE;
  const layouts = models.map((one) => {
    const blockBytes = kvBlockBytes({ ...one, numLayers }, dtype);
    return { one, blockBytes, contexts: Math.ceil(UNCACHED_BYTES / (blocks * blockBytes)) };
  });
  // One after the other in the same memory.
  const slab = plan.reserve(
    Math.max(...layouts.map(({ blockBytes, contexts }) => contexts * blocks * blockBytes)),
  );
  const scratch = plan.tensor(plan.scoreRows, CONTEXT);
  return layouts.flatMap(({ one, contexts }) => {
    const kv = kvLayout({ ...one, numLayers }, dtype, slab, contexts * blocks);
    const tables = Array.from({ length: contexts }, () => plan.indices(blocks));
    const shapes = [
      { count: 1, context: PROMPT },
      { count: 1, context: CONTEXT },
      { count: PROMPT, context: PROMPT },
      { count: PROMPT, context: CONTEXT },
    ];
    return shapes.map((shape) => attentionCase(plan, operands, { ...one, ...shape, kv, tables, scratch }));
  });
}

function attentionCase(
  plan: MemoryPlan,
  { x, y }: Operands,
  one: (typeof ATTENTION_SHAPES)[number] & {
    /** Rows that are fed, the last ones of the context. */
    readonly count: number;
    readonly context: number;
    readonly kv: KvLayout;
    readonly tables: readonly IndexList[];
    readonly scratch: Tensor;
  },
): KernelCase {
  const { model, count, context, kv, tables, scratch, numHeads, window } = one;
  const sequences = tables.map(() => plan.indices(2));
  const positions = plan.indices(count);
  const first = context - count;
  let keysSeen = 0;
  for (let p = first; p < context; p++) keysSeen += Math.min(p + 1, window ?? context);
  const width = numHeads * kv.headDim;
  let turn = 0;
  return {
    operation: `attention ${kv.dtype}`,
    shape: `${model}: ${rowsOf(count)}, up to position ${context - 1}`,
    ...(count === 1
      ? { limit: "read", work: (keysSeen * kv.layerBytes) / BLOCK_SIZE }
      : { limit: "f32", work: 2 * 2 * keysSeen * width }),
    prepare: (kernels) => {
      tables.forEach((table, c) => {
        const blocks = table.length;
        kernels.i32(table.offset, blocks).set(Array.from({ length: blocks }, (_, i) => c * blocks + i));
        kernels.i32(sequences[c].offset, 2).set([count, table.offset]);
      });
      kernels.i32(positions.offset, count).set(Array.from({ length: count }, (_, i) => first + i));
    },
    run: (kernels) => {
      turn += 1;
      kernels.attention({
        q: columns(firstRows(x, 0, count), 0, width),
        out: columns(firstRows(y, 0, count), 0, width),
        numHeads,
        kv,
        layer: turn % kv.numLayers,
        sequences: sequences[turn % tables.length],
        positions,
        scale: 0.125,
        window,
        softcap: null,
        scratch,
      });
    },
  };
}

/** What works row by row: bytes are those that are read and written. */
function rowCases(plan: MemoryPlan, { x, y }: Operands): KernelCase[] {
  const gain = plan.tensor(1, WIDTH);
  const blocks = PROMPT / BLOCK_SIZE;
  const slots = plan.indices(PROMPT);
  const kv = kvLayout(KV_SHAPE, "f32", plan.reserve(blocks * kvBlockBytes(KV_SHAPE, "f32")), blocks);
  return [1, PROMPT].flatMap((count): KernelCase[] => {
    const from = columns(firstRows(x, 0, count), 0, WIDTH);
    const to = columns(firstRows(y, 0, count), 0, WIDTH);
    const wide = firstRows(x, 0, count);
    const values = 4 * count * WIDTH;
    const shape = `${rowsOf(count)} of ${WIDTH}`;
    return [
      {
        ...{ operation: "layerNorm", shape, limit: "read", work: 2 * values },
        run: (kernels) => kernels.layerNorm(to, from, gain, gain, 1e-5),
      },
      {
        ...{ operation: "rmsNorm", shape, limit: "read", work: 2 * values },
        run: (kernels) => kernels.rmsNorm(to, from, gain, 1e-5),
      },
      {
        ...{ operation: "rotate", shape, limit: "read", work: 2 * values },
        run: (kernels) => kernels.rotate(to, columns(from, 0, KV_SHAPE.headDim), KV_SHAPE.headDim),
      },
      {
        ...{ operation: "gate silu", shape, limit: "read", work: 3 * values },
        run: (kernels) => kernels.gate(to, to, from, "silu"),
      },
      {
        ...{ operation: "softcap", shape, limit: "read", work: 2 * values },
        run: (kernels) => kernels.softcap(to, 30),
      },
      {
        ...{ operation: "scale", shape, limit: "read", work: 2 * values },
        run: (kernels) => kernels.scale(to, 1),
      },
      {
        ...{ operation: "gelu_new", shape: `${rowsOf(count)} of ${INNER}`, limit: "read", work: 8 * values },
        run: (kernels) => kernels.activate(wide, "gelu_new"),
      },
      {
        ...{ operation: "add", shape, limit: "read", work: 3 * values },
        run: (kernels) => kernels.add(to, from),
      },
      {
        ...{ operation: "writeKv", shape, limit: "read", work: 4 * values },
        prepare: (kernels) =>
          kernels.i32(slots.offset, PROMPT).set(Array.from({ length: PROMPT }, (_, i) => i)),
        run: (kernels) => kernels.writeKv(kv, 0, from, to, { ...slots, length: count }),
      },
    ];
  });
}
