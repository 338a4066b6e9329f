/** The library as its users call it. */
import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compareWays } from "../src/client/comparison.js";
import { type LanguageModel, LastrowError, load } from "../src/index.js";
import { RESERVED_BYTES } from "../src/kernels/memory-plan.js";
import { violatedInvariants } from "../src/kv-cache/invariants.js";
import { LanguageModel as LanguageModelClass } from "../src/library/language-model.js";
import { expectedRows } from "../src/protocol/generation-request.js";
import type { ModelParts } from "./fed-sequence.js";
import { arbitraryTokens, modelFolders } from "./fixture-models.js";
import { loadInProcess } from "./in-process.js";
import { memoryFiles } from "./memory-files.js";

let stories: LanguageModel;
let tiny: LanguageModel;
beforeAll(async () => {
  stories = await load();
  tiny = await load(modelFolders.tiny);
});
afterAll(() => Promise.all([stories.dispose(), tiny.dispose()]));

/** The error of a call, which must be one of ours. */
async function errorOf(call: () => unknown): Promise<LastrowError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof LastrowError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

async function collect(generation: AsyncIterable<{ text: string; tokens: readonly number[] }>) {
  const pieces = [];
  for await (const piece of generation) pieces.push(piece);
  return {
    pieces,
    text: pieces.map((piece) => piece.text).join(""),
    tokens: pieces.flatMap((piece) => piece.tokens),
  };
}

