/** What generations share and how they take turns, seen from the library. */
import { getEventListeners } from "node:events";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { EngineCore } from "../../src/engine/engine-core.js";
import { type EngineEvent, type GenerateOptions, LastrowError } from "../../src/index.js";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import { LanguageModel } from "../../src/library/language-model.js";
import { arbitraryTokens, modelFolders } from "../fixture-models.js";
import { expectAllDisposed, expectNothingLeft, loadWatched } from "./nothing-left.js";

let core: EngineCore;
let lm: LanguageModel;
beforeAll(async () => {
  const parts = await loadWatched(undefined, { kvMemory: "24MiB" });
  core = parts.core;
  lm = new LanguageModel(parts);
});
afterEach(expectNothingLeft);
afterAll(async () => {
  await lm.dispose();
  expectAllDisposed();
});

const prompt = arbitraryTokens(50, 2048, 3);
const alone = (options: GenerateOptions, tokens = prompt) =>
  lm.generate(tokens, { ...options, cachePrompt: false }).result();

function expectIdle(): void {
  expect(core.kvCache.pool.numFree).toBe(core.kvCache.pool.numBlocks);
  expect(violatedInvariants(core.kvCache)).toEqual([]);
}

describe("prefix sharing", () => {
  test("a second prompt that begins alike computes only what is new, with the same result", async () => {
    const history = arbitraryTokens(100, 2048, 77);
    const options = { maxTokens: 5, seed: 3, ignoreEos: true };
    const first = await lm.generate(history, options).result();
    expect(first).toMatchObject({ numCachedTokens: 0, rowsComputed: 104 });
    const second = await lm.generate(history, options).result();
    expect(second).toMatchObject({ numCachedTokens: 96, rowsComputed: 8 });
    expect(second.tokens).toEqual(first.tokens);
    // The next turn of a chat: the prompt, what was answered, and more.
    const next = [...history, ...first.tokens, ...arbitraryTokens(20, 2048, 78)];
    expect((await lm.generate(next, options).result()).numCachedTokens).toBe(96);
    expect((await alone(options, next)).numCachedTokens).toBe(0);
  });

  test("salts keep requests apart", async () => {
    const history = arbitraryTokens(40, 2048, 79);
    const ask = async (salt?: string) =>
      (await lm.generate(history, { maxTokens: 1, salt }).result()).numCachedTokens;
    expect(await ask("anne")).toBe(0);
    expect(await ask("bob")).toBe(0);
    expect(await ask()).toBe(0);
    expect(await ask("anne")).toBe(32);
    expect(await ask()).toBe(32);
  });

  test("all rows' logits take nothing from the cache, and the last row's do", async () => {
    const history = arbitraryTokens(40, 2048, 80);
    await lm.generate(history, { maxTokens: 1 }).result();
    const { tokensQueried } = (await lm.stats()).prefixCache;
    const all = await lm.logits(history, { rows: "all" });
    expect((await lm.stats()).prefixCache.tokensHit).toBeDefined();
    const last = await lm.logits(history);
    expect((await lm.stats()).prefixCache.tokensQueried - tokensQueried).toBe(80);
    expect(last.logits).toEqual(all.logits.slice(-last.logits.length));
  });
});

