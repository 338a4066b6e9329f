/** Attention of GPT-2 and of models with other heads, with K and V of every type: what cases.ts says of all cases. */
import { columns, rows as firstRows, type IndexList, type Tensor } from "../../src/kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout, kvBlockBytes, kvLayout } from "../../src/kernels/kv-layout.js";
import { KV_DTYPES, type KvDtype } from "../../src/kernels/kv-types.js";
import type { MemoryPlan } from "../../src/kernels/memory-plan.js";
import { type IsWanted, type KernelCase, type Operands, rowsOf, UNCACHED_BYTES } from "./kernel-case.js";

/** Heads, and the window of most layers. */
const MODELS = [
  { model: "GPT-2", numHeads: 12, numKvHeads: 12, headDim: 64, window: null },
  { model: "SmolLM2-135M", numHeads: 9, numKvHeads: 3, headDim: 64, window: null },
  { model: "Llama-3.2-1B", numHeads: 32, numKvHeads: 8, headDim: 64, window: null },
  { model: "TinyLlama-1.1B", numHeads: 32, numKvHeads: 4, headDim: 64, window: null },
  { model: "Qwen3-0.6B", numHeads: 16, numKvHeads: 8, headDim: 128, window: null },
  { model: "Gemma-3-270M", numHeads: 4, numKvHeads: 1, headDim: 256, window: 512 },
] as const;
/** Positions of the longest sequence. */
const CONTEXT = 2000;
/** Rows of a prompt. */
const PROMPT = 512;
/** Sequences, the rows that each of them is fed, and how many positions it then has. */
const SHAPES = [
  { batch: 1, count: 1, context: 500 },
  { batch: 1, count: 1, context: CONTEXT },
  { batch: 16, count: 1, context: 500 },
  { batch: 1, count: 4, context: 500 },
  { batch: 1, count: PROMPT, context: PROMPT },
  { batch: 1, count: PROMPT, context: 2 * PROMPT },
];
const NUM_LAYERS = 12;

/** Plans memory for the wanted cases: of each type one after the other in the same. */
export function attentionCases(plan: MemoryPlan, operands: Operands, isWanted: IsWanted): KernelCase[] {
  return KV_DTYPES.flatMap((dtype) => {
    const layouts = MODELS.filter(({ model }) => isWanted(`attention ${dtype} ${model}`, true)).map((one) => {
      const blockBytes = kvBlockBytes({ ...one, numLayers: NUM_LAYERS }, dtype);
      const blocks = Math.max(Math.ceil(CONTEXT / BLOCK_SIZE), Math.ceil(UNCACHED_BYTES / blockBytes));
      return { one, blocks, bytes: blocks * blockBytes };
    });
    if (layouts.length === 0) return [];
    const slab = plan.reserve(Math.max(...layouts.map(({ bytes }) => bytes)));
    const scratch = plan.tensor(plan.scoreRows, CONTEXT);
    return layouts.flatMap(({ one, blocks }) => {
      const kv = kvLayout({ ...one, numLayers: NUM_LAYERS }, dtype, slab, blocks);
      const table = plan.indices(blocks);
      return SHAPES.map((shape) =>
        attentionCase(plan, operands, { ...one, ...shape, dtype, kv, table, scratch }),
      );
    });
  });
}

function attentionCase(
  plan: MemoryPlan,
  { x, y }: Operands,
  one: (typeof MODELS)[number] &
    (typeof SHAPES)[number] & {
      readonly dtype: KvDtype;
      readonly kv: KvLayout;
      /** All blocks: a sequence's are some that follow one another. */
      readonly table: IndexList;
      readonly scratch: Tensor;
    },
): KernelCase {
  const { model, batch, count, context, dtype, kv, table, scratch, numHeads, window } = one;
  const sequences = plan.indices(2 * batch);
  const positions = plan.indices(batch * count);
  const first = context - count;
  let keysSeen = 0;
  for (let p = first; p < context; p++) keysSeen += batch * Math.min(p + 1, window ?? context);
  const width = numHeads * kv.headDim;
  const blocks = Math.ceil(context / BLOCK_SIZE);
  let layer = 0;
  let begin = 0;
  return {
    operation: `attention ${dtype}`,
    shape: `${model}: ${batch === 1 ? "" : `${batch} × `}${rowsOf(count)}, up to position ${context - 1}`,
    ...(count === 1
      ? { limit: "read", work: (keysSeen * kv.layerBytes) / BLOCK_SIZE }
      : { limit: "f32", work: 2 * 2 * keysSeen * width }),
    prepare: (kernels) => {
      kernels.i32(table.offset, table.length).set(Array.from({ length: table.length }, (_, i) => i));
      kernels
        .i32(positions.offset, positions.length)
        .set(Array.from({ length: positions.length }, (_, i) => first + (i % count)));
    },
    run: (kernels) => {
      layer = (layer + 1) % kv.numLayers;
      const words = kernels.i32(sequences.offset, sequences.length);
      for (let s = 0; s < batch; s++) {
        begin = (begin + blocks) % (table.length - blocks + 1);
        words[2 * s] = count;
        words[2 * s + 1] = table.offset + 4 * begin;
      }
      kernels.attention({
        q: columns(firstRows(x, 0, batch * count), 0, width),
        out: columns(firstRows(y, 0, batch * count), 0, width),
        numHeads,
        kv,
        layer,
        sequences,
        positions,
        scale: 0.125,
        window,
        softcap: null,
        scratch,
      });
    },
  };
}
