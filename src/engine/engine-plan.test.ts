/** What an engine takes of a machine: threads, and memory. */
import { describe, expect, it, test } from "vitest";
import { expectArchitecture } from "../architectures/known-architectures.js";
import { MAX_MEMORY_BYTES } from "../kernels/kernels.js";
import { formatMemorySize } from "../memory-size.js";
import type { DecoderSpec, LayerSpec } from "../model/decoder-spec.js";
import type { EngineShape } from "../protocol/engine-setup.js";
import { type EngineThreads, planEngine } from "./engine-plan.js";

const GIB = 2 ** 30;
const GB = 1e9;

const norm = { kind: "rms", epsilon: 1e-5 } as const;
/** As Llama 3.2 1B: 1,235,814,400 weights, made for 131,072 positions, 65,536 bytes of K and V each. */
const layer: LayerSpec = {
  attention: {
    ...{ norm, normAfter: null, qkNorm: null, rotation: 0, window: null, softcap: null },
    ...{ numHeads: 32, numKvHeads: 8, headDim: 64, scale: 0.125, bias: { qkv: false, o: false } },
  },
  mlp: { norm, normAfter: null, innerSize: 8192, activation: "silu", gated: true, bias: false },
  residual: "serial",
  residualScale: 1,
};
const llama: DecoderSpec = {
  ...{ hiddenSize: 2048, vocabSize: 128_256, contextLength: 131_072, embeddingScale: 1 },
  ...{ learnedPositions: 0, rotations: [{ frequencies: Array(32).fill(1), factor: 1 }] },
  ...{ layers: Array(16).fill(layer), finalNorm: norm, logitScale: 1, logitSoftcap: null, tied: true },
};
const shape: EngineShape = {
  ...{ label: "llama", decoder: llama, isContextAsked: false, widestRow: 8192 },
  ...{ kernels: "wasm", threads: 2, vectors: "auto", dtype: "int8", tensors: null, kvDtype: "f32" },
  ...{ kvMemory: null, tokenBudget: null },
};

/** A machine of so many bytes, of which so many are free. */
const machine = (totalBytes: number, freeBytes = totalBytes): EngineThreads => ({
  availableThreads: () => 2,
  canShareMemory: () => true,
  memory: () => ({ totalBytes, freeBytes }),
  startHelper: () => Promise.reject(new Error("a plan starts no threads")),
  wideVectors: () => "a plan computes nothing",
});

it.each([
  { cores: 1, canShare: true, asked: 2, threads: 2 },
  { cores: 1, canShare: true, asked: null, threads: 1 },
  { cores: 4, canShare: true, asked: null, threads: 4 },
  { cores: 4, canShare: true, asked: 1, threads: 1 },
  { cores: 4, canShare: true, asked: 7, threads: 7 },
  { cores: 128, canShare: true, asked: null, threads: 64 },
  { cores: 4, canShare: false, asked: 2, threads: 1 },
  { cores: 4, canShare: false, asked: null, threads: 1 },
])("$cores cores, memory shared: $canShare, asked for $asked: $threads", (given) => {
  const { backend } = planEngine(
    { ...shape, threads: given.asked },
    {
      ...machine(16 * GIB),
      availableThreads: () => given.cores,
      canShareMemory: () => given.canShare,
    },
  );
  expect(backend.threads).toBe(given.threads);
});