describe("several continuations", () => {
  test("continuation i is what seed + i gives alone, and the prompt is computed once", async () => {
    const options = { n: 4, seed: 11, maxTokens: 30, temperature: 1, logprobs: 2, cachePrompt: false };
    const generation = lm.generate(prompt, options);
    const texts = ["", "", "", ""];
    for await (const { index, text } of generation) texts[index] += text;
    const result = await generation.result();
    expect(result.choices.map(({ text }) => text)).toEqual(texts);
    let rows = 0;
    for (const [i, choice] of result.choices.entries()) {
      const single = await alone({ ...options, n: 1, seed: 11 + i });
      expect(choice).toEqual(single.choices[0]);
      rows += single.rowsComputed - prompt.length;
    }
    expect(result.rowsComputed).toBe(prompt.length + rows);
    expect(result.text).toBe(texts[0]);
    expectIdle();
  });

  test("bestOf gives those with the highest mean log-probability, best first, each as one piece", async () => {
    const options = { seed: 5, maxTokens: 12, temperature: 1.2, ignoreEos: true };
    const means: { tokens: readonly number[]; mean: number }[] = [];
    for (let i = 0; i < 6; i++) {
      const { tokens, logprobs } = await alone({ ...options, seed: 5 + i, logprobs: 0 });
      means.push({
        tokens,
        mean: (logprobs ?? []).reduce((sum, { logprob }) => sum + logprob, 0) / tokens.length,
      });
    }
    means.sort((a, b) => b.mean - a.mean);
    const generation = lm.generate(prompt, { ...options, n: 2, bestOf: 6 });
    const pieces = [];
    for await (const piece of generation) pieces.push(piece);
    const result = await generation.result();
    expect(result.choices.map(({ tokens }) => tokens)).toEqual(means.slice(0, 2).map(({ tokens }) => tokens));
    expect(pieces.map(({ index, tokens }) => ({ index, tokens }))).toEqual(
      result.choices.map(({ tokens }, index) => ({ index, tokens })),
    );
    expect(result.logprobs).toBeUndefined();
  });

  test.each([
    [{ n: 0 }, "n is a whole number from 1 to 64, not 0."],
    [{ n: 3, bestOf: 2 }, "bestOf is 2, but must be at least n, which is 3."],
    [{ speculate: 16 }, "speculate is a whole number from 0 to 15, not 16."],
    [{ salt: 5 as unknown as string }, "salt is a text, not 5."],
  ])("refuses %j", (options, message) => {
    expect(() => lm.generate(prompt, options)).toThrow(new LastrowError("invalid_argument", message));
  });
});

describe("speculation", () => {
  test("gives the text of plain decoding, greedy and sampled", async () => {
    const repeating = [...prompt.slice(0, 8), ...prompt.slice(0, 8), ...prompt.slice(0, 8)];
    const options = fc.record({
      tokens: fc.constantFrom(prompt, repeating),
      speculate: fc.integer({ min: 1, max: 15 }),
      temperature: fc.constantFrom(0, 0.3, 1),
      seed: fc.nat(),
      maxTokens: fc.integer({ min: 1, max: 60 }),
      n: fc.integer({ min: 1, max: 3 }),
      ignoreEos: fc.boolean(),
      repetitionPenalty: fc.constantFrom(1, 1.2),
    });
    await fc.assert(
      fc.asyncProperty(options, async ({ tokens, speculate, ...others }) => {
        const plain = await lm.generate(tokens, others).result();
        const speculated = await lm.generate(tokens, { ...others, speculate }).result();
        expect(speculated.choices).toEqual(plain.choices);
        expect(speculated.inferences).toBe(plain.inferences);
        if (others.n === 1) expect(speculated.passes + speculated.accepted).toBe(plain.passes);
      }),
      // `npm run test:soak` has far more, of all options.
      { numRuns: 15 },
    );
    expectIdle();
  });
});

