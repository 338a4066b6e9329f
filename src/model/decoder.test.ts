/** What a pass computes: counted in rows and multiply-adds, for decoders of every kind. The numbers are elsewhere. */
import { describe, expect, test } from "vitest";
import { FAMILY_SPECS } from "../../test/decoder-specs.js";
import type { Kernels, Tensor } from "../kernels/kernels.js";
import { BLOCK_SIZE, kvBlockBytes, kvLayout, layerGroups, runsAlone } from "../kernels/kv-layout.js";
import { MemoryPlan } from "../kernels/memory-plan.js";
import { referenceBackend } from "../kernels/reference/reference-backend.js";
import { Decoder } from "./decoder.js";
import { planScratch } from "./decoder-scratch.js";
import { type DecoderSpec, kvShapeOf } from "./decoder-spec.js";
import { planWeights } from "./decoder-weights.js";

/** A call of an operation: its name, and the rows of the tensor that it works on. */
interface Call {
  readonly operation: string;
  readonly rows: number;
}

const ROWS = 40;

/** A decoder whose weights are all zero, and the calls that it makes. */
async function watchedDecoder(spec: DecoderSpec) {
  const plan = new MemoryPlan(referenceBackend);
  const { weights } = planWeights(plan, spec);
  const shape = kvShapeOf(spec);
  const perGroup = Math.ceil(ROWS / BLOCK_SIZE);
  const numBlocks = perGroup * layerGroups(shape).length;
  const kv = kvLayout(shape, "f32", plan.reserve(numBlocks * kvBlockBytes(shape, "f32")), numBlocks);
  const scratch = planScratch(plan, spec, { maxRows: ROWS, maxLogitsRows: ROWS, maxSequences: 1 });
  const kernels = await referenceBackend.create(plan.bytes);
  const calls: Call[] = [];
  const watched = new Proxy(kernels, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== "function" || ["f32", "i32", "u8", "together"].includes(String(name))) {
        return typeof value === "function" ? value.bind(target) : value;
      }
      return (...parameters: readonly unknown[]) => {
        const tensors = parameters.filter(isTensor);
        const [first] =
          name === "attention" ? [(parameters[0] as Parameters<Kernels["attention"]>[0]).q] : tensors;
        calls.push({ operation: String(name), rows: first?.rows ?? 0 });
        return value.apply(target, parameters);
      };
    },
  });
  const decoder = new Decoder(spec, watched, weights, scratch);
  /** Feeds rows from a position on; the calls that this takes, and the multiply-adds. */
  const feed = (from: number, count: number, wanted: number) => {
    calls.length = 0;
    const before = kernels.multiplyAdds;
    decoder.batch.clear();
    const runs = runsAlone(kv.groups, perGroup);
    decoder.batch.add({ tokens: Array.from({ length: ROWS }, () => 1), from, count, runs, wanted });
    decoder.forward(kv);
    return { calls: [...calls], multiplyAdds: kernels.multiplyAdds - before };
  };
  return { decoder, feed };
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && "stride" in value;
}

/** What a pass has to multiply, by the definition of the decoder. */
function neededMultiplyAdds(spec: DecoderSpec, from: number, count: number, wanted: number): number {
  const { hiddenSize: C, vocabSize: V, layers } = spec;
  let sum = wanted * C * V;
  layers.forEach(({ attention, mlp }, i) => {
    const { numHeads, numKvHeads, headDim, window } = attention;
    const goOn = i === layers.length - 1 ? wanted : count;
    sum += count * C * 2 * numKvHeads * headDim;
    sum += goOn * 2 * C * numHeads * headDim;
    sum += goOn * (mlp.gated ? 3 : 2) * C * mlp.innerSize;
    for (let position = from + count - goOn; position < from + count; position++) {
      sum += 2 * numHeads * headDim * Math.min(position + 1, window ?? position + 1);
    }
  });
  return sum;
}

describe.each(Object.entries(FAMILY_SPECS))("%s", (_, spec: DecoderSpec) => {
  test.each([
    [0, 40, 0],
    [0, 40, 1],
    [0, 40, 3],
    [0, 9, 9],
    [0, 1, 1],
    [39, 1, 1],
    [31, 9, 1],
    [31, 9, 0],
  ])(
    "from position %i, %i rows of which %i are wanted: past the last K and V only these go on",
    async (from, count, wanted) => {
      const { decoder, feed } = await watchedDecoder(spec);
      const { calls, multiplyAdds } = feed(from, count, wanted);
      expect(multiplyAdds).toBe(neededMultiplyAdds(spec, from, count, wanted));
      expect(decoder.rowsComputed).toBe(count);
      expect(decoder.logitsRowsComputed).toBe(wanted);

      const writes = calls.flatMap(({ operation }, i) => (operation === "writeKv" ? [i] : []));
      expect(writes.length).toBe(spec.layers.length);
      const beforeLast = calls.slice(0, writes.at(-1)! + 1);
      const pastLast = calls.slice(writes.at(-1)! + 1);
      expect(new Set(beforeLast.map(({ rows }) => rows))).toEqual(new Set([count]));
      expect(new Set(pastLast.map(({ rows }) => rows))).toEqual(new Set(wanted === 0 ? [] : [wanted]));
    },
  );
});
