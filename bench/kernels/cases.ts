/**
 * Every operation, in the shapes that a forward pass of GPT-2 124M and other models gives it. Products are in product-cases.ts,
 * attention in attention-cases.ts. Weights, K and V lie there in as many copies as no cache has room for, used in turn; rows
 * of activations, which a pass has just written, in one.
 */
import { columns, rows as firstRows, type KernelBackend } from "../../src/kernels/kernels.js";
import { BLOCK_SIZE, kvBlockBytes, kvLayout } from "../../src/kernels/kv-layout.js";
import type { MemoryPlan } from "../../src/kernels/memory-plan.js";
import { attentionCases } from "./attention-cases.js";
import { type IsWanted, type KernelCase, type Operands, rowsOf } from "./kernel-case.js";
import { productCases } from "./product-cases.js";

const WIDTH = 768;
const INNER = 4 * WIDTH;
const KV_SHAPE = { numLayers: 12, numKvHeads: 12, headDim: 64 };
/** Rows of a prompt. */
const PROMPT = 512;

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
  const isWanted: IsWanted = (name, byDefault) =>
    wanted.length === 0 ? byDefault : wanted.some((one) => name.startsWith(one));
  const cases = productCases(plan, backend, isWanted, rows);
  const operands = { x: plan.tensor(PROMPT, INNER), y: plan.tensor(PROMPT, INNER) };
  cases.push(...attentionCases(plan, operands, isWanted));
  return [
    ...cases,
    ...rowCases(plan, operands).filter(({ operation, shape }) => isWanted(`${operation} ${shape}`, true)),
  ];
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
