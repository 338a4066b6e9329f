import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ggufValue, writeGguf } from "../../scripts/gguf-writer.js";
import { memoryFiles } from "../../test/memory-files.js";
import { readEmbeddingSettings } from "./embedding-settings.js";
import { NO_EMBEDDING } from "./embedding-types.js";
import { ggufEmbeddingSettings } from "./gguf/gguf-embedding.js";
import { openGguf } from "./gguf/open-gguf.js";

const module = (type: string, path = "") => ({
  idx: 0,
  name: "0",
  path,
  type: `sentence_transformers.${type}`,
});
const TRANSFORMER = module("models.Transformer");
const POOLING = module("models.Pooling", "1_Pooling");
const NORMALIZE = module("models.Normalize", "2_Normalize");
const LAST = { word_embedding_dimension: 8, pooling_mode_mean_tokens: false, pooling_mode_lasttoken: true };

async function read(modules: unknown, others: Record<string, unknown> = { "1_Pooling/config.json": LAST }) {
  const texts = Object.entries({ "modules.json": modules, ...others }).filter(
    ([, value]) => value !== undefined,
  );
  const files = memoryFiles(
    "model",
    Object.fromEntries(
      texts.map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
    ),
  );
  const settings = await readEmbeddingSettings(files);
  expect(files.openFiles).toEqual([]);
  return settings;
}

const pooled = (config: unknown) =>
  read([TRANSFORMER, POOLING, NORMALIZE], { "1_Pooling/config.json": config });

