/**
 * Products by weights of every type, in the shapes that models have: cases of bench.ts. All weights lie in one stretch of
 * memory, which no cache has room for, each in as many copies as fill it, used in turn; or in one copy that stays near.
 */
import { columns, rows as firstRows, type KernelBackend } from "../../src/kernels/kernels.js";
import type { MemoryPlan } from "../../src/kernels/memory-plan.js";
import {
  CONVERTED_DTYPES,
  PACKED_DTYPES,
  type PackedDtype,
  WEIGHT_TYPES,
} from "../../src/kernels/weight-types.js";
import { type IsWanted, type KernelCase, rowsOf, UNCACHED_BYTES } from "./kernel-case.js";

/** A matrix, and the rows that meet it unless others are asked for. */
interface Matrix {
  readonly model: string;
  readonly name: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly rows: readonly number[];
  /** It has a bias. */
  readonly bias?: true;
  /** One copy, which stays near. */
  readonly near?: true;
}

const GPT2 = { model: "GPT-2", bias: true, rows: [1, 16, 512] } as const;
const SMOLLM2 = { model: "SmolLM2-135M", rows: [1, 16, 512] } as const;
const LLAMA = { model: "Llama-3.2-1B", rows: [1, 16, 128] } as const;
const MATRICES: readonly Matrix[] = [
  { ...GPT2, name: "c_attn", inFeatures: 768, outFeatures: 2304 },
  { ...GPT2, name: "attn.c_proj", inFeatures: 768, outFeatures: 768 },
  { ...GPT2, name: "c_fc", inFeatures: 768, outFeatures: 3072 },
  { ...GPT2, name: "mlp.c_proj", inFeatures: 3072, outFeatures: 768 },
  { model: "GPT-2", name: "lm_head", inFeatures: 768, outFeatures: 50_257, rows: [1, 16] },
  { ...SMOLLM2, name: "q_proj", inFeatures: 576, outFeatures: 576 },
  { ...SMOLLM2, name: "gate_up", inFeatures: 576, outFeatures: 3072 },
  { ...SMOLLM2, name: "down", inFeatures: 1536, outFeatures: 576 },
  { ...LLAMA, name: "near", inFeatures: 1024, outFeatures: 1024, rows: [1], near: true },
  { ...LLAMA, name: "gate", inFeatures: 2048, outFeatures: 8192 },
  { ...LLAMA, name: "down", inFeatures: 8192, outFeatures: 2048 },
  { ...LLAMA, name: "output", inFeatures: 2048, outFeatures: 128_256, rows: [1] },
];

/** @param rows numbers of rows instead of each matrix's own */
export function productCases(
  plan: MemoryPlan,
  backend: KernelBackend,
  isWanted: IsWanted,
  rows?: readonly number[],
): KernelCase[] {
  const all = PACKED_DTYPES.flatMap((dtype) => {
    const isConverted = CONVERTED_DTYPES.some((one) => one === dtype);
    // A converted type has the names of both.
    const operations = [
      ...(isConverted ? [["linear", "GPT-2"]] : []),
      ...(WEIGHT_TYPES[dtype].activationMax === null ? [] : [["quantised", "Llama-3.2-1B"]]),
    ];
    return MATRICES.flatMap((matrix) => {
      const operation = operations
        .map(([name, model]) => ({ name: `${name} ${dtype}`, byDefault: model === matrix.model }))
        .find(({ name, byDefault }) => isWanted(`${name} ${matrix.model} ${matrix.name}`, byDefault));
      return operation === undefined ? [] : [{ ...matrix, dtype, operation: operation.name }];
    });
  });
  const wanted = all.map((one) => {
    const bytes = backend.packedBytes(one.inFeatures, one.outFeatures, one.dtype);
    return { ...one, bytes, copies: one.near === true ? 1 : Math.ceil(UNCACHED_BYTES / bytes) };
  });
  if (wanted.length === 0) return [];
  const cases = wanted.flatMap((one) => (rows ?? one.rows).map((count) => ({ ...one, count })));
  const largest = (size: (one: (typeof cases)[number]) => number) => Math.max(...cases.map(size));
  const slab = plan.reserve(largest(({ bytes, copies }) => bytes * copies));
  const x = plan.tensor(
    1,
    largest(({ count, inFeatures }) => count * inFeatures),
  );
  const y = plan.tensor(
    1,
    largest(({ count, outFeatures }) => count * outFeatures),
  );
  const bias = plan.tensor(
    1,
    largest(({ outFeatures }) => outFeatures),
  );
  const scratch = plan.tensor(
    1,
    largest(({ count, inFeatures, dtype }) => backend.scratchFloats(count, inFeatures, dtype)),
  );
  return cases.map((one): KernelCase => {
    const { dtype, inFeatures, outFeatures, bytes, copies, count } = one;
    const from = { offset: x.offset, rows: count, cols: inFeatures, stride: inFeatures };
    const to = { offset: y.offset, rows: count, cols: outFeatures, stride: outFeatures };
    const added = one.bias === true ? columns(firstRows(bias, 0, 1), 0, outFeatures) : null;
    let turn = 0;
    return {
      operation: one.operation,
      shape: `${one.model} ${one.name} (${inFeatures}, ${outFeatures}), ${rowsOf(count)}`,
      ...(count === 1 && one.near !== true
        ? { limit: "read", work: bytes }
        : { limit: limitOf(dtype), work: 2 * count * inFeatures * outFeatures }),
      run: (kernels) => {
        turn = (turn + 1) % copies;
        const weight = { dtype, inFeatures, outFeatures, offset: slab + turn * bytes };
        kernels.linear(to, from, weight, added, scratch);
      },
    };
  });
}

function limitOf(dtype: PackedDtype): "f32" | "int8" {
  return WEIGHT_TYPES[dtype].activationMax === null ? "f32" : "int8";
}
