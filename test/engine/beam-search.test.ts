/** Beam search through the engine: Hugging Face's beams, with shared blocks, under any memory. */
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { LastrowError } from "../../src/index.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import { LanguageModel } from "../../src/library/language-model.js";
import { arbitraryTokens, modelFolders } from "../fixture-models.js";
import { goldenBeams } from "../golden-beams.js";
import { expectAllDisposed, expectNothingLeft, loadWatched } from "./nothing-left.js";

afterEach(expectNothingLeft);
afterAll(expectAllDisposed);

/** Ours are sums of f32 log-probabilities in f64, theirs sums in f32. */
const RELATIVE_TOLERANCE = 2e-6;

// 6 blocks: five beams of up to 24 rows cannot all be there at once.
describe.each(["8MiB", 6])("Hugging Face's beams, with KV memory for %s", (memory) => {
  test.each(["tiny", "odd"] as const)("%s", async (name) => {
    const small = await loadWatched(modelFolders[name]);
    const kvMemory = typeof memory === "number" ? memory * small.info.kv.blockBytes : memory;
    await small.engine.dispose(name);
    const parts = await loadWatched(modelFolders[name], { kvMemory });
    const { kvCache } = parts.core;
    for (const golden of await goldenBeams(name)) {
      const { ids, eosTokenId, sequences, scores, maxNewTokens } = golden;
      const { numBeams, lengthPenalty, earlyStopping } = golden;
      if (ids.length + maxNewTokens > kvCache.pool.numBlocks * 16) continue;
      const lm = new LanguageModel({ ...parts, eosTokenIds: eosTokenId === null ? [] : [eosTokenId] });
      const result = await lm
        .generate(ids, { numBeams, lengthPenalty, earlyStopping, n: numBeams, maxTokens: maxNewTokens })
        .result();
      const ends = sequences.map((tokens) => tokens.indexOf(eosTokenId ?? -1));
      expect(result.choices.map(({ tokens, finishReason }) => ({ tokens, finishReason }))).toEqual(
        sequences.map((tokens, i) => ({
          tokens: ends[i] < 0 ? tokens : tokens.slice(0, ends[i]),
          finishReason: ends[i] < 0 ? "length" : "stop",
        })),
      );
      for (const [i, score] of scores.entries()) {
        const found = result.choices[i].score ?? Number.NaN;
        expect(Math.abs(found - score)).toBeLessThan(RELATIVE_TOLERANCE * Math.abs(score));
      }
      expect(kvCache.pool.numFree).toBe(kvCache.pool.numBlocks);
      expect(violatedInvariants(kvCache)).toEqual([]);
    }
    await parts.engine.dispose(name);
  });
});

describe("a beam search", () => {
  const prompt = arbitraryTokens(40, 2048, 12);
  const options = { numBeams: 4, maxTokens: 10, ignoreEos: true };

  test("computes the prompt once, and a row for each live beam", async () => {
    await using lm = new LanguageModel(await loadWatched());
    const result = await lm.generate(prompt, { ...options, n: 3 }).result();
    expect(result.choices).toHaveLength(3);
    expect(result).toMatchObject({ rowsComputed: 40 + 4 * 9, inferences: 1 + 4 * 9, numCachedTokens: 0 });
    expect(result.text).toBe(lm.tokenizer?.decode(result.tokens));
    // Best first, and at length penalty 0 the scores are what the model itself gives these tokens.
    const sums = await lm.generate(prompt, { ...options, n: 4, lengthPenalty: 0 }).result();
    expect(sums.numCachedTokens).toBe(32);
    for (const { tokens, score } of sums.choices) {
      const { logits } = await lm.logits([...prompt, ...tokens], { rows: "all" });
      const sum = tokens.reduce((before, token, i) => {
        const row = logits.subarray((prompt.length + i - 1) * 2048, (prompt.length + i) * 2048);
        const total = row.reduce((all, logit) => all + Math.exp(logit), 0);
        return before + row[token] - Math.log(total);
      }, 0);
      expect(score).toBeCloseTo(sum, 4);
    }
    const scores = sums.choices.map(({ score }) => score ?? Number.NaN);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
  });

  test("gives the same by recomputing, and beside others", async () => {
    await using lm = new LanguageModel(await loadWatched());
    const [cached, recomputed] = await Promise.all([
      lm.generate(prompt, { ...options, n: 4 }).result(),
      lm.generate(prompt, { ...options, n: 4, mode: "recompute" }).result(),
      lm.generate(prompt, { maxTokens: 20, seed: 1, n: 3 }).result(),
    ]);
    expect(recomputed.choices).toEqual(cached.choices);
    expect(recomputed.rowsComputed).toBe(
      40 + 4 * Array.from({ length: 9 }, (_, i) => 41 + i).reduce((a, b) => a + b),
    );
  });

  test("heeds bias, penalties and stop strings", async () => {
    await using lm = new LanguageModel(await loadWatched());
    const plain = await lm.generate(prompt, options).result();
    const banned = plain.tokens[0];
    const without = await lm.generate(prompt, { ...options, logitBias: { [banned]: -Infinity } }).result();
    expect(without.tokens).not.toContain(banned);
    const story = await lm.generate("Once upon a time", { ...options, maxTokens: 30 }).result();
    const word = story.text.trim().split(" ")[3];
    const stopped = await lm.generate("Once upon a time", { ...options, maxTokens: 30, stop: word }).result();
    expect(stopped.text).toBe(story.text.slice(0, story.text.indexOf(word)));
    expect(stopped).toMatchObject({ finishReason: "stop", score: story.score });
  });

  test("ends when it is cancelled, with what it has", async () => {
    const parts = await loadWatched();
    await using lm = new LanguageModel(parts);
    const controller = new AbortController();
    const generation = lm.generate(prompt, { ...options, n: 2, maxTokens: 200, signal: controller.signal });
    const result = generation.result();
    const other = lm.generate(prompt, { maxTokens: 3 });
    for await (const _ of other) controller.abort();
    expect((await result).choices.map(({ finishReason }) => finishReason)).toEqual(["abort", "abort"]);
    expect(parts.core.kvCache.pool.numFree).toBe(parts.core.kvCache.pool.numBlocks);
    expect((await lm.generate(prompt, { ...options, maxTokens: 0 }).result()).choices).toMatchObject([
      { text: "", tokens: [], finishReason: "length" },
    ]);
  });

  test.each([
    [{ numBeams: 0 }, "numBeams is a whole number from 1 to 64, not 0."],
    [{ numBeams: 2, n: 3 }, "numBeams is 2, but must be at least n, which is 3."],
    [{ lengthPenalty: 2 }, "lengthPenalty and earlyStopping belong to a beam search; give numBeams, too."],
    [{ numBeams: 2, lengthPenalty: 21 }, "lengthPenalty is 21; it must be from -20 to 20."],
    [{ numBeams: 2, speculate: 3 }, "speculate cannot be combined with numBeams."],
    [{ numBeams: 2, bestOf: 2 }, "bestOf cannot be combined with numBeams."],
    [{ numBeams: 2, logprobs: 0 }, "logprobs cannot be combined with numBeams."],
  ])("refuses %j", async (bad, message) => {
    await using lm = new LanguageModel(await loadWatched(modelFolders.tiny));
    expect(() => lm.generate([1], bad)).toThrow(new LastrowError("invalid_argument", message));
  });
});