describe("modules of sentence-transformers", () => {
  it("say nothing where there are none", async () => {
    expect(await read(undefined)).toEqual(NO_EMBEDDING);
  });

  it("make vectors of the last token's row, or of the mean, and of length 1 or not", async () => {
    expect(await read([TRANSFORMER, POOLING, NORMALIZE])).toEqual({ ...NO_EMBEDDING, pooling: "last" });
    expect(await read([TRANSFORMER, POOLING])).toEqual({ ...NO_EMBEDDING, pooling: "last" });
    expect((await pooled({ pooling_mode_mean_tokens: true, include_prompt: true })).pooling).toBe("mean");
    expect((await pooled({ pooling_mode: "lasttoken", embedding_dimension: 8 })).pooling).toBe("last");
    expect((await pooled({ pooling_mode: ["mean"] })).pooling).toBe("mean");
    expect((await pooled({ ...LAST, include_prompt: false })).pooling).toBe("last");
    const newer = [
      module("base.modules.transformer.Transformer"),
      module("sentence_transformer.modules.pooling.Pooling", "1_Pooling"),
      module("sentence_transformer.modules.normalize.Normalize", "2_Normalize"),
    ];
    expect((await read(newer)).pooling).toBe("last");
  });

  it.each([
    [
      "a layer behind",
      [TRANSFORMER, POOLING, module("models.Dense", "2_Dense")],
      /module "sentence_transformers.models.Dense"/,
    ],
    ["one behind that", [TRANSFORMER, POOLING, NORMALIZE, module("models.Dense", "3_Dense")], /models.Dense/],
    ["code of its own", [{ type: "custom.Transformer", path: "" }, POOLING], /module "custom.Transformer"/],
    ["no pooling", [TRANSFORMER], /too few modules/],
    ["nothing", [], /too few modules/],
    ["the model elsewhere", [module("models.Transformer", "0_Transformer"), POOLING], /models.Transformer/],
    ["pooling elsewhere", [TRANSFORMER, module("models.Pooling", "../x")], /models.Pooling/],
  ])("are refused with %s", async (_, modules, words) => {
    expect((await read(modules)).refused).toMatch(words);
  });

  it.each([
    [{ pooling_mode_cls_token: true }, /pooling "cls_token", which is not run/],
    [{ pooling_mode: "max" }, /pooling "max"/],
    [{ pooling_mode_mean_tokens: true, pooling_mode_lasttoken: true }, /"mean_tokens" and "lasttoken"/],
    [{}, /pooling of no kind/],
    [{ pooling_mode: 7 }, /pooling_mode is 7, but must be a text/],
    [{ pooling_mode: "constructor" }, /pooling "constructor"/],
    [{ pooling_mode: "mean", include_prompt: false }, /include_prompt false, which is not run/],
    ["{", /1_Pooling\/config.json is not valid JSON/],
    [undefined, /has no 1_Pooling\/config.json/],
  ])("are refused with the pooling %j", async (config, words) => {
    const settings = await pooled(config);
    expect(settings.pooling).toBeNull();
    expect(settings.refused).toMatch(words);
    // Words that follow a model's name, without an end.
    expect(settings.refused).toMatch(/^(has|is) [^\n]*[^.]$/);
  });

  it("have prompts, one of which may be what counts by default", async () => {
    const withPrompts = (config: unknown) =>
      read([TRANSFORMER, POOLING], {
        "1_Pooling/config.json": LAST,
        "config_sentence_transformers.json": config,
      });
    const prompts = { query: "Query: ", document: "" };
    expect(await withPrompts({ prompts, default_prompt_name: null })).toMatchObject({
      prompts,
      defaultPrompt: null,
    });
    expect(await withPrompts({ prompts, default_prompt_name: "query" })).toMatchObject({
      defaultPrompt: "query",
    });
    expect(await withPrompts({})).toMatchObject({ prompts: {}, pooling: "last" });
    expect((await withPrompts({ prompts: { query: 1 } })).refused).toMatch(/prompts is .* must be a text/);
    expect((await withPrompts({ prompts, default_prompt_name: "q" })).refused).toMatch(
      /must be one of its prompts/,
    );
    expect((await withPrompts("[]")).refused).toMatch(/must hold a JSON object/);
  });

  it("rate documents, with the tokens that say how", async () => {
    const modules = [
      module("base.modules.transformer.Transformer"),
      module("cross_encoder.modules.logit_score.LogitScore", "1_LogitScore"),
    ];
    const score = (config: unknown) => read(modules, { "1_LogitScore/config.json": config });
    expect(await score({ true_token_id: 9693, false_token_id: 2152 })).toMatchObject({
      pooling: null,
      refused: expect.stringContaining("rates documents"),
      ranking: { yes: 9693, no: 2152 },
    });
    expect((await score({ true_token_id: 7, false_token_id: null })).ranking).toEqual({ yes: 7, no: null });
    expect((await score({ true_token_id: "yes" })).refused).toMatch(/true_token_id is "yes"/);
  });

  it("are refused whatever else they are, never thrown", async () => {
    const kinds = fc.constantFrom(TRANSFORMER, POOLING, NORMALIZE, {}, null, 1, "x", [[]]);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.json(), fc.array(kinds)),
        fc.json(),
        fc.json(),
        async (modules, pooling, prompts) => {
          const { pooling: found, refused } = await read(modules, {
            "1_Pooling/config.json": pooling,
            "config_sentence_transformers.json": prompts,
          });
          expect(found === null).toBe(refused !== null);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("a GGUF file's pooling", () => {
  const settings = async (metadata: Parameters<typeof writeGguf>[0]["metadata"]) => {
    const bytes = writeGguf({
      metadata: { "general.architecture": ggufValue.text("qwen3"), ...metadata },
      tensors: [],
    });
    const gguf = await openGguf(memoryFiles("m", { "m.gguf": bytes }), ["m.gguf"]);
    try {
      return ggufEmbeddingSettings(gguf.metadata);
    } finally {
      await gguf.close();
    }
  };

  it("is llama.cpp's number", async () => {
    const of = (type: number) => settings({ "qwen3.pooling_type": ggufValue.u32(type) });
    expect(await settings({})).toEqual(NO_EMBEDDING);
    expect(await of(0)).toEqual(NO_EMBEDDING);
    expect(await of(1)).toEqual({ ...NO_EMBEDDING, pooling: "mean" });
    expect(await of(3)).toEqual({ ...NO_EMBEDDING, pooling: "last" });
    expect((await of(2)).refused).toMatch(/^has qwen3.pooling_type 2, which is not run/);
    expect(await of(4)).toMatchObject({ pooling: null, ranking: { yes: null, no: null } });
    expect((await of(9)).refused).toMatch(/pooling_type 9/);
  });
});