describe("a model made for 131,072 positions", () => {
  test.each([
    { gib: 24, kvDtype: "f32", contextLength: 32_768, contextBound: "wasm" },
    { gib: 24, kvDtype: "int8", contextLength: 131_072, contextBound: "model" },
    { gib: 8, kvDtype: "f32", contextLength: 32_768, contextBound: "wasm" },
    { gib: 4, kvDtype: "f32", contextLength: 16_384, contextBound: "machine" },
    { gib: 3, kvDtype: "f32", contextLength: 8192, contextBound: "machine" },
    { gib: 2, kvDtype: "f32", contextLength: 4096, contextBound: "machine" },
  ] as const)("is loaded with what $gib GiB allow, K and V of $kvDtype: $contextLength", (given) => {
    const { gib, kvDtype, ...context } = given;
    const plan = planEngine({ ...shape, kvDtype }, machine(gib * GIB));
    expect(plan).toMatchObject({ ...context, decoder: { ...llama, contextLength: context.contextLength } });
    expect(plan.kv.numBlocks * 16).toBeGreaterThanOrEqual(context.contextLength);
    expect(plan.bytes).toBeLessThanOrEqual(Math.min(MAX_MEMORY_BYTES, gib * GIB));
    expect(plan.scratch.scores.cols).toBe(context.contextLength);
  });

  it("leaves room for the scores, which grow with it and with the threads", () => {
    const free = machine(16 * GIB);
    const many = { ...free, availableThreads: () => 64 };
    const kvDtype = "int8";
    const few = planEngine({ ...shape, kvDtype }, free);
    expect(few.contextLength).toBe(131_072);
    const scores = (threads: number) => 4 * threads * 4 * 131_072;
    const asked = { ...shape, kvDtype, threads: null, isContextAsked: true } as const;
    const plan = planEngine(asked, many);
    expect(plan.bytes - plan.kvBytes - (few.bytes - few.kvBytes)).toBeGreaterThanOrEqual(
      scores(64) - scores(2),
    );
  });

  it("is loaded with the context that was asked for, and K and V for one such context at least", () => {
    const asked = (contextLength: number): EngineShape => ({
      ...shape,
      ...{ isContextAsked: true, decoder: { ...llama, contextLength } },
    });
    const plan = planEngine(asked(30_000), machine(4 * GIB, 2 * GIB));
    expect(plan).toMatchObject({ contextLength: 30_000, contextBound: "asked", kvBound: "machine" });
    expect(plan.kv.numBlocks).toBe(1875);
    expect(planEngine(asked(100), machine(4 * GIB))).toMatchObject({
      contextLength: 100,
      kvBound: "contexts",
    });
  });

  it("has a context for the K and V that were asked for", () => {
    const plan = planEngine({ ...shape, kvMemory: 512 * 2 ** 20 }, machine(24 * GIB));
    expect(plan).toMatchObject({ contextLength: 8192, contextBound: "kvMemory", kvBound: "asked" });
    expect(plan.kvBytes).toBe(512 * 2 ** 20);
  });

  it("is loaded with the least where less is free than it needs, but not where less is there", () => {
    expect(planEngine(shape, machine(2 * GIB, 100e6))).toMatchObject({
      contextLength: 512,
      kvBytes: 512 * 65_536,
    });
  });
});

describe("what cannot fit is refused", () => {
  /** The sizes that a refusal states: weights, K and V, the rest, all. */
  const sizes =
    /needs ([\d.]+ .B) for weights, ([\d.]+ .B) for keys and values of (\d+) tokens and ([\d.]+ .B) to work in, ([\d.]+ .B) in all; (.*?)\. (.*)$/;
  const refused = (given: Partial<EngineShape>, threads: EngineThreads) => {
    try {
      planEngine({ ...shape, ...given }, threads);
    } catch (error) {
      expect(error).toMatchObject({ code: "memory_limit_exceeded" });
      const [, weights, kv, tokens, , , limit, help] = sizes.exec((error as Error).message)!;
      return { weights, kv, tokens, limit, help };
    }
    throw new Error("it was not refused");
  };
  const wasm = `WebAssembly's memory ends at ${formatMemorySize(MAX_MEMORY_BYTES)}`;

  it("by WebAssembly's memory", () => {
    expect(refused({ dtype: "f32" }, machine(24 * GIB))).toEqual({
      ...{ weights: "4.94 GB", kv: "33.6 MB", tokens: "512", limit: wasm },
      help: "It fits with dtype int8.",
    });
    const tensors = expectArchitecture("llama")
      .tensors(llama)
      .filter(({ to }) => to !== "head")
      .map((row) => ({ entry: { dtype: "BF16" as const, shape: row.shape }, rows: [row] }));
    expect(refused({ dtype: "f32", tensors }, machine(24 * GIB)).help).toBe(
      "It fits with dtype auto, or with dtype int8.",
    );
  });

  it("by what the machine has in all", () => {
    expect(refused({}, machine(GB))).toEqual({
      ...{ weights: "1.35 GB", kv: "33.6 MB", tokens: "512", limit: "this machine has 1 GB" },
      help: "It fits with dtype int4.",
    });
    expect(refused({}, machine(GB / 2)).help).toBe("It takes a smaller model.");
    expect(refused({ dtype: "f32" }, machine(2 * GB)).limit).toBe(wasm);
  });

  it("with a context, or K and V, that are asked for", () => {
    const context = { isContextAsked: true, decoder: { ...llama, contextLength: 100_000 } };
    expect(refused(context, machine(24 * GIB))).toMatchObject({
      ...{ kv: "6.55 GB", tokens: "100000", limit: wasm },
      help: "It fits with contextLength 32768, or with kvDtype int8.",
    });
    const { help } = refused({ kvMemory: 3e9 }, machine(24 * GIB));
    const [, mebibytes] = /^It fits with kvMemory (\d+)MiB, or with dtype int4\.$/.exec(help)!;
    // What it says fits.
    expect(planEngine({ ...shape, kvMemory: Number(mebibytes) * 2 ** 20 }, machine(24 * GIB)).kvBound).toBe(
      "asked",
    );
  });

  it("before anything of it but its config is known, and then only for sure", () => {
    const all = machine(2 * GIB, 0);
    expect(() => planEngine({ ...shape, dtype: "f32" }, all)).toThrow(/It fits with dtype int8/);
    expect(() => planEngine(shape, all)).not.toThrow();
    expect(() => planEngine(shape, machine(GIB))).toThrow(/this machine has/);
  });
});
