/** `/v1/completions` against the library: the same texts and the same bits, whole or in pieces. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LanguageModel, load } from "../../src/index.js";
import { soon } from "../soon.js";
import { errorOf, events, type Served, served } from "./served.js";

let api: Served;
let lm: LanguageModel;
beforeAll(async () => {
  api = await served({
    limits: {
      ...{ prompts: 4, n: 4, beams: 3, stopTexts: 2, logitBias: 2, maxTokens: 500, logprobs: 5 },
      logprobEntries: 4000,
    },
  });
  lm = await load(undefined, { threads: 1 });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await lm.dispose();
});

interface Choice {
  readonly index: number;
  readonly text: string;
}

const PROMPT = "Once upon a time";
const complete = (body: object) => api.post("/v1/completions", { prompt: PROMPT, seed: 3, ...body });
// biome-ignore lint/suspicious/noExplicitAny: what comes over the wire has no type
const whole = async (body: object): Promise<any> => (await complete(body)).json();

/** The bits of numbers, so that nothing is equal by rounding. */
const bits = (numbers: readonly number[]) => [...new BigUint64Array(new Float64Array(numbers).buffer)];

describe("text", () => {
  test("is the library's for the same seed, and the usage counts it", async () => {
    const own = await lm.generate(PROMPT, { seed: 3, maxTokens: 20, temperature: 1.2, topP: 0.9 }).result();
    const answer = await whole({ max_tokens: 20, temperature: 1.2, top_p: 0.9 });
    expect(answer).toMatchObject({
      object: "text_completion",
      model: "stories",
      choices: [{ index: 0, text: own.text, finish_reason: own.finishReason, logprobs: null }],
      usage: {
        prompt_tokens: own.promptTokens,
        completion_tokens: own.tokens.length,
        total_tokens: own.promptTokens + own.tokens.length,
      },
      timings: { predicted_n: own.tokens.length },
    });
    expect((await whole({})).usage.completion_tokens).toBe(16);
  });

  test("takes every option that the library has", async () => {
    const own = await lm
      .generate(PROMPT, {
        ...{ seed: 5, maxTokens: 24, topK: 7, minP: 0.01, repetitionPenalty: 1.3, frequencyPenalty: 0.5 },
        ...{ presencePenalty: 0.25, logitBias: { 260: -5, 300: 2 }, ignoreEos: true, stop: ["dog", "."] },
      })
      .result();
    const answer = await whole({
      ...{
        seed: 5,
        max_completion_tokens: 24,
        max_tokens: 3,
        top_k: 7,
        min_p: 0.01,
        repetition_penalty: 1.3,
      },
      ...{ frequency_penalty: 0.5, presence_penalty: 0.25, logit_bias: { 260: -5, 300: 2 } },
      ...{ ignore_eos: true, stop: ["dog", "."], unknown_field: { of: ["no", "interest"] }, user: "me" },
    });
    expect(answer.choices[0]).toMatchObject({ text: own.text, finish_reason: own.finishReason });
  });

  test("of token ids, of several prompts, of several continuations, each in its place", async () => {
    const prompts = ["Tom had a red ball", "Lily saw"];
    const own = await Promise.all(
      prompts.map((p) => lm.generate(p, { seed: 3, maxTokens: 6, n: 2 }).result()),
    );
    const texts = own.flatMap(({ choices }) => choices.map(({ text }) => text));
    const ids = prompts.map((prompt) => lm.promptTokens(prompt));
    for (const prompt of [prompts, ids]) {
      const { choices } = await whole({ prompt, max_tokens: 6, n: 2 });
      expect(choices.map(({ text }: Choice) => text)).toEqual(texts);
      expect(choices.map(({ index }: Choice) => index)).toEqual([0, 1, 2, 3]);
    }
    const [one] = (await whole({ prompt: ids[0], max_tokens: 6 })).choices;
    expect(one.text).toBe(texts[0]);
    const started = await lm.generate("", { seed: 3, maxTokens: 6 }).result();
    expect((await whole({ prompt: null, max_tokens: 6 })).choices[0].text).toBe(started.text);
  });

  test("of the likeliest of several, and of a beam search", async () => {
    const best = await lm.generate(PROMPT, { seed: 3, maxTokens: 8, n: 2, bestOf: 4 }).result();
    const { choices } = await whole({ max_tokens: 8, n: 2, best_of: 4 });
    expect(choices.map(({ text }: Choice) => text)).toEqual(best.choices.map(({ text }) => text));
    const beams = await lm.generate(PROMPT, { maxTokens: 8, n: 2, numBeams: 3 }).result();
    for (const body of [{ num_beams: 3 }, { use_beam_search: true, best_of: 3 }]) {
      const found = await whole({ max_tokens: 8, n: 2, ...body });
      expect(found.choices.map(({ text }: Choice) => text)).toEqual(beams.choices.map(({ text }) => text));
    }
  });

  test("in pieces is the same, choice by choice", async () => {
    const body = { max_tokens: 12, n: 3, prompt: [PROMPT, "The dog"], logprobs: 2 };
    const together = await whole(body);
    const { chunks, isDone } = await events(
      await complete({ ...body, stream: true, stream_options: { include_usage: true } }),
    );
    expect(isDone).toBe(true);
    const last = chunks.at(-1);
    expect(last.choices).toEqual([]);
    expect(last.usage).toMatchObject({ prompt_tokens: together.usage.prompt_tokens, completion_tokens: 72 });
    for (const { index, text, logprobs, finish_reason } of together.choices) {
      const own = chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
      expect(own.map((choice) => choice.text).join("")).toBe(text);
      expect(own.at(-1).finish_reason).toBe(finish_reason);
      const streamed = own.flatMap((choice) => choice.logprobs?.token_logprobs ?? []);
      expect(bits(streamed)).toEqual(bits(logprobs.token_logprobs));
      expect(own.flatMap((choice) => choice.logprobs?.text_offset ?? [])).toEqual(logprobs.text_offset);
    }
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });
});

