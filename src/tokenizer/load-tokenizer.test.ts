/** What a tokenizer's files may say, and what is said about those that are wrong or mean harm. */
import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { modelFolders } from "../../test/fixture-models.js";
import { gpt2VocabularyFiles } from "../../test/gpt2-vocabulary.js";
import { memoryFiles } from "../../test/memory-files.js";
import { neededFiles } from "../hub/needed-files.js";
import { loadTokenizer } from "./load-tokenizer.js";
import type { Tokenizer } from "./tokenizer.js";
import { TOKENIZER_FILES } from "./tokenizer-files.js";

/** A parsed file, to be changed anywhere. */
type Json = { [key: string]: Json } & Json[];

const gpt2Files = gpt2VocabularyFiles();
let stories: Json;

beforeAll(async () => {
  stories = JSON.parse(await readFile(`${modelFolders.stories}/tokenizer.json`, "utf8"));
});

function open(json: unknown, vocabSize: number, config?: unknown): Promise<Tokenizer | null> {
  const files: Record<string, string> = {
    "tokenizer.json": typeof json === "string" ? json : JSON.stringify(json),
  };
  if (config !== undefined) files["tokenizer_config.json"] = JSON.stringify(config);
  return loadTokenizer(memoryFiles("m", files), vocabSize);
}

async function opened(...args: Parameters<typeof open>): Promise<Tokenizer> {
  const tokenizer = await open(...args);
  if (tokenizer === null) throw new Error("no tokenizer");
  return tokenizer;
}

describe("tokenizer_config.json", () => {
  test("names the start and the end token, as a text or as an object", async () => {
    const config = { bos_token: "<|endoftext|>", eos_token: { content: "!", lstrip: false } };
    const tokenizer = await opened(stories, 2048, config);
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId]).toEqual([0, 1]);
  });

  test("a token that the vocabulary does not have is none", async () => {
    const tokenizer = await opened(stories, 2048, { bos_token: "<nowhere>", eos_token: null });
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId]).toEqual([null, null]);
  });

  test("clean-up of spaces is not done, whatever it says", async () => {
    const tokenizer = await opened(stories, 2048, { clean_up_tokenization_spaces: true });
    expect(tokenizer.decode(tokenizer.encode("so , it is n't ."))).toBe("so , it is n't .");
  });

  test("goes with vocab.json and merges.txt, too", async () => {
    const config = { bos_token: "hello", add_prefix_space: true };
    const files = { ...gpt2Files, "tokenizer_config.json": JSON.stringify(config) };
    const tokenizer = (await loadTokenizer(memoryFiles("gpt2", files), 50257))!;
    expect(tokenizer.encode("a")).toEqual(tokenizer.encode(" a"));
    expect(tokenizer.isSpecial(tokenizer.bosTokenId!)).toBe(true);
  });

  test("the end token of GPT-2's vocab.json is special though nothing says so", async () => {
    const tokenizer = (await loadTokenizer(memoryFiles("gpt2", gpt2Files), 50257))!;
    expect(tokenizer.isSpecial(50256)).toBe(true);
    expect(tokenizer.encode("a")).not.toEqual(tokenizer.encode(" a"));
  });

  test.each([
    [{ bos_token: 5 }, /tokenizer_config\.json has 5 as bos_token/],
    [[], /tokenizer_config\.json is not a JSON object/],
  ])("%j is an error", async (config, message) => {
    await expect(open(stories, 2048, config)).rejects.toMatchObject({
      code: "tokenizer_invalid",
      message: expect.stringMatching(message),
    });
  });
});

test("whatever is read is among the files that the Hub is asked for, and that a server hands to its threads", async () => {
  const names = new Set<string>();
  for (const given of [{ "tokenizer.json": JSON.stringify(stories) }, gpt2Files]) {
    const files = memoryFiles("m", given);
    const open = (name: string) => {
      names.add(name);
      return files.open(name);
    };
    await loadTokenizer({ label: "m", open }, 50257);
  }
  expect([...names].sort()).toEqual([...TOKENIZER_FILES].sort());
  expect(neededFiles(() => "unknown").unknown).toEqual(expect.arrayContaining([...TOKENIZER_FILES]));
});