describe("many at once", () => {
  test("each gives what it gives alone, whatever memory and order allow", async () => {
    const parts = await loadWatched(modelFolders.tiny, { kvMemory: "128KiB" });
    await using small = new LanguageModel(parts);
    expect(small.info.kv.blocks).toBe(8);
    const requests = Array.from({ length: 24 }, (_, i) => ({
      tokens: [...arbitraryTokens(20, 300, i % 3), ...arbitraryTokens(1 + ((i * 7) % 40), 300, i)],
      options: { seed: i, maxTokens: 1 + (i % 30), n: 1 + (i % 2), temperature: 1 },
    }));
    const together = await Promise.all(
      requests.map(({ tokens, options }) => small.generate(tokens, options).result()),
    );
    expect((await small.stats()).sequences).toMatchObject({ running: 0, waiting: 0, idle: 0 });
    expect((await small.stats()).sequences.preemptions).toBeGreaterThan(0);
    expect((await small.stats()).largestBatch).toBeGreaterThan(2);
    expect(parts.core.kvCache.pool.numFree).toBe(8);
    for (const [i, { tokens, options }] of requests.entries()) {
      const single = await small.generate(tokens, { ...options, cachePrompt: false }).result();
      expect(together[i].choices).toEqual(single.choices);
    }
  });

  test("one's failure, cancel or slow reader leaves the others alone", async () => {
    const options = { maxTokens: 40, seed: 1, temperature: 1, ignoreEos: true };
    const expected = (await alone(options)).tokens;
    const controller = new AbortController();
    // A token with a score that no float holds: fails when it is sampled.
    const failing = lm.generate(prompt, { ...options, logitBias: { 1: 3e38 }, frequencyPenalty: -2 });
    const cancelled = lm.generate(prompt, { ...options, signal: controller.signal });
    const slow = lm.generate(prompt, options)[Symbol.asyncIterator]();
    const normal = lm.generate(prompt, options);
    await slow.next();
    for await (const _ of cancelled) controller.abort();
    await failing.result().catch(() => undefined);
    expect((await normal.result()).tokens).toEqual(expected);
    expect((await cancelled.result()).finishReason).toBe("abort");
    const read = [];
    for (let next = await slow.next(); next.done !== true; next = await slow.next())
      read.push(...next.value.tokens);
    expect(read).toEqual(expected.slice(1));
    expectIdle();
  });

  test("a signal that outlives its calls is let go by each of them, however it ends", async () => {
    const { signal } = new AbortController();
    const failing = { logitBias: { 1: 3e38 }, frequencyPenalty: -2, maxTokens: 9 };
    for (let round = 0; round < 2; round++) {
      await lm.generate(prompt, { maxTokens: 2, signal }).result();
      await lm
        .generate(prompt, { ...failing, signal })
        .result()
        .catch(() => undefined);
      for await (const _ of lm.generate(prompt, { maxTokens: 9, signal })) break;
      await lm.logits(prompt, { signal });
      for await (const _ of lm.logitsRows(prompt, { signal })) break;
      await lm.compare(prompt, { maxTokens: 1, signal });
      const added = vi.spyOn(signal, "addEventListener");
      await Promise.all(Array.from({ length: 12 }, () => lm.embed([[1, 2]], { pooling: "last", signal })));
      expect(added).toHaveBeenCalledTimes(1);
      added.mockRestore();
      // A reader that left is told the end in a later turn.
      await expectNothingLeft();
      expect(getEventListeners(signal, "abort")).toEqual([]);
    }
  });

  test("a late short request is not stuck behind a long prompt", async () => {
    const parts = await loadWatched(undefined, { kvMemory: "24MiB" });
    await using model = new LanguageModel({ ...parts });
    const steps: number[] = [];
    const options = { maxTokens: 1, ignoreEos: true };
    const long = model
      .generate(arbitraryTokens(511, 2048), options)
      .result()
      .then(() => steps.push(2));
    const short = model
      .generate([1, 2, 3], options)
      .result()
      .then(() => steps.push(1));
    await Promise.all([long, short]);
    expect(steps).toEqual([1, 2]);
  });

  test("what cannot fit even alone is refused with the numbers, at once", async () => {
    await using small = await LanguageModelOf("tiny", "64KiB");
    expect(small.info.kv.blocks).toBe(4);
    await expect(small.generate([1], { maxTokens: 64, ignoreEos: true }).result()).resolves.toMatchObject({
      inferences: 64,
    });
    await expect(small.generate([1], { maxTokens: 65 }).result()).rejects.toMatchObject({
      code: "kv_memory_exhausted",
      message: expect.stringMatching(/^65 rows of keys and values need 5 KV blocks, and there are 4/),
    });
  });
});

async function LanguageModelOf(name: "tiny", kvMemory: string): Promise<LanguageModel> {
  return new LanguageModel(await loadWatched(modelFolders[name], { kvMemory }));
}

