import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { MAX_MEMORY_BYTES } from "../kernels/kernels.js";
import { chooseMemory, LEAST_CONTEXT, type MemoryChoice, type MemoryNeeds } from "./kv-memory.js";

const GB = 1e9;
const MB = 1e6;

/** A machine with so much free, and no bound in all. */
const free = (freeBytes: number) => ({ totalBytes: Number.POSITIVE_INFINITY, freeBytes });
/** Weights, staging and working memory; the scores grow with the context: two threads, four rows each. */
const others = (weightBytes: number) => (contextLength: number) => weightBytes + 32 * contextLength;

const base = {
  ...{ isAsked: false, askedKvBytes: null, tokenBudget: 512 },
  groups: [{ window: null, layers: [0] }],
} as const;
/** GPT-2 124M: 12 layers of 12 heads of 64. */
const gpt2 = { ...base, contextLength: 1024, blockBytes: 1_179_648, otherBytes: others(600 * MB) };
/** Llama 3.2 1B: 16 layers, 8 KV heads of 64; weights in 16 bits. */
const llama = { ...base, contextLength: 131_072, blockBytes: 1_048_576, otherBytes: others(2500 * MB) };
/** Qwen3 0.6B: 28 layers, 8 KV heads of 128; weights in 16 bits. */
const qwen = { ...base, contextLength: 40_960, blockBytes: 3_670_016, otherBytes: others(1220 * MB) };
/** SmolLM2 135M: 30 layers, 3 KV heads of 64; weights in 16 bits. */
const smol = { ...base, contextLength: 8192, blockBytes: 737_280, otherBytes: others(280 * MB) };

type Given = Omit<MemoryNeeds, "machine">;
const chosen = (needs: Given, freeBytes: number) => chooseMemory({ ...needs, machine: free(freeBytes) });

/** Gemma 3 270M: 18 layers of one KV head of 256, 15 of them with a window of 512; blocks of 3 layers. */
const gemma = {
  ...{ ...base, contextLength: 32_768, blockBytes: 98_304, otherBytes: others(340 * MB) },
  groups: [512, 512, 512, 512, 512, null].map((window) => ({ window, layers: [0, 1, 2] })),
};

describe("layers with windows", () => {
  test("take of a context what they see and one step's rows; the others take all", () => {
    // 5 groups of 32 blocks, one to fill and 32 for a step, and one group of all 2,048.
    const blocks = 4 * (2048 + 5 * (32 + 1 + 32));
    expect(chosen(gemma, 24 * GB)).toEqual({
      contextLength: 32_768,
      contextBound: "model",
      blocks,
      kvBound: "contexts",
    });
    // What full attention takes of its own context would not fit.
    const full = { ...gemma, groups: gemma.groups.map((group) => ({ ...group, window: null })) };
    expect(chosen(gemma, 900 * MB).contextLength).toBe(32_768);
    expect(chosen(full, 900 * MB).contextLength).toBe(4096);
  });

  it("have a block of each group or more", () => {
    expect(chosen({ ...gemma, askedKvBytes: 6 * 98_304 }, GB).blocks).toBe(6);
    expect(() => chosen({ ...gemma, askedKvBytes: 6 * 98_304 - 1 }, GB)).toThrow(
      /kvMemory is 589823 bytes; 6 KV blocks, the fewest that serve, of this model take 589824, and a full context 192 blocks/,
    );
  });
});

describe("the context", () => {
  test.each<[string, Given, number, number, string]>([
    ["Llama, 24 GB: what WebAssembly leaves", llama, 24 * GB, 16_384, "wasm"],
    ["Llama, 6 GB: as with more", llama, 6 * GB, 16_384, "wasm"],
    ["Llama, 4 GB: half of what is left", llama, 4 * GB, 8192, "machine"],
    ["Llama, 3 GB", llama, 3 * GB, 2048, "machine"],
    ["Llama, 2 GB, less than its weights: the shortest", llama, 2 * GB, 512, "machine"],
    ["Qwen, 24 GB: a power of two, not 13,000", qwen, 24 * GB, 8192, "wasm"],
    ["Qwen, 4 GB", qwen, 4 * GB, 4096, "machine"],
    ["Qwen, 2 GB", qwen, 2 * GB, 1024, "machine"],
    ["SmolLM2, 24 GB: its own", smol, 24 * GB, 8192, "model"],
    ["SmolLM2, 1 GB", smol, GB, 4096, "machine"],
    ["GPT-2, 800 MB: its own", gpt2, 800 * MB, 1024, "model"],
    ["GPT-2, 700 MB", gpt2, 700 * MB, 512, "machine"],
    ["of less than the shortest, it is left alone", { ...smol, contextLength: 300 }, 1, 300, "model"],
    ["asked for: as it is", { ...llama, contextLength: 100_000, isAsked: true }, GB, 100_000, "asked"],
    ["no longer than the K and V asked for", { ...llama, askedKvBytes: 512 * 2 ** 20 }, GB, 8192, "kvMemory"],
    ["a byte less", { ...llama, askedKvBytes: 512 * 2 ** 20 - 1 }, GB, 4096, "kvMemory"],
  ])("%s", (_, needs, freeBytes, contextLength, contextBound) => {
    expect(chosen(needs, freeBytes)).toMatchObject({ contextLength, contextBound });
  });

  it("is chosen with what grows with it", () => {
    const bytesIn = (rows: number) => (contextLength: number) => 2500 * MB + 4 * rows * contextLength;
    const with256Rows = { ...llama, otherBytes: bytesIn(256) };
    expect(chosen({ ...llama, otherBytes: bytesIn(4) }, 4 * GB + 700 * MB).contextLength).toBe(16_384);
    expect(chosen(with256Rows, 4 * GB + 700 * MB).contextLength).toBe(8192 * 2);
    expect(chosen(with256Rows, 4 * GB + 600 * MB).contextLength).toBe(8192);
  });
});

