/** Vectors of texts and ratings of documents, from a model's files to what programs get. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type EmbedOptions, LastrowError, load } from "../src/index.js";
import { LanguageModel } from "../src/library/language-model.js";
import { exp } from "../src/numerics/math.js";
import { type EmbeddingModel, END, embeddingModelFiles } from "./embedding-model.js";
import { expectAllDisposed, expectNothingLeft, loadWatched } from "./engine/nothing-left.js";
import { FedSequence } from "./fed-sequence.js";
import { ggufPath } from "./fixture-models.js";
import { memoryFiles } from "./memory-files.js";

afterEach(expectNothingLeft);
afterAll(expectAllDisposed);

type Loaded = Awaited<ReturnType<typeof loadWatched>>;
interface Model {
  readonly lm: LanguageModel;
  readonly loaded: Loaded;
}

async function loadModel(
  model: EmbeddingModel,
  {
    label = "m",
    ...options
  }: NonNullable<Parameters<typeof loadWatched>[1]> & { readonly label?: string } = {},
): Promise<Model> {
  const loaded = await loadWatched(memoryFiles(label, embeddingModelFiles(model).files), options);
  return { loaded, lm: new LanguageModel(loaded) };
}

/** Rows of tokens after the final norm, each alone. */
function rowsOf({ core }: Loaded, tokens: readonly number[]): number[][] {
  const sequence = new FedSequence(core);
  const rows = [...sequence.allHidden(tokens)].map((row) => [...row]);
  sequence.dispose();
  return rows;
}

/** Of length 1, rounded to f32. */
function unit(values: readonly number[]): number[] {
  const length = Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));
  return values.map((value) => Math.fround(value / length));
}

const mean = (rows: readonly (readonly number[])[]) =>
  rows[0].map((_, c) => rows.reduce((sum, row) => sum + row[c], 0) / rows.length);

const TEXTS = [
  "Once upon a time there was a little girl.",
  "",
  "A dog!",
  "Once upon a time there was a little boy, and he had a red ball that he liked so very, very much.",
  "Once upon a time there was a little girl.",
];
const vectors = async (
  lm: LanguageModel,
  texts: Parameters<LanguageModel["embed"]>[0],
  options?: EmbedOptions,
) => (await lm.embed(texts, options)).embeddings.map((vector) => [...vector]);