describe("fields as other servers take them", () => {
  test("a seed is any number of 64 bits; -1 is another one each time", async () => {
    const text = async (seed: string, maxTokens = 12) => {
      const body = `{"prompt":"${PROMPT}","max_tokens":${maxTokens},"seed":${seed}}`;
      const answer = await api.post("/v1/completions", body);
      expect(answer.status).toBe(200);
      return (await answer.json()).choices[0].text;
    };
    const seeds = ["-2", "9007199254740992", "9223372036854775807", "18446744073709551615"];
    const texts = [];
    for (const seed of seeds) {
      texts.push(await text(seed));
      expect(await text(seed)).toBe(texts.at(-1));
    }
    expect(new Set(texts).size).toBe(seeds.length);
    await text("-9223372036854775808");
    const own = await lm.generate(PROMPT, { seed: 2 ** 53 - 1, maxTokens: 12 }).result();
    expect(await text("9007199254740991")).toBe(own.text);
    // One text of 12 tokens in five is the likeliest: a few of them could be the same by chance.
    const drawn = await Promise.all(Array.from({ length: 8 }, () => text("-1", 24)));
    expect(new Set(drawn).size).toBeGreaterThan(1);
  });

  test("one beam is no search", async () => {
    const own = await lm.generate(PROMPT, { seed: 3, maxTokens: 8 }).result();
    const { choices } = await whole({
      ...{ max_tokens: 8, num_beams: 1, length_penalty: 2, early_stopping: true, logprobs: 1, best_of: 1 },
    });
    expect(choices[0].text).toBe(own.text);
    expect(choices[0].logprobs.tokens.join("")).toBe(own.text);
    const beam = await lm.generate(PROMPT, { maxTokens: 8, numBeams: 1 }).result();
    expect((await whole({ max_tokens: 8, use_beam_search: true })).choices[0].text).toBe(beam.text);
  });

  test("half of a surrogate pair comes back as what was tokenised", async () => {
    const answer = await api.post(
      "/v1/completions",
      `{"prompt":"a\\ud800b","max_tokens":0,"echo":true,"logprobs":0}`,
    );
    const { text, logprobs } = (await answer.json()).choices[0];
    expect(text).toBe("a\ufffdb");
    expect(lm.tokenizer!.decode(lm.promptTokens("a\ud800b"))).toBe(text);
    expect(logprobs.tokens.length).toBe(lm.promptTokens(text).length);
  });

  test("max_tokens that is left out is bounded as one that is there", async () => {
    const small = await served({ limits: { maxTokens: 3 }, chatTemplate: "{{ messages[0].content }}" });
    const count = async (path: string, body: object) =>
      (await (await small.post(path, { ignore_eos: true, ...body })).json()).usage.completion_tokens;
    expect(await count("/v1/completions", { prompt: "a" })).toBe(3);
    expect(await count("/v1/chat/completions", { messages: [{ role: "user", content: "a" }] })).toBe(3);
    expect(await count("/v1/completions", { prompt: "a", max_tokens: 2 })).toBe(2);
    expect((await small.post("/v1/completions", { prompt: "a", max_tokens: 4 })).status).toBe(400);
    await small.server.dispose();
  });
});