describe("generate", () => {
  test("streams what the result holds, and the same again for the same seed", async () => {
    const options = { maxTokens: 60, seed: 7, temperature: 1 };
    const generation = stories.generate("Once upon a time", options);
    const streamed = await collect(generation);
    const result = await generation.result();
    expect(streamed.text).toBe(result.text);
    expect(streamed.tokens).toEqual(result.tokens);
    expect(result).toMatchObject({ seed: 7, promptTokens: 5 });
    const again = await stories.generate("Once upon a time", options).result();
    expect(again.tokens).toEqual(result.tokens);
    const other = await stories.generate("Once upon a time", { ...options, seed: 8 }).result();
    expect(other.tokens).not.toEqual(result.tokens);
    const recomputed = await stories.generate("Once upon a time", { ...options, mode: "recompute" }).result();
    expect(recomputed.tokens).toEqual(result.tokens);
  });

  test("a random seed is reported, and gives the same text when it is given", async () => {
    const first = await stories.generate("Tom", { maxTokens: 20 }).result();
    const second = await stories.generate("Tom", { maxTokens: 20 }).result();
    expect(first.seed).not.toBe(second.seed);
    expect((await stories.generate("Tom", { maxTokens: 20, seed: first.seed }).result()).text).toBe(
      first.text,
    );
  });

  test("counts rows where they enter, as the formula says, for every length, way and ending", async () => {
    const { vocabSize } = tiny.info.config;
    const request = fc.record({
      length: fc.integer({ min: 1, max: 90 }),
      maxTokens: fc.integer({ min: 0, max: 20 }),
      seed: fc.nat(),
      mode: fc.constantFrom("cached", "recompute"),
      ignoreEos: fc.boolean(),
      eosBias: fc.constantFrom(0, 8),
    });
    const endings = new Set<string>();
    await fc.assert(
      fc.asyncProperty(request, async ({ length, mode, eosBias, ...options }) => {
        const result = await tiny
          .generate(arbitraryTokens(length, vocabSize, length), {
            ...options,
            mode,
            temperature: 1,
            logitBias: { 0: eosBias },
          })
          .result();
        const M = result.tokens.length;
        endings.add(`${result.finishReason} ${mode}`);
        expect(result.inferences).toBe(result.finishReason === "stop" ? M + 1 : M);
        const { numCachedTokens, rowsComputed } = result;
        expect(numCachedTokens % 16).toBe(0);
        expect(rowsComputed + numCachedTokens).toBe(expectedRows(mode, length, result.inferences));
        if (result.finishReason === "stop") {
          expect(expectedRows("cached", length, M + 1)).toBe(length + M);
          expect(expectedRows("recompute", length, M + 1)).toBe((M + 1) * length + (M * (M + 1)) / 2);
        }
      }),
      { numRuns: 150 },
    );
    expect([...endings].sort()).toEqual([
      "length cached",
      "length recompute",
      "stop cached",
      "stop recompute",
    ]);
  });

  test("the end token is not among the tokens, and is one like any other with ignoreEos", async () => {
    const forced = { temperature: 0, logitBias: { 0: 1000 }, maxTokens: 3 };
    expect(await tiny.generate([5], forced).result()).toMatchObject({
      tokens: [],
      finishReason: "stop",
      inferences: 1,
      rowsComputed: 1,
    });
    expect(await tiny.generate([5], { ...forced, ignoreEos: true }).result()).toMatchObject({
      tokens: [0, 0, 0],
      finishReason: "length",
      inferences: 3,
    });
  });

  test("ends at the context's end, and at maxTokens 0 before it begins", async () => {
    const { contextLength, vocabSize } = tiny.info.config;
    const prompt = arbitraryTokens(contextLength - 3, vocabSize);
    expect(await tiny.generate(prompt, { ignoreEos: true, maxTokens: 50 }).result()).toMatchObject({
      finishReason: "length",
      inferences: 3,
    });
    expect(await tiny.generate(arbitraryTokens(contextLength, vocabSize)).result()).toMatchObject({
      finishReason: "length",
      tokens: [],
      inferences: 0,
      rowsComputed: 0,
    });
    expect(await tiny.generate([1], { maxTokens: 0 }).result()).toMatchObject({
      finishReason: "length",
      tokens: [],
      rowsComputed: 0,
    });
  });

  test("stop strings may span tokens; the text before them is emitted and they are not", async () => {
    const whole = await stories.generate("Once upon a time", { temperature: 0, maxTokens: 60 }).result();
    for (const [from, to] of [
      [10, 11],
      [17, 26],
      [40, 60],
    ]) {
      const stop = whole.text.slice(from, to);
      const expected = whole.text.slice(0, whole.text.indexOf(stop));
      for (const mode of ["cached", "recompute"] as const) {
        const generation = stories.generate("Once upon a time", {
          temperature: 0,
          maxTokens: 60,
          stop: ["never here", stop],
          mode,
        });
        const streamed = await collect(generation);
        const result = await generation.result();
        expect(streamed.text).toBe(expected);
        expect(result).toMatchObject({
          text: expected,
          finishReason: "stop",
          inferences: result.tokens.length,
        });
        expect(result.rowsComputed).toBe(expectedRows(mode, 5, result.inferences));
      }
    }
    const unfinished = await stories
      .generate("Once upon a time", { temperature: 0, maxTokens: 60, stop: `${whole.text.slice(-4)}~` })
      .result();
    expect(unfinished).toMatchObject({ text: whole.text, finishReason: "length" });
  });

  test("log-probabilities are the model's, whatever sampling does", async () => {
    const generation = stories.generate("Once upon a time", {
      temperature: 0,
      maxTokens: 5,
      logprobs: 3,
      logitBias: { 12: -100 },
    });
    const { logprobs, tokens } = await generation.result();
    expect(logprobs?.map((entry) => entry.token)).toEqual(tokens);
    expect(tokens[0]).not.toBe(12);
    const { logits } = await stories.logits("Once upon a time");
    const top = Math.max(...logits);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - top), 0);
    const [first] = logprobs ?? [];
    expect(first.top.map(({ token }) => token)[0]).toBe(12);
    expect(first.top).toHaveLength(3);
    expect(first.top[0].logprob).toBeCloseTo(logits[12] - top - Math.log(sum), 5);
    expect(first.logprob).toBeCloseTo(logits[tokens[0]] - top - Math.log(sum), 5);
    const recomputed = await stories
      .generate("Once upon a time", {
        temperature: 0,
        maxTokens: 5,
        logprobs: 3,
        logitBias: { 12: -100 },
        mode: "recompute",
      })
      .result();
    expect(recomputed.logprobs).toEqual(logprobs);
  });

  test("an abort ends it between steps, and before it begins", async () => {
    const controller = new AbortController();
    const generation = stories.generate("Once", {
      maxTokens: 400,
      ignoreEos: true,
      signal: controller.signal,
    });
    let pieces = 0;
    for await (const _ of generation) {
      pieces += 1;
      if (pieces === 4) controller.abort();
    }
    // The engine may have been a step ahead of the reader.
    const result = await generation.result();
    expect(result.finishReason).toBe("abort");
    expect(result.inferences).toBeGreaterThanOrEqual(4);
    expect(result.inferences).toBeLessThan(400);
    expect(pieces).toBe(result.tokens.length);
    const signal = AbortSignal.abort();
    expect(await stories.generate("Once", { signal }).result()).toMatchObject({
      finishReason: "abort",
      rowsComputed: 0,
    });
  });

  test("an abort by a timer is noticed while a long prompt is read", async () => {
    const signal = AbortSignal.timeout(20);
    const prompt = arbitraryTokens(500, 2048);
    const result = await stories
      .generate(prompt, { signal, mode: "recompute", maxTokens: 12, ignoreEos: true })
      .result();
    expect(result.finishReason).toBe("abort");
  });

  test("a reader who leaves gives the blocks back and settles the result", async () => {
    const parts = await loadInProcess(modelFolders.tiny);
    const lm = new LanguageModelClass(parts);
    const generation = lm.generate([1, 2, 3], { maxTokens: 40, ignoreEos: true });
    for await (const _ of generation) break;
    const left = await generation.result();
    expect(left.finishReason).toBe("abort");
    expect(left.inferences).toBeLessThan(40);
    expect(parts.core.kvCache.pool.numFree).toBe(parts.core.kvCache.pool.numBlocks);
    const unread = lm.generate([1, 2, 3]);
    await unread[Symbol.asyncIterator]().return?.();
    expect(await unread.result()).toMatchObject({ finishReason: "abort", inferences: 0 });
    expect(violatedInvariants(parts.core.kvCache)).toEqual([]);
  });

  test("several at once do not disturb each other, and share the memory that there is", async () => {
    const parts = await loadInProcess(undefined, { kvMemory: "16MiB" });
    const lm = new LanguageModelClass(parts);
    const prompts = ["Once upon a time", "Tom had a red ball", "The dog", "One day"];
    const alone = [];
    for (const [seed, prompt] of prompts.entries())
      alone.push((await lm.generate(prompt, { seed, maxTokens: 40 }).result()).tokens);
    const together = await Promise.all(
      prompts.map((prompt, seed) => lm.generate(prompt, { seed, maxTokens: 40 }).result()),
    );
    expect(together.map((result) => result.tokens)).toEqual(alone);
    expect(parts.core.kvCache.pool.numFree).toBe(parts.core.kvCache.pool.numBlocks);
  });

  test("too little KV memory is an error that says how much, and the blocks come back", async () => {
    const blockBytes = tiny.info.kv.blockBytes;
    const parts = await loadInProcess(modelFolders.tiny, { kvMemory: 2 * blockBytes + 5 });
    const lm = new LanguageModelClass(parts);
    expect(lm.info.kv.blocks).toBe(2);
    const error = await errorOf(() =>
      lm.generate(arbitraryTokens(30, 307), { maxTokens: 10, ignoreEos: true }).result(),
    );
    expect(error.code).toBe("kv_memory_exhausted");
    expect(error.message).toMatch(
      /39 rows of keys and values need 3 KV blocks, and there are 2; .* \(kvMemory: 49152 bytes or more\)/,
    );
    expect(parts.core.kvCache.pool.numFree).toBe(2);
    expect(
      await lm.generate(arbitraryTokens(30, 307), { maxTokens: 3, ignoreEos: true }).result(),
    ).toMatchObject({ finishReason: "length" });
    expect((await errorOf(() => load(modelFolders.tiny, { kvMemory: blockBytes - 1 }))).message).toMatch(
      /one KV block of this model takes/,
    );
  });
});