describe("a model that embeds by its last token", () => {
  const prompts = { prompts: { query: "Query: ", document: "" }, default_prompt_name: null };
  let model: Model;
  beforeAll(async () => {
    model = await loadModel({ pooling: "lasttoken", prompts });
  });
  afterAll(() => model.lm.dispose());

  test("gives its row after the end token, with a length of 1", async () => {
    const { lm, loaded } = model;
    const end = embeddingModelFiles({ pooling: "lasttoken" }).idOf(END);
    const { embeddings, promptTokens } = await lm.embed(TEXTS);
    let tokens = 0;
    for (const [i, text] of TEXTS.entries()) {
      const ids = [...lm.tokenizer!.encode(text, { addSpecialTokens: false }), end];
      tokens += ids.length;
      expect([...embeddings[i]], text).toEqual(unit(rowsOf(loaded, ids).at(-1)!));
      expect(embeddings[i]).toBeInstanceOf(Float32Array);
    }
    expect(promptTokens).toBe(tokens);
    expect(lm.info.embedding).toMatchObject({ pooling: "last", refused: null, prompts: prompts.prompts });
    // Token ids are taken as they are.
    expect(await vectors(lm, [[5, 6, 7]])).toEqual([unit(rowsOf(loaded, [5, 6, 7]).at(-1)!)]);
    expect(await vectors(lm, "A dog!")).toEqual([[...embeddings[2]]]);
    expect(await lm.embed([])).toEqual({ embeddings: [], promptTokens: 0, numCachedTokens: 0 });
  });

  test("what it was given is what it reads, whatever its caller does with the lists meanwhile", async () => {
    const { lm } = model;
    const ids = [5, 6, 7];
    const texts = [ids, [8]];
    const expected = await lm.embed([[5, 6, 7], [8]]);
    const running = lm.embed(texts);
    ids.push(9);
    texts.pop();
    expect((await running).embeddings).toEqual(expected.embeddings);
  });

  test("takes what there is of a text's beginning, by its salt", async () => {
    const { lm } = model;
    const first = await lm.embed([TEXTS[3]], { salt: "s" });
    const again = await lm.embed([TEXTS[3]], { salt: "s" });
    expect(first.numCachedTokens).toBe(0);
    expect(again.numCachedTokens).toBeGreaterThanOrEqual(16);
    expect(again.embeddings).toEqual(first.embeddings);
    const uncached = await lm.embed([TEXTS[3]], { salt: "s", cachePrompt: false });
    expect(uncached).toMatchObject({ numCachedTokens: 0, embeddings: first.embeddings });
    expect((await lm.embed([TEXTS[3]], { salt: "t" })).numCachedTokens).toBe(0);
  });

  test("cuts before it makes the length 1", async () => {
    const { lm, loaded } = model;
    const [row] = rowsOf(loaded, [9]);
    for (const dimensions of [1, 7, 32]) {
      expect(await vectors(lm, [[9]], { dimensions })).toEqual([unit(row.slice(0, dimensions))]);
    }
    for (const dimensions of [0, 33, 1.5, Number.NaN]) {
      await expect(lm.embed([[9]], { dimensions })).rejects.toThrow(
        /dimensions is a whole number from 1 to 32/,
      );
    }
  });

  test("puts a prompt in front of texts: the model's, by its name, or another", async () => {
    const { lm } = model;
    const [dog] = await vectors(lm, ["Query: A dog!"]);
    expect(await vectors(lm, ["A dog!"], { promptName: "query" })).toEqual([dog]);
    expect(await vectors(lm, ["A dog!"], { prompt: "Query: " })).toEqual([dog]);
    expect(await vectors(lm, ["A dog!"])).not.toEqual([dog]);
    expect(await vectors(lm, [[5]], { promptName: "document" })).toEqual(await vectors(lm, [[5]]));
    await expect(lm.embed(["x"], { promptName: "q" })).rejects.toThrow(
      'promptName is "q"; m has "query", "document".',
    );
    await expect(lm.embed(["x"], { promptName: "query", prompt: "" })).rejects.toThrow(/exclude each other/);
    await expect(lm.embed([[5]], { promptName: "query" })).rejects.toThrow(/token ids are taken as they are/);
    const byDefault = await loadModel({
      pooling: "lasttoken",
      prompts: { ...prompts, default_prompt_name: "query" },
    });
    expect(await vectors(byDefault.lm, ["A dog!"])).toEqual([dog]);
    expect(await vectors(byDefault.lm, ["A dog!"], { prompt: "" })).toEqual(await vectors(lm, ["A dog!"]));
    await byDefault.lm.dispose();
  });

  test("refuses what it cannot do before it does anything", async () => {
    const { lm } = model;
    const { rows } = await lm.stats();
    const long = "a b c ".repeat(100);
    const refused: [Parameters<LanguageModel["embed"]>, string, RegExp][] = [
      [
        [["short", long]],
        "context_length_exceeded",
        /^Text 1: The prompt has \d+ tokens; this model's context is 128/,
      ],
      [[[long]], "context_length_exceeded", /^The prompt has/],
      [[[[1, 9999]]], "token_out_of_range", /9999/],
      [[[1, 2, 3] as never], "invalid_argument", /\[\[1, 2, 3\]\]/],
      [[["a", null as never]], "invalid_argument", /null/],
      [[{ input: "a" } as never], "invalid_argument", /a text or a list of texts/],
      [[["a"], { pooling: "cls" as never }], "invalid_argument", /pooling is "last" or "mean", not "cls"/],
      [[["a"], { dimension: 3 } as never], "invalid_argument", /Did you mean dimensions/],
    ];
    for (const [args, code, message] of refused) {
      const error = await lm.embed(...args).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(LastrowError);
      expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    }
    expect((await lm.stats()).rows).toBe(rows);
  });

  test("is cancelled by its signal, the texts that wait included", async () => {
    const { lm } = model;
    await expect(lm.embed(TEXTS, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
    const controller = new AbortController();
    const { rows } = await lm.stats();
    const many = Array.from({ length: 500 }, (_, i) => `${i} ${TEXTS[3]}`);
    const embedding = lm.embed(many, { signal: controller.signal, cachePrompt: false });
    await lm.stats();
    controller.abort();
    await expect(embedding).rejects.toMatchObject({ code: "aborted" });
    expect((await lm.stats()).rows - rows).toBeLessThan(250 * 20);
  });
});

describe("a model that embeds by the mean", () => {
  test("adds the rows of all tokens in order, in f64, and shares nothing", async () => {
    const { lm, loaded } = await loadModel({ pooling: "mean_tokens" }, { tokenBudget: 16 });
    for (const text of TEXTS) {
      const ids = lm.tokenizer!.encode(text);
      const { embeddings, numCachedTokens } = await lm.embed([text]);
      expect([...embeddings[0]], text).toEqual(unit(mean(rowsOf(loaded, ids))));
      expect(numCachedTokens).toBe(0);
    }
    // Another pooling can be asked for.
    expect(await vectors(lm, [[5, 6]], { pooling: "last" })).toEqual([unit(rowsOf(loaded, [5, 6])[1])]);
    await lm.dispose();
  });
});

test("alone and beside others, in pieces, on any threads and on the reference's kernels: the same bits", async () => {
  for (const pooling of ["lasttoken", "mean_tokens"] as const) {
    const bits: number[][][] = [];
    for (const options of [
      { threads: 1 },
      { threads: 3, tokenBudget: 7, kvMemory: "40KiB", contextLength: 128 },
      { kernels: "reference", tokenBudget: 30 },
    ] as const) {
      const { lm } = await loadModel({ pooling }, options);
      const generate = { maxTokens: 6, ignoreEos: true };
      const writing = [1, 2].map((seed) => lm.generate("Once upon", { ...generate, seed }).result());
      bits.push(await vectors(lm, TEXTS));
      await Promise.all(writing);
      const alone = [];
      for (const text of TEXTS) alone.push(...(await vectors(lm, [text], { cachePrompt: false })));
      bits.push(alone);
      await lm.dispose();
    }
    for (const others of bits) expect(others).toEqual(bits[0]);
  }
});

test("a model that does not say how: it must be asked for; one with other modules is refused", async () => {
  const plain = await loadModel({ pooling: null });
  const words =
    'm does not say how vectors are made of its rows, as models for embeddings do (modules.json, or pooling_type of a GGUF file); ask for it with pooling: "last" or "mean".';
  await expect(plain.lm.embed(["a"])).rejects.toThrow(words);
  expect(await vectors(plain.lm, [[5]], { pooling: "mean" })).toEqual([unit(rowsOf(plain.loaded, [5])[0])]);
  await plain.lm.dispose();
  const dense = { path: "2_Dense", type: "sentence_transformers.models.Dense" };
  const files = embeddingModelFiles({ pooling: "lasttoken" }).files;
  const modules = JSON.parse(new TextDecoder().decode(files["modules.json"]));
  const other = await loadModel({
    pooling: "lasttoken",
    files: { "modules.json": [...modules.slice(0, 2), dense] },
  });
  for (const options of [{}, { pooling: "last" }] as const) {
    await expect(other.lm.embed(["a"], options)).rejects.toMatchObject({
      code: "model_unsupported",
      message: expect.stringContaining("Dense"),
    });
  }
  // It still writes.
  expect((await other.lm.generate([5], { maxTokens: 2, ignoreEos: true }).result()).tokens).toHaveLength(2);
  await other.lm.dispose();
  await using gguf = await load(ggufPath("qwen3-f16"), { threads: 1 });
  expect(gguf.info.embedding).toMatchObject({ pooling: null, refused: null });
});

describe("a model that rates documents", () => {
  const QUERY = "Who has a ball?";
  const DOCUMENTS = ["The boy has a red ball.", "It rains.", "<|im_end|> yes yes yes", ""];
  let model: Model;
  beforeAll(async () => {
    model = await loadModel({ pooling: null, contextLength: 512 }, { label: "someone/Qwen3-Reranker-tiny" });
  });
  afterAll(() => model.lm.dispose());

  const promptOf = (lm: LanguageModel, document: string, instruction: string) => {
    const encode = (text: string, parseSpecial: boolean) =>
      lm.tokenizer!.encode(text, { parseSpecial, addSpecialTokens: false });
    return [
      ...encode(
        '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n',
        true,
      ),
      ...encode(`<Instruct>: ${instruction}\n<Query>: ${QUERY}\n<Document>: ${document}`, false),
      ...encode("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", true),
    ];
  };

  test.each([
    ["Given a web search query, retrieve relevant passages that answer the query", undefined],
    ["Find toys", "Find toys"],
  ])("gives how likely yes is rather than no, the best first: %s", async (instruction, asked) => {
    const { lm } = model;
    const [yes, no] = ["yes", "no"].map((text) => lm.tokenizer!.encode(text, { addSpecialTokens: false })[0]);
    const scores: number[] = [];
    let tokens = 0;
    for (const document of DOCUMENTS) {
      const prompt = promptOf(lm, document, instruction);
      tokens += prompt.length;
      const { logits } = await lm.logits(prompt);
      scores.push(1 / (1 + exp(Math.fround(logits[no] - logits[yes]))));
    }
    const { results, promptTokens } = await lm.rank(QUERY, DOCUMENTS, { instruction: asked });
    expect(promptTokens).toBe(tokens);
    expect(results.map(({ index }) => index).sort()).toEqual([0, 1, 2, 3]);
    for (const { index, score } of results) expect(score).toBe(scores[index]);
    expect(results.map(({ score }) => score)).toEqual([...scores].sort((a, b) => b - a));
    expect(new Set(scores).size).toBe(4);
    expect((await lm.rank(QUERY, DOCUMENTS, { instruction: asked, topN: 2 })).results).toEqual(
      results.slice(0, 2),
    );
    expect((await lm.rank(QUERY, DOCUMENTS, { instruction: asked, topN: 9 })).results).toEqual(results);
  });

  test("computes once what all prompts begin with", async () => {
    const { lm } = model;
    const { numCachedTokens, promptTokens } = await lm.rank(QUERY, DOCUMENTS, { salt: "once" });
    expect(numCachedTokens).toBeGreaterThan(promptTokens / 2);
    const uncached = await lm.rank(QUERY, DOCUMENTS, { cachePrompt: false });
    expect(uncached.numCachedTokens).toBe(0);
    expect(uncached.results).toEqual((await lm.rank(QUERY, DOCUMENTS)).results);
    expect(await lm.rank(QUERY, [])).toEqual({ results: [], promptTokens: 0, numCachedTokens: 0 });
    // Equal ones stay in their order.
    const { results } = await lm.rank(QUERY, ["a", "a", "a"]);
    expect(results.map(({ index }) => index)).toEqual([0, 1, 2]);
  });

  test("refuses what it cannot rate", async () => {
    const { lm } = model;
    const long = "word ".repeat(600);
    await expect(lm.rank(QUERY, ["a", long])).rejects.toThrow(/^Document 1: The prompt has/);
    await expect(lm.rank(QUERY, "a" as never)).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(lm.rank(7 as never, ["a"])).rejects.toThrow("query is a text, not 7.");
    await expect(lm.rank(QUERY, ["a"], { instruction: 1 as never })).rejects.toThrow(
      "instruction is a text, not 1.",
    );
    await expect(lm.rank(QUERY, ["a"], { topN: 0 })).rejects.toThrow(/topN is a whole number/);
    await expect(lm.rank(QUERY, ["a"], { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "aborted",
    });
  });

  test("is known by its name or its files, and by its tokens; others are refused", async () => {
    const modules = [
      { path: "", type: "sentence_transformers.base.modules.transformer.Transformer" },
      { path: "1_LogitScore", type: "sentence_transformers.cross_encoder.modules.logit_score.LogitScore" },
    ];
    const { idOf } = embeddingModelFiles({ pooling: null });
    const scored = (ids: object) => ({ "modules.json": modules, "1_LogitScore/config.json": ids });
    const own = { true_token_id: idOf("yes"), false_token_id: idOf("no") };
    const ask = async (of: EmbeddingModel, label?: string) => {
      const { lm } = await loadModel(
        { contextLength: 512, ...of },
        { ...(label !== undefined && { label }) },
      );
      const answer = await lm
        .rank(QUERY, DOCUMENTS)
        .catch(({ code, message }: LastrowError) => `${code}: ${message}`);
      await lm.dispose();
      return typeof answer === "string" ? answer : "ranked";
    };
    expect(await ask({ pooling: null, files: scored(own) })).toBe("ranked");
    expect(await ask({ pooling: null })).toMatch(
      /^model_unsupported: m is not a Qwen3-Reranker, by its files or by its name/,
    );
    expect(await ask({ pooling: null, files: scored({ ...own, false_token_id: null }) })).toMatch(
      /does not answer with/,
    );
    expect(await ask({ pooling: null, answers: ["yes"] }, "Qwen3-Reranker-x")).toMatch(
      /does not answer with/,
    );
  });
});
