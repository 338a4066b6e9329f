/** Sizes: a model that cannot fit is refused before its weights are read, and of one that fits little is held while it is read. */
import { describe, expect, test } from "vitest";
import { planRandomModel, type RandomModelOptions } from "../scripts/random-model.js";
import type { ModelFile, ModelFiles } from "../src/formats/model-files.js";
import { load } from "../src/index.js";
import { MemoryPlan } from "../src/kernels/memory-plan.js";
import { referenceBackend } from "../src/kernels/reference/reference-backend.js";
import type { ConvertedDtype } from "../src/kernels/weight-types.js";
import type { WeightName } from "../src/model/decoder-spec.js";
import type { WeightPlace } from "../src/model/decoder-weights.js";
import { planStaging } from "../src/model/load-weights.js";
import { naiveLogits, readNaiveModel } from "./conformance/naive-decoder.js";
import { memoryFiles } from "./memory-files.js";
import { randomModelFiles } from "./random-model.js";

/** Files of a random model of any size: what is read of them is drawn, the rest never exists. */
function virtualFiles(options: RandomModelOptions) {
  const files = planRandomModel(options);
  /** Bytes of the longest read of weights. */
  let longestRead = 0;
  const open = async (name: string): Promise<ModelFile | null> => {
    const found = files.find((file) => file.name === name);
    if (found === undefined) return null;
    const pieces = found.pieces()[Symbol.iterator]();
    let piece: Uint8Array = pieces.next().value;
    let pieceStart = 0;
    const headerBytes = piece.length;
    return {
      name,
      size: found.size,
      async read(offset, target) {
        if (offset >= headerBytes) longestRead = Math.max(longestRead, target.length);
        for (let done = 0; done < target.length; ) {
          while (offset + done >= pieceStart + piece.length) {
            pieceStart += piece.length;
            piece = pieces.next().value;
          }
          const part = piece.subarray(offset + done - pieceStart).subarray(0, target.length - done);
          target.set(part, done);
          done += part.length;
        }
      },
      close: async () => undefined,
    };
  };
  const source: ModelFiles = { label: "virtual", open };
  return { source, longestRead: () => longestRead };
}

describe("a model that cannot fit", () => {
  const wide = { layers: 1, heads: 1, context: 8 };

  test.each<[string, RandomModelOptions, { dtype?: ConvertedDtype }, RegExp]>([
    ["5.37 GB of F32", { ...wide, embd: 80, vocab: 16_777_216 }, {}, /^virtual needs 5\.37 GB for weights/],
    [
      "F16 that becomes f32",
      { ...wide, embd: 80, vocab: 16_777_216, dtype: "F16" },
      { dtype: "f32" },
      /^virtual needs 5\.37 GB for weights/,
    ],
    ["int8", { ...wide, embd: 300, vocab: 16_777_216 }, { dtype: "int8" }, /^virtual needs 5\.\d+ GB for we/],
    ["GPT-2 XL in f32", { layers: 48, heads: 25, embd: 1600 }, {}, /^virtual needs 6\.23 GB for weights/],
  ])("is refused before a weight is read, with the sizes: %s", async (_, model, options, message) => {
    const { source, longestRead } = virtualFiles(model);
    await expect(load(source, { ...options, kvMemory: "128MiB" })).rejects.toMatchObject({
      code: "memory_limit_exceeded",
      message: expect.stringMatching(message),
    });
    await expect(load(source, options)).rejects.toMatchObject({
      message: expect.stringMatching(
        / for keys and values of (16|512) tokens and .* to work in, .* in all; .* ends at 4\.29 GB\. It (fits with (dtype auto, or with )?dtype int[84]|takes a smaller model)\.$/,
      ),
    });
    expect(longestRead()).toBe(0);
  });
});