describe("prompts", () => {
  test("an empty prompt becomes the start token", async () => {
    expect(stories.promptTokens("")).toEqual([0]);
    expect(stories.promptTokens([])).toEqual([0]);
    expect(tiny.promptTokens([])).toEqual([0]);
    expect(tiny.promptTokens("")).toEqual([0]);
  });

  test("an empty prompt is an error where there is no start token", async () => {
    const files: Record<string, Uint8Array | string> = {};
    for (const name of ["config.json", "model.safetensors"])
      files[name] = await readFile(`${modelFolders.tiny}/${name}`);
    const config = { ...JSON.parse(files["config.json"].toString()), bos_token_id: null };
    const lm = await load(memoryFiles("no-start", { ...files, "config.json": JSON.stringify(config) }));
    const error = await errorOf(() => lm.generate([]));
    expect([error.code, error.message]).toEqual([
      "empty_prompt",
      "The prompt is empty, and no-start has no start token to begin with.",
    ]);
  });

  test("special tokens in text are plain text unless they are asked for", () => {
    expect(stories.promptTokens("<|endoftext|>").length).toBeGreaterThan(2);
    expect(stories.promptTokens("<|endoftext|>", { parseSpecial: true })).toEqual([0, 0]);
  });

  test.each([
    [[1, 307], "token_out_of_range", /Token 1 of the prompt is 307; this model's ids are 0 to 306/],
    [[-1], "token_out_of_range", /Token 0 of the prompt is -1/],
    [[1.5], "token_out_of_range", /1\.5/],
    [new Array(97).fill(1), "context_length_exceeded", /97 tokens; this model's context is 96/],
    ["text", "tokenizer_missing", /give token ids instead/],
    [null, "invalid_argument", /A prompt is a text or a list of token ids, not null/],
    [{}, "invalid_argument", /A prompt is a text or a list/],
  ] as const)("prompt %#: %s", async (prompt, code, message) => {
    const error = await errorOf(() => tiny.generate(prompt as unknown as readonly number[]));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test.each([
    [{ maxTokens: -1 }, /maxTokens/],
    [{ maxTokens: 1.5 }, /maxTokens/],
    [{ temperature: -1 }, /temperature/],
    [{ stop: [""] }, /stop is a text/],
    [{ stop: 5 as unknown as string }, /stop is a text/],
    [{ mode: "magic" as "cached" }, /mode/],
    [{ seed: -3 }, /seed/],
    [{ topP: -1 }, /topP/],
  ])("option %o is refused", async (options, message) => {
    const error = await errorOf(() => stories.generate("Once", options));
    expect(error.code).toBe("invalid_argument");
    expect(error.message).toMatch(message);
  });

  test("stop strings need a tokenizer", async () => {
    expect((await errorOf(() => tiny.generate([1], { stop: "x" }))).code).toBe("tokenizer_missing");
  });
});

describe("logits", () => {
  test("the last row is the last of all rows, and both are copies", async () => {
    const all = await stories.logits("Once upon a time", { rows: "all" });
    const last = await stories.logits("Once upon a time");
    expect(all.rows).toBe(5);
    expect(last.tokens).toEqual([0, 420, 428, 259, 394]);
    expect(last.logits).toEqual(all.logits.slice(4 * 2048));
    const kept = last.logits.slice();
    await stories.logits("Something else");
    expect(last.logits).toEqual(kept);
  });

  test("say how many tokens were found in the cache; for all rows none are looked for", async () => {
    const tokens = arbitraryTokens(40, 307, 8);
    const first = await tiny.logits(tokens);
    const again = await tiny.logits(tokens);
    expect([first.numCachedTokens, again.numCachedTokens]).toEqual([0, 32]);
    expect(again.logits).toEqual(first.logits);
    expect((await tiny.logits(tokens, { rows: "all" })).numCachedTokens).toBe(0);
  });

  test("typed arrays are prompts, too, and unknown rows are refused", async () => {
    const plain = await tiny.logits([5, 6, 7]);
    expect(plain).toMatchObject({ tokens: [5, 6, 7], rows: 1 });
    expect((await tiny.logits(Int32Array.of(5, 6, 7) as unknown as number[])).logits).toEqual(plain.logits);
    expect((await errorOf(() => tiny.logits([1], { rows: "some" as "all" }))).code).toBe("invalid_argument");
  });

  test("can be cancelled", async () => {
    for (const rows of ["last", "all"] as const) {
      const error = await errorOf(() => stories.logits("Once", { rows, signal: AbortSignal.abort() }));
      expect(error.code).toBe("aborted");
    }
  });
});

describe("compare", () => {
  test("reports identical bits and the counts of both ways", async () => {
    const report = await stories.compare("Once upon a time", { maxTokens: 20 });
    expect(report).toMatchObject({
      identical: true,
      steps: 20,
      firstDifference: null,
      promptTokens: 5,
      formula: { cached: 24, recompute: 290 },
      cached: { inferences: 20, rowsComputed: 24 },
      recompute: { inferences: 20, rowsComputed: 290 },
    });
    expect((await stories.compare("Once upon a time", { maxTokens: 20 })).text).toBe(report.text);
  });

  test("names the step, the first index and both values when a weight changes between the two ways", async () => {
    const parts = await loadInProcess(modelFolders.tiny);
    const engine = parts.core;
    const lm = new LanguageModelClass(parts);
    const { vocabSize } = engine.model.spec;
    /** After so many recomputed steps. */
    const recomputed: Float32Array[] = [];
    const report = await lm.compare([1, 2, 3], {
      maxTokens: 10,
      temperature: 0,
      ignoreEos: true,
      onRecomputed: (done) => {
        const { logits } = engine.model.scratch;
        recomputed[done] = engine.kernels.f32(logits.offset, vocabSize).slice();
        // Between the fourth and the fifth step, one weight of the embedding of position 0 moves by one bit.
        if (done === 4) engine.kernels.i32(firstPositionEmbedding(engine), 1)[0] ^= 1;
      },
    });
    expect(report.identical).toBe(false);
    expect(report.steps).toBe(5);
    const { firstDifference } = report;
    expect(firstDifference?.step).toBe(4);
    expect(firstDifference?.recompute).toBe(recomputed[5][firstDifference?.index ?? 0]);
    expect(firstDifference?.cached).not.toBe(firstDifference?.recompute);
  });
});

describe("a comparison that holds few logits at a time", () => {
  test("compares every step all the same, to an end by length and by the end token", async () => {
    const parts = await loadInProcess(modelFolders.tiny);
    const lm = new LanguageModelClass(parts);
    const { contextLength } = parts.core.model.spec;
    let ends = 0;
    for (const [seed, steps] of [1, 2, 3, 4, 5, 6].map((n) => [n, 3 * n] as const)) {
      for (const kept of [1, 2, 7]) {
        const logitBias = { 0: seed % 2 === 0 ? 6 : 0 };
        const { request, text } = lm.comparisonRequest([1, 2, 3], {
          seed,
          temperature: 1,
          maxTokens: steps,
          logitBias,
        });
        const report = await compareWays(
          { engine: parts.engine, config: parts.info.config, keptBytes: 4 * 307 * kept },
          request,
          text,
          {},
        );
        expect(report).toMatchObject({
          identical: true,
          firstDifference: null,
          steps: report.cached.inferences,
        });
        ends += report.cached.inferences - report.tokens.length;
      }
    }
    expect(ends).toBeGreaterThan(0);
    expect(parts.core.kvCache.pool.numFree).toBe((4 * contextLength) / 16);
  });

  test("finds a difference in a later stretch", async () => {
    const parts = await loadInProcess(modelFolders.tiny);
    const lm = new LanguageModelClass(parts);
    const { request, text } = lm.comparisonRequest([1, 2, 3], {
      temperature: 0,
      maxTokens: 12,
      ignoreEos: true,
    });
    const report = await compareWays(
      { engine: parts.engine, config: parts.info.config, keptBytes: 4 * 307 * 4 },
      request,
      text,
      {
        onRecomputed: (done) => {
          // Just before the tenth step: the weights that it will use are no longer those of the cached run.
          if (done === 9) parts.core.kernels.i32(firstPositionEmbedding(parts.core), 1)[0] ^= 1;
        },
      },
    );
    expect(report.identical).toBe(false);
    expect(report.firstDifference?.step).toBe(9);
  });

  test("has nothing to say about no steps, and nothing when it was cancelled", async () => {
    const none = await errorOf(() => tiny.compare([1], { maxTokens: 0 }));
    expect([none.code, none.message]).toEqual([
      "invalid_argument",
      expect.stringMatching(/no step to compare/),
    ]);
    const full = await errorOf(() => tiny.compare(new Array(96).fill(1)));
    expect(full.message).toMatch(/96 prompt tokens, a context of 96/);
    expect((await errorOf(() => tiny.compare([1], { signal: AbortSignal.abort() }))).code).toBe("aborted");
    const controller = new AbortController();
    const cancelled = tiny.compare([1], {
      signal: controller.signal,
      ignoreEos: true,
      onRecomputed: (done) => done === 3 && controller.abort(),
    });
    expect((await errorOf(() => cancelled)).code).toBe("aborted");
  });
});

describe("pieces and the result", () => {
  test("in any order, together, and from several iterators: each piece once, the whole each time", async () => {
    const start = () => stories.generate("Once upon a time", { seed: 5, maxTokens: 12 });
    const { text } = await start().result();
    const first = start();
    const iterator = first[Symbol.asyncIterator]();
    let read = (await iterator.next()).value?.text ?? "";
    expect((await first.result()).text).toBe(text);
    read += (await collect({ [Symbol.asyncIterator]: () => iterator })).text;
    expect(read).toBe(text);

    const late = start();
    await late.result();
    expect((await collect(late)).text).toBe(text);

    const both = start();
    const [streamed, result] = await Promise.all([collect(both), both.result()]);
    expect([streamed.text, result.text]).toEqual([text, text]);
    expect((await collect(both)).pieces).toEqual([]);
  });

  test("a failure reaches both", async () => {
    const blockBytes = tiny.info.kv.blockBytes;
    await using lm = await load(modelFolders.tiny, { kvMemory: blockBytes });
    const generation = lm.generate([1, 2, 3], { ignoreEos: true, maxTokens: 30 });
    expect((await errorOf(() => collect(generation))).code).toBe("kv_memory_exhausted");
    expect((await errorOf(() => generation.result())).code).toBe("kv_memory_exhausted");
  });
});

/** Where the kernels' memory has the first value of `wpe`: its place is planned right behind `wte`. */
function firstPositionEmbedding({ model, kernels }: ModelParts): number {
  const { hiddenSize, vocabSize } = model.spec;
  expect(kernels.name).toBe("wasm");
  return RESERVED_BYTES + Math.ceil((Math.ceil(vocabSize / 16) * 16 * hiddenSize * 4) / 64) * 64;
}

describe("the model's life", () => {
  test("after dispose everything is refused, and a second dispose is fine", async () => {
    const lm = await load(modelFolders.tiny);
    await lm.dispose();
    await lm.dispose();
    for (const call of [
      () => lm.generate([1]),
      () => lm.logits([1]),
      () => lm.compare([1]),
      () => lm.tokenizer,
    ]) {
      const error = await errorOf(call);
      expect([error.code, error.message]).toEqual([
        "disposed",
        expect.stringContaining("was used after dispose()"),
      ]);
    }
    expect(lm.info.parameters).toBeGreaterThan(1);
  });

  test("await using disposes it", async () => {
    let outside: LanguageModel;
    {
      await using lm = await load(modelFolders.tiny);
      outside = lm;
    }
    expect((await errorOf(() => outside.generate([1]))).code).toBe("disposed");
  });

  test("loading reports its progress to the last byte, and can be cancelled", async () => {
    const seen: number[] = [];
    let total = 0;
    await load(undefined, {
      onProgress: ({ loadedBytes, totalBytes, phase }) => {
        expect(phase).toBe("load");
        seen.push(loadedBytes);
        total = totalBytes;
      },
    });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(total);
    const controller = new AbortController();
    const error = await errorOf(() =>
      load(undefined, { signal: controller.signal, onProgress: () => controller.abort() }),
    );
    expect(error.code).toBe("aborted");
    expect((await errorOf(() => load(undefined, { signal: AbortSignal.abort() }))).code).toBe("aborted");
  });

  test.each([1, 7, 48])(
    "a step has at most tokenBudget rows, here %d, and the bits stay",
    async (tokenBudget) => {
      await using lm = await load(modelFolders.tiny, { tokenBudget, threads: 1 });
      expect(lm.info.tokenBudget).toBe(tokenBudget);
      expect(lm.info.memoryBytes).toBeLessThan(tiny.info.memoryBytes);
      const events = lm.events();
      const prompts = [50, 20, 3].map((length, i) => arbitraryTokens(length, 307, 40 + i));
      const options = { maxTokens: 9, ignoreEos: true, seed: 2, cachePrompt: false };
      const ask = (model: LanguageModel, prompt: readonly number[], more = {}) =>
        model.generate(prompt, { ...options, ...more }).result();
      const more = [{}, { speculate: 5 }, { n: 3 }];
      const results = await Promise.all(prompts.map((prompt, i) => ask(lm, prompt, more[i])));
      const { logits } = await lm.logits(prompts[0], { rows: "all" });
      const rows: number[] = [];
      for (const { steps } = await lm.stats(); rows.length < steps; ) {
        const { value } = await events.next();
        if (value?.type === "step") rows.push(value.rows);
      }
      expect(Math.max(...rows)).toBe(tokenBudget);
      for (const [i, prompt] of prompts.entries()) {
        const expected = await ask(tiny, prompt, more[i]);
        expect(results[i].choices).toEqual(expected.choices);
      }
      expect(logits).toEqual((await tiny.logits(prompts[0], { rows: "all" })).logits);
    },
  );

  test("a model that cannot fit is refused before a weight is read, with the sizes", async () => {
    const error = await errorOf(() => load(modelFolders.tiny, { kvMemory: "5GiB" }));
    expect(error.code).toBe("memory_limit_exceeded");
    expect(error.message).toMatch(/for weights, 5\.37 GB for keys and values .* ends at 4\.29 GB/);
  });

  test.each([
    ["./no/such/folder", "model_not_found", /no folder \.\/no\/such\/folder/],
    [42 as unknown as string, "invalid_argument", /a name, a folder, an address/],
  ])("source %s is refused", async (source, code, message) => {
    const error = await errorOf(() => load(source));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test.each([
    [{ kernels: "gpu" as "wasm" }, /kernels/],
    [{ kvMemory: "lots" }, /kvMemory/],
    [{ kvMemory: -1 }, /kvMemory/],
    [{ kvMemory: {} as number }, /kvMemory .* not an object/],
    [
      { dtype: "int2" as "int8" },
      /^dtype is "auto" or "f32" or "bf16" or "f16" or "int8" or "int4", not "int2"\.$/,
    ],
    [{ kvDtype: 8 as unknown as "int8" }, /^kvDtype/],
    [{ threads: 65 }, /^threads is a whole number from 1 to 64, not 65\.$/],
    [{ tokenBudget: 0 }, /^tokenBudget is a whole number from 1 to 65536, not 0\.$/],
    [{ tokenBudget: 65_537 }, /^tokenBudget/],
    [{ tokenBudget: "512" as unknown as number }, /^tokenBudget .*, not "512"\.$/],
    [{ worker: 1 as unknown as boolean }, /^worker is true or false, not 1\.$/],
    [{ onProgress: "x" as never }, /^onProgress is a function, not "x"\.$/],
    [{ signal: 5 as never }, /^signal is an AbortSignal, not 5\.$/],
    [{ signal: { aborted: false } as never }, /^signal is an AbortSignal, not an object\.$/],
    [null as never, /^The options of load are an object, not null\.$/],
    ["int8" as never, /^The options of load are an object, not "int8"\.$/],
  ])("load option %o is refused", async (options, message) => {
    const error = await errorOf(() => load(undefined, options));
    expect([error.code, error.message]).toEqual(["invalid_argument", expect.stringMatching(message)]);
  });

  /** Each function that takes options, with options of whatever type. */
  const withOptions: readonly [string, (options: never) => unknown][] = [
    ["promptTokens", (options) => tiny.promptTokens([1], options)],
    ["generate", (options) => tiny.generate([1], options)],
    ["compare", (options) => tiny.compare([1], options)],
    ["logits", (options) => tiny.logits([1], options)],
    ["logitsRows", (options) => tiny.logitsRows([1], options).next()],
    ["perplexity", (options) => tiny.perplexity([1, 2], options)],
    ["sequence", (options) => tiny.sequence([1], options)],
    ["restore", (options) => tiny.restore(new Uint8Array(1), options)],
    ["chat", (options) => stories.chat([], options)],
    ["tokenizer.encode", (options) => stories.tokenizer!.encode("Tom", options)],
    ["tokenizer.decode", (options) => stories.tokenizer!.decode([1], options)],
    ["tokenizer.stream", (options) => stories.tokenizer!.stream(options)],
  ];
  test.each(withOptions)("%s refuses options that are none, or of a wrong type", async (name, call) => {
    const none = `The options of ${name.replace("tokenizer.", "")} are an object`;
    const wrong: readonly [unknown, string][] = [
      [null, `${none}, not null.`],
      [7, `${none}, not 7.`],
      [() => undefined, `${none}, not a function.`],
      [{ signal: "now" }, 'signal is an AbortSignal, not "now".'],
      [{ onProgress: 5 }, "onProgress is a function, not 5."],
      [{ onPiece: {} }, "onPiece is a function, not an object."],
      [{ onRecomputed: [] }, "onRecomputed is a function, not []."],
      [{ parseSpecial: "yes" }, 'parseSpecial is true or false, not "yes".'],
      [{ ignoreEos: 1 }, "ignoreEos is true or false, not 1."],
      [{ cachePrompt: null }, "cachePrompt is true or false, not null."],
      [{ salt: Symbol("s") }, "salt is a text, not Symbol(s)."],
      [{ template: /x/ }, "template is a text, not an object."],
    ];
    for (const [options, message] of wrong) {
      const error = await errorOf(() => call(options as never));
      expect(error.code).toBe("invalid_argument");
      // Those that it does not have are refused for that.
      if (!error.message.includes(" has no option ")) expect(error.message).toBe(message);
    }
  });

  test("arguments of a wrong type are refused", async () => {
    const nothing = Object.create(null) as never;
    await using sequence = await tiny.sequence([1]);
    for (const call of [
      () => tiny.generate(nothing),
      () => tiny.generate(5 as never),
      () => tiny.generate([1], { mode: nothing }),
      () => tiny.generate([1], { maxTokens: nothing }),
      () => tiny.generate([1], { n: "2" as never }),
      () => tiny.logits([1], { rows: nothing }),
      () => tiny.perplexity(nothing),
      () => tiny.perplexity(undefined as never),
      () => tiny.restore(nothing),
      () => tiny.events(5 as never),
      () => tiny.events("step" as never),
      () => tiny.events(["step", "steps" as never]),
      () => tiny.sequence(undefined as never),
      () => sequence.append(5 as never),
      () => sequence.truncate("2" as never),
      () => sequence.save(5 as never),
      () => stories.chat(5 as never, { template: "x" }),
      () => stories.chat([null as never], { template: "x" }),
      () => stories.chat([], { template: "x" }).then((chat) => chat.reply(5 as never)),
      () => stories.chat([], { template: "x" }).then((chat) => chat.reply("Hello", null as never)),
      () => stories.tokenizer!.encode(5 as never),
      () => stories.tokenizer!.decode(5 as never),
    ]) {
      expect((await errorOf(call)).code, String(call)).toBe("invalid_argument");
    }
    expect((await errorOf(() => tiny.generate([nothing]))).code).toBe("token_out_of_range");
    expect((await errorOf(() => tiny.generate([1n as never]))).code).toBe("token_out_of_range");
  });
});