describe("log-probabilities", () => {
  test("are the library's, to the bit", async () => {
    const own = await lm.generate(PROMPT, { seed: 3, maxTokens: 10, logprobs: 3 }).result();
    const { logprobs } = (await whole({ max_tokens: 10, logprobs: 3 })).choices[0];
    expect(bits(logprobs.token_logprobs)).toEqual(bits(own.logprobs!.map(({ logprob }) => logprob)));
    expect(bits(logprobs.top_logprobs.flatMap((top: object) => Object.values(top).slice(0, 3)))).toEqual(
      bits(own.logprobs!.flatMap(({ top }) => top.map(({ logprob }) => logprob))),
    );
    expect(logprobs.tokens.join("")).toBe(own.text);
  });

  test("always have the token that was chosen among the likeliest, under a name of its own", async () => {
    // Biased to the least likely tokens, whose texts are no characters of their own.
    const { logprobs } = (await whole({ max_tokens: 6, logprobs: 2, logit_bias: { 200: 100 } })).choices[0];
    const [text] = logprobs.tokens;
    for (const [i, top] of logprobs.top_logprobs.entries()) {
      expect(Object.keys(top)).toHaveLength(3);
      expect(top[text]).toBe(logprobs.token_logprobs[i]);
    }
    const none = (await whole({ max_tokens: 2, logprobs: 0 })).choices[0].logprobs;
    expect(none.top_logprobs.map((top: object) => Object.keys(top))).toEqual(
      none.tokens.map((token: string) => [token]),
    );
    const echoed = (await whole({ max_tokens: 0, echo: true, logprobs: 1 })).choices[0].logprobs;
    for (const [i, top] of echoed.top_logprobs.entries()) {
      if (i > 0) expect(top[echoed.tokens[i]]).toBe(echoed.token_logprobs[i]);
    }
  });

  test("are so many at most, continuations, tokens and alternatives together", async () => {
    const status = async (body: object) => (await complete({ ignore_eos: true, ...body })).status;
    expect(await status({ max_tokens: 250, n: 4, logprobs: 3 })).toBe(200);
    const error = await errorOf(await complete({ max_tokens: 251, n: 4, logprobs: 3 }));
    expect(error).toMatchObject({ status: 400, code: "invalid_request", param: "logprobs" });
    expect(error.message).toMatch(/up to 4016 log-probabilities.* gives 4000 at once/);
    for (const body of [
      { max_tokens: 500, best_of: 4, logprobs: 3 },
      { max_tokens: 300, prompt: ["a", "b", "c", "d"], logprobs: 3 },
      { max_tokens: 0, prompt: Array(200).fill(5), echo: true, n: 4, logprobs: 5 },
    ]) {
      expect(await status(body)).toBe(400);
    }
    // Without them, and within the context, nothing is refused.
    expect(await status({ max_tokens: 260, n: 4 })).toBe(200);
    expect(await status({ max_tokens: 500, n: 4, logprobs: 1, prompt: Array(500).fill(5) })).toBe(200);
  });

  test("of the prompt are those of its rows, and no row is taken from the cache", async () => {
    const tokens = lm.promptTokens(PROMPT);
    const { choices, usage } = await whole({ max_tokens: 0, echo: true, logprobs: 1 });
    expect(choices[0].text).toBe(PROMPT);
    expect(usage).toMatchObject({ completion_tokens: 0, prompt_tokens_details: { cached_tokens: 0 } });
    // What a generation that is forced to write the same tokens reports of them.
    const forced: number[] = [];
    for (const [i, token] of tokens.entries()) {
      if (i === 0) continue;
      const { logprobs } = await lm
        .generate(tokens.slice(0, i), {
          maxTokens: 1,
          logprobs: 0,
          logitBias: { [token]: 1e6 },
          temperature: 0,
        })
        .result();
      forced.push(logprobs![0].logprob);
    }
    expect(choices[0].logprobs.token_logprobs[0]).toBeNull();
    expect(bits(choices[0].logprobs.token_logprobs.slice(1))).toEqual(bits(forced));
    const echoed = await whole({ max_tokens: 5, echo: true, logprobs: 0, prompt: tokens });
    const own = await lm.generate(PROMPT, { seed: 3, maxTokens: 5 }).result();
    expect(echoed.choices[0].text).toBe(PROMPT + own.text);
    const { text_offset, tokens: shown } = echoed.choices[0].logprobs;
    for (const [i, token] of shown.entries()) {
      if (i > 0) expect(echoed.choices[0].text.slice(text_offset[i])).toMatch(new RegExp(`^${token}`));
    }
  });

  test("of a prompt, streamed", async () => {
    const { chunks } = await events(await complete({ max_tokens: 3, echo: true, logprobs: 0, stream: true }));
    expect(chunks[0].choices[0].text).toBe(PROMPT);
    expect(chunks[0].choices[0].logprobs.tokens).toHaveLength(5);
  });
});