describe("sequences by hand", () => {
  test("append, fork, truncate: the logits are those of the same tokens alone", async () => {
    const tokens = arbitraryTokens(60, 2048, 9);
    const truth = async (ids: readonly number[]) =>
      (await lm.logits(ids, { rows: "all" })).logits.slice(-2048);
    await using s = await lm.sequence(tokens);
    expect(s.length).toBe(60);
    expect(s.logits).toEqual(await truth(tokens));
    await s.append([7, 8, 9]);
    expect(s.tokens).toEqual([...tokens, 7, 8, 9]);
    expect(s.logits).toEqual(await truth(s.tokens));
    await using t = await s.fork();
    await Promise.all([s.append([1]), t.append([2])]);
    expect(s.logits).toEqual(await truth([...tokens, 7, 8, 9, 1]));
    expect(t.logits).toEqual(await truth([...tokens, 7, 8, 9, 2]));
    await s.truncate(33);
    expect(s.logits).toEqual(await truth(tokens.slice(0, 33)));
    await s.append(tokens.slice(33));
    expect(s.logits).toEqual(await truth(tokens));
    // A new one with the same history finds what is there.
    await using u = await lm.sequence([...tokens, 3]);
    expect(u.numCachedTokens).toBe(48);
  });

  test("an idle one gives way, and comes back with the same bits", async () => {
    await using small = await LanguageModelOf("tiny", "64KiB");
    const tokens = arbitraryTokens(40, 300, 5);
    await using s = await small.sequence(tokens);
    await small.generate(arbitraryTokens(60, 300, 6), { maxTokens: 1 }).result();
    expect((await small.stats()).sequences).toMatchObject({ idle: 1, preemptions: 1 });
    await s.append([4]);
    expect(s.logits).toEqual((await small.logits([...tokens, 4], { rows: "all" })).logits.slice(-307));
  });

  test("refuses what it cannot do, and stays as it was", async () => {
    await using s = await lm.sequence([1, 2, 3]);
    const { logits } = s;
    await expect(s.append([99999])).rejects.toMatchObject({ code: "token_out_of_range" });
    await expect(s.append(new Array(510).fill(1))).rejects.toMatchObject({ code: "context_length_exceeded" });
    for (const length of [0, 4, 1.5]) {
      await expect(s.truncate(length)).rejects.toMatchObject({ code: "invalid_argument" });
    }
    expect(s.tokens).toEqual([1, 2, 3]);
    expect(s.logits).toBe(logits);
    await s.append("");
    await s.append(" and");
    expect(s.length).toBe(4);
    await s.dispose();
    await s.dispose();
    await expect(s.append([1])).rejects.toMatchObject({ code: "disposed" });
    await expect(s.fork()).rejects.toMatchObject({ code: "disposed" });
    expectIdle();
  });
});

describe("events", () => {
  test("are no longer told when their last reader has left, however it left, and a second time", async () => {
    for (let round = 0; round < 2; round++) {
      const [all, steps, unread] = [lm.events(), lm.events(["step"]), lm.events(["hit"])];
      await lm.generate([1, 2, 3], { maxTokens: 2, ignoreEos: true }).result();
      for await (const event of all) {
        expect(event.type).toBe("allocated");
        break;
      }
      await unread.return?.();
      // Those that still listen still hear.
      for (const step of [1, 2]) {
        const { value } = await steps.next();
        expect(value).toMatchObject({ type: "step", rows: step === 1 ? 3 : 1 });
      }
      await steps.return?.();
      await expectNothingLeft();
    }
  });

  test("may be asked for before the last one has come: each call has one of its own, or the end", async () => {
    const events = lm.events(["step"]);
    const asked = Array.from({ length: 4 }, () => events.next());
    await lm.generate([1, 2, 3], { maxTokens: 3, ignoreEos: true }).result();
    const steps = await Promise.all(asked.slice(0, 3));
    expect(steps.map(({ value }) => value)).toMatchObject([3, 1, 1].map((rows) => ({ type: "step", rows })));
    const more = events.next();
    await events.return?.();
    expect([await asked[3], await more].map(({ done }) => done)).toEqual([true, true]);
  });

  test("tell what happens, in order, while there is a listener", async () => {
    await using small = await LanguageModelOf("tiny", "64KiB");
    const tokens = arbitraryTokens(17, 300, 5);
    const events = small.events();
    await small.generate(tokens, { maxTokens: 1, ignoreEos: true }).result();
    const seen: EngineEvent["type"][] = [];
    for (let i = 0; i < 7; i++) seen.push((await events.next()).value?.type as EngineEvent["type"]);
    expect(seen).toEqual(["allocated", "allocated", "step", "written", "published", "released", "released"]);
    await small.generate(tokens, { maxTokens: 1, ignoreEos: true }).result();
    expect((await events.next()).value).toEqual({ type: "hit", block: 0, sequence: 2, group: 0, index: 0 });
    await events.return?.();
    expect((await events.next()).done).toBe(true);
    // No listener is told what it did not ask for, nor what another asked for.
    const steps = small.events(["step"]);
    const some = small.events(["hit", "released"]);
    await small.generate(tokens, { maxTokens: 2, ignoreEos: true }).result();
    for (const rows of [1, 1]) expect((await steps.next()).value).toMatchObject({ type: "step", rows });
    expect((await some.next()).value?.type).toBe("hit");
    await some.return?.();
    await small.generate(tokens, { maxTokens: 1, ignoreEos: true }).result();
    expect((await steps.next()).value).toMatchObject({ type: "step", rows: 1 });
    await steps.return?.();
    const untilTheEnd = small.events();
    await small.dispose();
    expect((await untilTheEnd.next()).done).toBe(true);
  });
});