describe("the context", () => {
  // 2 layers, 2 heads, width 8: 128 bytes of K and V a position.
  const source = memoryFiles("m", randomModelFiles({ context: 2048 }));
  const kvBytesOf = (positions: number) => 128 * positions;
  const tokens = Array.from({ length: 40 }, (_, i) => (7 * i) % 61);

  test("is shortened to what the memory for K and V holds, says so, and changes no bit", async () => {
    await using whole = await load(source, { threads: 1 });
    expect(whole.info).toMatchObject({ contextLength: 2048, contextBound: "model" });
    const kvMemory = kvBytesOf(1024) - 1;
    await using lm = await load(source, { threads: 1, kvMemory });
    expect(lm.info).toMatchObject({
      ...{ contextLength: 512, contextBound: "kvMemory" },
      config: { contextLength: 512, maxContextLength: 2048, decoder: { contextLength: 512 } },
    });
    const bits = ({ logits }: { logits: Float32Array }) => [...new Uint32Array(logits.buffer)];
    expect(bits(await lm.logits(tokens))).toEqual(bits(await whole.logits(tokens)));
    expect(() => lm.generate(Array(513).fill(1))).toThrow(/has 513 tokens; this model's context is 512/);
  });

  test("that is asked for is not shortened", async () => {
    const options = { threads: 1, kvMemory: kvBytesOf(1024) - 1, contextLength: 2048 };
    await using lm = await load(source, options);
    expect(lm.info).toMatchObject({ contextLength: 2048, contextBound: "asked", kv: { bound: "asked" } });
  });
});

describe("staging", () => {
  /** As GPT-2's config bounds them. */
  const [WIDEST, WIDEST_INNER] = [15_625, 62_500];

  test("takes 32 MB at most, whatever the config", () => {
    const widest = Math.max(3 * WIDEST, WIDEST_INNER);
    const plan = new MemoryPlan(referenceBackend);
    const before = plan.bytes;
    const { slices, sliceBytes } = planStaging(plan, widest);
    expect(slices * sliceBytes).toBe(32_000_000);
    expect(plan.bytes - before).toBe(32_000_000);
  });

  test("takes four times as much for matrices stored by inputs that become int4: 256 of them are packed together", () => {
    const shape = [WIDEST, WIDEST_INNER];
    const row = { name: "m", shape, to: "layers.0.up.weight", order: "in-out" } as const;
    const plan = new MemoryPlan(referenceBackend);
    const weight = plan.linear(WIDEST, WIDEST_INNER, "int4");
    const places = new Map<WeightName, WeightPlace>([
      [row.to, { kind: "linear", parts: [{ at: 0, weight }] }],
    ]);
    const tensors = [{ entry: { dtype: "F32" as const, shape }, rows: [row] }];
    const { slices, sliceBytes } = planStaging(plan, WIDEST_INNER, tensors, places);
    expect(slices * sliceBytes).toBe(128_000_000);
  });

  test.each(["f32", "int8", "int4"] as const)(
    "weights of %s are read in slices, never a tensor at once",
    async (dtype) => {
      const { source, longestRead } = virtualFiles({
        layers: 1,
        heads: 2,
        embd: 64,
        context: 8,
        vocab: 9001,
      });
      await using lm = await load(source, { dtype, threads: 1 });
      expect(lm.info.tensors.some(({ shape }) => 4 * shape[0] * (shape[1] ?? 1) > 2 * 1024 * 1024)).toBe(
        true,
      );
      expect(longestRead()).toBeLessThanOrEqual(1024 * 1024);
    },
  );

  test.each(["F32", "F16", "BF16"] as const)(
    "of %s: what comes in later slices is in its place",
    async (dtype) => {
      // The embedding takes several slices of 1 MiB, whichever type it has.
      const files = randomModelFiles({ layers: 1, heads: 2, embd: 64, context: 4, vocab: 9001, dtype });
      const tokens = [0, 4500, 9000];
      const { spec, weights } = await readNaiveModel(files);
      const expected = naiveLogits(spec, weights, tokens).at(-1)!;
      await using lm = await load(memoryFiles("m", files), { threads: 1 });
      const { logits } = await lm.logits(tokens);
      const largest = logits.reduce((most, logit, i) => Math.max(most, Math.abs(logit - expected[i])), 0);
      expect(largest).toBeLessThan(1e-5);
    },
  );

  test("a config past those widths is refused", async () => {
    for (const model of [{ embd: WIDEST + 1 }, { embd: 1, inner: WIDEST_INNER + 1 }]) {
      const { source } = virtualFiles({ layers: 1, heads: 1, context: 8, vocab: 9, ...model });
      await expect(load(source)).rejects.toMatchObject({
        code: "model_file_invalid",
        message: expect.stringMatching(
          /^config\.json: n_(embd|inner) is \d+, but must be a whole number from 1/,
        ),
      });
    }
  });
});