describe("the cache", () => {
  test("is shared by default, counted, and left alone when asked to", async () => {
    const prompt = lm.promptTokens(
      "The big brown bear went to the market to buy some honey for his little friend.",
    );
    const cached = async (body: object) =>
      (await whole({ prompt, max_tokens: 1, ...body })).usage.prompt_tokens_details.cached_tokens;
    expect(await cached({ cache_prompt: false })).toBe(0);
    expect(await cached({})).toBe(0);
    expect(await cached({})).toBe(16);
    expect(await cached({ cache_prompt: false })).toBe(0);
    expect(await cached({ cache_salt: "mine" })).toBe(0);
    expect(await cached({ cache_salt: "mine" })).toBe(16);
    expect(await cached({ cache_salt: "yours" })).toBe(0);
  });
});

describe("refusals", () => {
  const refused = async (body: unknown) => errorOf(await api.post("/v1/completions", body));

  test.each([
    [{ prompt: 5 }, 400, "prompt"],
    [{ prompt: [], n: 0 }, 400, "n"],
    [{ prompt: "a", suffix: "b" }, 400, "suffix"],
    [{ prompt: "a", max_tokens: -1 }, 400, "max_tokens"],
    [{ prompt: "a", max_tokens: 501 }, 400, "max_tokens"],
    [{ prompt: "a", n: 5 }, 400, "n"],
    [{ prompt: "a", n: 2, best_of: 1 }, 400, "best_of"],
    [{ prompt: "a", n: 1, best_of: 2, stream: true }, 400, "best_of"],
    [{ prompt: "a", temperature: "hot" }, 400, "temperature"],
    [{ prompt: "a", top_p: 2 }, 400, "top_p"],
    [{ prompt: "a", logprobs: 6 }, 400, "logprobs"],
    [{ prompt: "a", stop: ["a", "b", "c"] }, 400, "stop"],
    [{ prompt: "a", stop: "" }, 400, "stop"],
    [{ prompt: "a", logit_bias: { 1: 1, 2: 1, 3: 1 } }, 400, "logit_bias"],
    [{ prompt: "a", logit_bias: { 99999: 1 } }, 400, "logit_bias"],
    [{ prompt: "a", seed: 1.5 }, 400, "seed"],
    [{ prompt: "a", seed: 2 ** 65 }, 400, "seed"],
    [{ prompt: "a", seed: "1" }, 400, "seed"],
    [{ prompt: ["a", "a", "a", "a", "a"] }, 400, "prompt"],
    [{ prompt: [2048] }, 400, "prompt"],
    [{ prompt: "a", num_beams: 2, logprobs: 1 }, 400, "logprobs"],
    [{ prompt: "a", length_penalty: 2 }, 400, "length_penalty"],
    [{ prompt: "a", num_beams: 4 }, 400, "num_beams"],
    [{ prompt: "a", use_beam_search: true, best_of: 4 }, 400, "use_beam_search"],
    [[], 400, null],
    [null, 400, null],
  ])("of %j", async (body, status, param) => {
    const error = await refused(body);
    expect(error).toMatchObject({ status, param, type: "invalid_request_error" });
    expect(error.message).toMatch(/\.$/);
  });

  test("of what is too long for the context, by its tokens or before they are counted", async () => {
    const tooMany = await refused({ prompt: Array(513).fill(1) });
    expect(tooMany).toMatchObject({ status: 400, code: "context_length_exceeded", param: "prompt" });
    expect(await refused({ prompt: "word ".repeat(600) })).toMatchObject({ code: "context_length_exceeded" });
    const long = await refused({ prompt: "a".repeat(900_000) });
    expect(long).toMatchObject({ status: 400, code: "context_length_exceeded" });
    expect(long.message).toMatch(/900000 characters/);
  });

  test("of another model, of no JSON, of another type, of nesting, of size", async () => {
    expect(await refused({ prompt: "a", model: "gpt-4" })).toMatchObject({
      status: 404,
      code: "model_not_found",
    });
    expect(await refused("{")).toMatchObject({ status: 400, code: "invalid_json" });
    expect(await refused(`{"prompt":"a","x":${"[".repeat(100)}${"]".repeat(100)}}`)).toMatchObject({
      status: 400,
      code: "invalid_json",
    });
    const brackets = { prompt: "[[[[[[[[[[[[[[[[[[[[[[", max_tokens: 1, stop: '\\"{{{' };
    expect((await api.post("/v1/completions", brackets)).status).toBe(200);
    expect(await refused(`"${"a".repeat(1024 * 1024)}"`)).toMatchObject({ status: 413 });
    const typed = await api.post(
      "/v1/completions",
      { prompt: "a" },
      { headers: { "content-type": "text/plain" } },
    );
    expect(await errorOf(typed)).toMatchObject({ status: 415, code: "unsupported_media_type" });
    const coded = (coding: string) =>
      api.post(
        "/v1/completions",
        { prompt: "a", max_tokens: 1 },
        { headers: { "content-encoding": coding } },
      );
    expect(await errorOf(await coded("gzip"))).toMatchObject({ status: 415, code: "unsupported_media_type" });
    expect((await coded("identity")).status).toBe(200);
    expect(await errorOf(await api.get("/v1/completion"))).toMatchObject({ status: 404, code: "not_found" });
  });
});