describe("the KV cache", () => {
  test.each<[string, Given, number, number, string]>([
    ["GPT-2, 24 GB: four contexts", gpt2, 24 * GB, 256, "contexts"],
    ["GPT-2, 1.4 GB: a quarter of what is left", gpt2, 1.4 * GB, 169, "machine"],
    ["GPT-2, 800 MB: one context in more than a quarter", gpt2, 800 * MB, 64, "machine"],
    ["GPT-2, 700 MB: one shorter context", gpt2, 700 * MB, 32, "machine"],
    ["GPT-2, nothing left: 512 positions", gpt2, 1, 32, "machine"],
    ["SmolLM2, 24 GB: four contexts", smol, 24 * GB, 2048, "contexts"],
    ["Llama, 24 GB: all that WebAssembly leaves", llama, 24 * GB, 1711, "wasm"],
    ["Llama, 4 GB: the context", llama, 4 * GB, 512, "machine"],
    [
      "a context that was asked for is whole",
      { ...llama, contextLength: 8192, isAsked: true },
      GB,
      512,
      "machine",
    ],
  ])("%s", (_, needs, freeBytes, blocks, kvBound) => {
    expect(chosen(needs, freeBytes)).toMatchObject({ blocks, kvBound });
  });

  it("is as large as was asked for, in whole blocks, whether it fits or not", () => {
    const needs = { ...smol, blockBytes: 100_000, otherBytes: () => MAX_MEMORY_BYTES };
    const blocks = (askedKvBytes: number) => chosen({ ...needs, askedKvBytes }, 1);
    expect(blocks(6 * GB)).toMatchObject({ blocks: 60_000, kvBound: "asked" });
    expect(blocks(199_999)).toMatchObject({ blocks: 1, kvBound: "asked" });
    expect(() => blocks(99_999)).toThrow(/one KV block of this model takes 100000/);
  });
});

it("never takes more than there is, nor a length that is not the model's own or a power of two", () => {
  const sizes = fc.record({
    contextLength: fc.integer({ min: 1, max: 200_000 }),
    blockBytes: fc.integer({ min: 64, max: 10_000_000 }),
    weightBytes: fc.integer({ min: 0, max: 5e9 }),
    freeBytes: fc.integer({ min: 0, max: 64e9 }),
    askedKvBytes: fc.option(fc.integer({ min: 10_000_000, max: 4e9 })),
  });
  fc.assert(
    fc.property(sizes, ({ weightBytes, freeBytes, ...sizes }) => {
      const needs = { ...base, ...sizes, otherBytes: others(weightBytes), machine: free(freeBytes) };
      const choice: MemoryChoice = chooseMemory(needs);
      const { contextLength, blocks, contextBound } = choice;
      expect(chooseMemory(needs)).toEqual(choice);
      if (contextLength !== needs.contextLength) {
        expect(Number.isInteger(Math.log2(contextLength))).toBe(true);
        expect(contextLength).toBeLessThan(needs.contextLength);
        expect(contextLength).toBeGreaterThanOrEqual(LEAST_CONTEXT);
      }
      expect(contextBound === "model").toBe(contextLength === needs.contextLength);
      const least = Math.ceil(Math.min(needs.contextLength, LEAST_CONTEXT) / 16);
      if (needs.askedKvBytes === null) expect(blocks).toBeGreaterThanOrEqual(least);
      const isShortest = contextLength < 2 * LEAST_CONTEXT;
      if (isShortest) return;
      const other = needs.otherBytes(contextLength);
      // A full context has room, and all of it what the machine and WebAssembly have.
      expect(blocks).toBeGreaterThanOrEqual(Math.ceil(contextLength / 16));
      if (needs.askedKvBytes !== null) return;
      expect(other + blocks * needs.blockBytes).toBeLessThanOrEqual(MAX_MEMORY_BYTES);
      expect(blocks * needs.blockBytes).toBeLessThanOrEqual((freeBytes - other) / 2);
    }),
    { numRuns: 500 },
  );
});