describe("files that cannot be used", () => {
  test("no files: no tokenizer", async () => {
    expect(await loadTokenizer(memoryFiles("m", {}), 10)).toBeNull();
  });

  test.each([
    ["vocab.json", "{}", /vocab\.json but no merges\.txt/],
    ["merges.txt", "", /merges\.txt but no vocab\.json/],
    ["tokenizer.json", new Uint8Array([0x7b, 0xff, 0x7d]), /tokenizer\.json is not valid UTF-8/],
  ])("%s alone", async (name, content, message) => {
    await expect(loadTokenizer(memoryFiles("m", { [name]: content }), 10)).rejects.toMatchObject({
      code: "tokenizer_invalid",
      message: expect.stringMatching(message),
    });
  });

  const model = (change: object) => (json: Json) => ({ ...json, model: { ...json.model, ...change } });
  const vocab = (change: object) => (json: Json) =>
    model({ vocab: { ...json.model.vocab, ...change } })(json);
  const replace = (content: string) => ({ type: "Replace", pattern: { String: "a" }, content });
  const text = { Sequence: { id: "A" } };

  const invalid: [string, (json: Json) => unknown, RegExp][] = [
    ["not JSON", () => "{", /tokenizer\.json is not JSON/],
    ["not an object", () => [1], /is not a JSON object/],
    ["a key twice", () => '{"model":{"vocab":{"a":0,"a":1}}}', /has the key "a" twice/],
    ["nesting", () => `{"a":${"[".repeat(64)}${"]".repeat(64)}}`, /nested deeper than 64/],
    ["nesting without end", () => `{"a":${"[".repeat(1e6)}`, /is not JSON|nested deeper/],
    ["no model", (json) => ({ ...json, model: null }), /has no model/],
    ["no vocabulary", model({ vocab: 3 }), /has no vocabulary/],
    ["the other kind of vocabulary", model({ vocab: [["a", 0]] }), /does not fit a BPE model/],
    ["no merges", model({ merges: {} }), /has no list of merges/],
    ["a merge that is no pair", model({ merges: [["a"]] }), /merge \(number 0\) that is not a pair/],
    [
      "a merge of unknown pieces",
      model({ merges: [["a", "qqq"]] }),
      /merges "qqq" \(merge 0\), which the voc/,
    ],
    ["an id that is too large", vocab({ zz: 2 ** 24 }), /gives "zz" the id 16777216, but ids are 0 to/],
    ["an id that is no number", vocab({ zz: "1" }), /gives "zz" the id "1"/],
    ["two pieces of one id", vocab({ zz: 1500 }), /the same id 1500/],
    [
      "two ids of one piece",
      () => ({
        added_tokens: [{ id: 7, content: "ball" }],
        model: { type: "WordPiece", vocab: { ball: 3 } },
      }),
      /gives "ball" two ids, 3 and 7/,
    ],
    ["half a character", vocab({ "\ud800": 1 }), /has the piece "\\ud800"/],
    ["a piece without end", vocab({ ["a".repeat(1025)]: 1 }), /over 1024 long/],
    ["an unknown model", model({ type: "Magic" }), /a model of type "Magic"; BPE, WordPiece and Unigram/],
    ["a flag that is none", model({ byte_fallback: 1 }), /has 1 as byte_fallback of its model/],
    ["added tokens of no list", (json) => ({ ...json, added_tokens: 7 }), /added_tokens that are not a list/],
    [
      "an added token without an id",
      (json) => ({ ...json, added_tokens: [{ content: "x" }] }),
      /\(number 0\)/,
    ],
    [
      "an unknown normalizer",
      (json) => ({ ...json, normalizer: { type: "Magic" } }),
      /has a normalizer of type "Magic"/,
    ],
    ["no normalizer", (json) => ({ ...json, normalizer: "NFC" }), /has "NFC" as normalizer/],
    [
      "replacements of replacements",
      (json) => ({
        ...json,
        normalizer: { type: "Sequence", normalizers: Array(50).fill(replace("aa")) },
      }),
      /over 16 times as long/,
    ],
    [
      "a long replacement",
      (json) => ({ ...json, normalizer: replace("x".repeat(17)) }),
      /at most 16 characters/,
    ],
    [
      "an empty pattern",
      (json) => ({ ...json, pre_tokenizer: { type: "Split", pattern: {} } }),
      /without a patt/,
    ],
    ["an unknown post-processor", (json) => ({ ...json, post_processor: { type: "M" } }), /of type "M"/],
    [
      "a post-processor's unknown token",
      (json) => ({ ...json, added_tokens: [], model: { ...json.model, vocab: { a: 0 }, merges: [] } }),
      /adds "<\|endoftext\|>", which is not a token/,
    ],
    [
      "a template that repeats the text",
      (json) => ({ ...json, post_processor: { type: "TemplateProcessing", single: [text, text] } }),
      /has the text 2 times/,
    ],
    [
      "a template of many tokens",
      (json) => ({
        ...json,
        post_processor: {
          type: "TemplateProcessing",
          single: [...Array(65).fill({ SpecialToken: { id: "<|endoftext|>" } }), text],
        },
      }),
      /adds more than 64 tokens/,
    ],
    [
      "a template without the text",
      (json) => ({ ...json, post_processor: { type: "TemplateProcessing", single: [] } }),
      /has the text 0 times/,
    ],
  ];
  test.each(invalid)("%s", async (_, change, message) => {
    await expect(open(change(stories), 2048)).rejects.toMatchObject({
      code: "tokenizer_invalid",
      message: expect.stringMatching(message),
    });
  });

  const unsupported: [string, (json: Json) => unknown, RegExp][] = [
    ["prefixes in BPE", model({ continuing_subword_prefix: "##" }), /continuing_subword_prefix/],
    ["ids by chance", model({ dropout: 0.1 }), /dropout/],
    [
      "a pattern of its own",
      (json) => ({
        ...json,
        pre_tokenizer: { type: "Split", pattern: { Regex: "(a+)+b" }, behavior: "Isolated", invert: false },
      }),
      /the regular expression "\(a\+\)\+b" in a Split step/,
    ],
    ["ASCII words", (json) => ({ ...json, pre_tokenizer: { type: "Whitespace" } }), /a Whitespace step/],
    [
      "a length of 0",
      (json) => ({ ...json, pre_tokenizer: { type: "FixedLength", length: 0 } }),
      /FixedLength/,
    ],
    ["a decoder", (json) => ({ ...json, decoder: { type: "CTC" } }), /decoder of "CTC"/],
    [
      "bytes in Unigram",
      () => ({ model: { type: "Unigram", unk_id: 0, vocab: [["a", 0]], byte_fallback: true } }),
      /Unigram model with byte_fallback/,
    ],
  ];
  test.each(unsupported)("not supported: %s", async (_, change, message) => {
    await expect(open(change(stories), 2048)).rejects.toMatchObject({
      code: "model_unsupported",
      message: expect.stringMatching(message),
    });
  });

  test("text that no token covers is an error, not a hole", async () => {
    const bpe = await opened({ model: { type: "BPE", vocab: { a: 0 }, merges: [] } }, 1);
    const words = await opened({ model: { type: "WordPiece", vocab: { a: 0 } } }, 1);
    for (const tokenizer of [bpe, words]) {
      expect(tokenizer.encode("a")).toEqual([0]);
      expect(() => tokenizer.encode("b")).toThrow(expect.objectContaining({ code: "tokenizer_invalid" }));
    }
  });

  test("hostile keys are pieces like any other", async () => {
    const json = `{"__proto__":{"normalizer":7},"pre_tokenizer":{"type":"ByteLevel"},"decoder":{"type":"ByteLevel"},
      "model":{"type":"BPE","vocab":{"__proto__":0,"constructor":1,"toString":2,"_":3,"p":4},"merges":[]}}`;
    const tokenizer = await opened(json, 6);
    expect(tokenizer.decode([0, 1, 2, 5, 4])).toBe("__proto__constructortoStringp");
    expect(tokenizer.encode("_p")).toEqual([3, 4]);
    expect(() => tokenizer.encode("__proto__")).toThrow(
      expect.objectContaining({ code: "tokenizer_invalid" }),
    );
  });
});