test("a client that goes away ends its work and frees its blocks", async () => {
  const steps = async () =>
    Number(/^lastrow:engine_steps_total\S* (\d+)/m.exec(await (await api.get("/metrics")).text())![1]);
  for (const stream of [true, false]) {
    const before = await steps();
    const controller = new AbortController();
    const pending = api.post(
      "/v1/completions",
      { prompt: PROMPT, max_tokens: 500, ignore_eos: true, stream },
      { signal: controller.signal },
    );
    if (stream) {
      const reader = (await pending).body!.getReader();
      await reader.read();
      await reader.cancel();
    } else {
      setTimeout(() => controller.abort(), 10);
      expect((await pending).status).toBe(499);
    }
    await soon(() => {
      expect(api.records.at(-1)).toMatchObject({ error: "client_closed_request", stream });
    });
    // All of it would have taken 500.
    expect((await steps()) - before).toBeLessThan(400);
  }
  expect(await (await api.get("/metrics")).text()).toMatch(/vllm:kv_cache_usage_perc\{[^}]*\} 0\n/);
});

test("a server that is started with a shorter context says so, refuses what is longer, and gives the same text", async () => {
  await using short = await served({ contextLength: 16 });
  const models = await (await short.get("/v1/models")).json();
  expect(models.data[0].max_model_len).toBe(16);
  const ask = (prompt: string | number[]) =>
    short.post("/v1/completions", { prompt, seed: 3, max_tokens: 100, temperature: 0 });
  expect(await errorOf(await ask(Array(17).fill(5)))).toMatchObject({
    ...{ status: 400, code: "context_length_exceeded", param: "prompt" },
  });
  const answer = await (await ask(PROMPT)).json();
  expect(answer.choices[0]).toMatchObject({
    finish_reason: "length",
    text: (await lm.generate(PROMPT, { maxTokens: 11, temperature: 0 }).result()).text,
  });
  expect(answer.usage.total_tokens).toBe(16);
});
