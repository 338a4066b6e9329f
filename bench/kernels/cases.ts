/**
 * Every operation of GPT-2 124M in the shapes that a forward pass gives it: a function to run, and the useful work of a
 * run. Weights, K and V lie there in as many copies as no cache has room for, used in turn; rows of activations, which a
 * pass has just written, in one.
 */
import { columns, rows as firstRows, type KernelBackend, type Kernels } from "../../src/kernels/kernels.js";
import { BLOCK_SIZE, kvBlockBytes, kvLayout } from "../../src/kernels/kv-layout.js";
import type { KvDtype } from "../../src/kernels/kv-types.js";
import type { MemoryPlan } from "../../src/kernels/memory-plan.js";
import { PACKED_DTYPES, type PackedDtype } from "../../src/kernels/weight-types.js";

const WIDTH = 768;
const INNER = 4 * WIDTH;
const VOCAB = 50_257;
const CONTEXT = 1024;
const KV_SHAPE = { numLayers: 12, numKvHeads: 12, headDim: 64 };
/** Rows of a prompt. */
const PROMPT = 512;
/** Rows of a step that decodes for many. */
const BATCH = 16;
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

type Operands = ReturnType<typeof planOperands>;

/** Plans memory for all cases whose operation begins with one of `wanted`; none: all. */
export function planCases(plan: MemoryPlan, backend: KernelBackend, wanted: readonly string[]): KernelCase[] {
  const operands = planOperands(plan, backend);
  const isWanted = (operation: string) =>
    wanted.length === 0 || wanted.some((name) => operation.startsWith(name));
  const cases: KernelCase[] = [];
  for (const dtype of PACKED_DTYPES) {
    if (isWanted(`linear ${dtype}`)) cases.push(...linearCases(plan, backend, operands, dtype));
  }
  for (const dtype of ["f32", "int8"] as const) {
    if (isWanted(`attention ${dtype}`)) cases.push(...attentionCases(plan, operands, dtype));
  }
  return [...cases, ...rowCases(plan, operands).filter(({ operation }) => isWanted(operation))];
}

function planOperands(plan: MemoryPlan, backend: KernelBackend) {
  return {
    x: plan.tensor(PROMPT, INNER),
    y: plan.tensor(PROMPT, INNER),
    bias: plan.tensor(1, INNER),
    logits: plan.tensor(BATCH, VOCAB),
    scratch: plan.tensor(
      1,
      Math.max(...PACKED_DTYPES.map((dtype) => backend.scratchFloats(PROMPT, INNER, dtype))),
    ),
  };
}

function rowsOf(count: number): string {
  return count === 1 ? "1 row" : `${count} rows`;
}

function linearCases(
  plan: MemoryPlan,
  backend: KernelBackend,
  { x, y, bias, logits, scratch }: Operands,
  dtype: PackedDtype,
): KernelCase[] {
  const shapes: readonly (readonly [
    name: string,
    inFeatures: number,
    outFeatures: number,
    rows: readonly number[],
  ])[] = [
    ["c_attn", WIDTH, 3 * WIDTH, [1, BATCH, PROMPT]],
    ["attn.c_proj", WIDTH, WIDTH, [1, BATCH, PROMPT]],
    ["c_fc", WIDTH, INNER, [1, BATCH, PROMPT]],
    ["mlp.c_proj", INNER, WIDTH, [1, BATCH, PROMPT]],
    ["lm_head", WIDTH, VOCAB, [1, BATCH]],
  ];
  return shapes.flatMap(([name, inFeatures, outFeatures, counts]) => {
    const bytes = backend.packedBytes(inFeatures, outFeatures, dtype);
    const weights = Array.from({ length: Math.ceil(UNCACHED_BYTES / bytes) }, () => ({
      ...{ dtype, inFeatures, outFeatures },
      offset: plan.reserve(bytes),
    }));
    return counts.map((count): KernelCase => {
      const from = columns(firstRows(x, 0, count), 0, inFeatures);
      const isHead = outFeatures === VOCAB;
      const to = isHead ? firstRows(logits, 0, count) : columns(firstRows(y, 0, count), 0, outFeatures);
      let turn = 0;
      return {
        operation: `linear ${dtype}`,
        shape: `${name} (${inFeatures}, ${outFeatures}), ${rowsOf(count)}`,
        ...(count === 1
          ? { limit: "read", work: bytes }
          : { limit: dtype === "int8" ? "int8" : "f32", work: 2 * count * inFeatures * outFeatures }),
        run: (kernels) => {
          turn = (turn + 1) % weights.length;
          kernels.linear(to, from, weights[turn], isHead ? null : bias, scratch);
        },
      };
    });
  });
}

function attentionCases(plan: MemoryPlan, { x, y }: Operands, dtype: KvDtype): KernelCase[] {
  const { numLayers, numKvHeads } = KV_SHAPE;
  const blocks = CONTEXT / BLOCK_SIZE;
  const blockBytes = kvBlockBytes(KV_SHAPE, dtype);
  const contexts = Math.ceil(UNCACHED_BYTES / (blocks * blockBytes));
  const kv = kvLayout(KV_SHAPE, dtype, plan.reserve(contexts * blocks * blockBytes), contexts * blocks);
  const scratch = plan.tensor(plan.scoreRows, CONTEXT);
  const tables = Array.from({ length: contexts }, () => plan.indices(blocks));
  const shapes = [
    { count: 1, context: PROMPT },
    { count: 1, context: CONTEXT },
    { count: PROMPT, context: PROMPT },
    { count: PROMPT, context: CONTEXT },
  ];
  return shapes.map(({ count, context }): KernelCase => {
    const sequences = tables.map(() => plan.indices(2));
    const positions = plan.indices(count);
    // A query at position p meets p + 1 keys and values.
    const keysMet = count * (context - (count - 1) / 2);
    let turn = 0;
    return {
      operation: `attention ${dtype}`,
      shape: `${rowsOf(count)}, up to position ${context - 1}`,
      ...(count === 1
        ? { limit: "read", work: ((context / BLOCK_SIZE) * blockBytes) / numLayers }
        : { limit: "f32", work: 2 * 2 * keysMet * WIDTH }),
      prepare: (kernels) => {
        tables.forEach((table, c) => {
          kernels.i32(table.offset, blocks).set(Array.from({ length: blocks }, (_, i) => c * blocks + i));
          kernels.i32(sequences[c].offset, 2).set([count, table.offset]);
        });
        const first = context - count;
        kernels.i32(positions.offset, count).set(Array.from({ length: count }, (_, i) => first + i));
      },
      run: (kernels) => {
        turn += 1;
        kernels.attention({
          q: columns(firstRows(x, 0, count), 0, WIDTH),
          out: columns(firstRows(y, 0, count), 0, WIDTH),
          numHeads: numKvHeads,
          kv,
          layer: turn % numLayers,
          sequences: sequences[turn % contexts],
          positions,
          scale: 0.125,
          window: null,
          softcap: null,
          scratch,
        });
      },
    };
  });
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
