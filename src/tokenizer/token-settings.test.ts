/** The small files beside a vocabulary, as transformers reads them. The vocabularies are GPT-2's and the embedded model's. */
import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { modelFolders } from "../../test/fixture-models.js";
import { gpt2VocabularyFiles } from "../../test/gpt2-vocabulary.js";
import { memoryFiles } from "../../test/memory-files.js";
import { loadTokenizer } from "./load-tokenizer.js";
import type { Tokenizer } from "./tokenizer.js";

const END = "<|endoftext|>";
const gpt2Files = gpt2VocabularyFiles();
/** The same as a `tokenizer.json`, of the few pieces that the texts here need. */
const small = {
  added_tokens: [{ id: 0, content: END, special: true, normalized: false }],
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: true, use_regex: true },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: END } }, { Sequence: { id: "A" } }],
  },
  decoder: { type: "ByteLevel" },
  model: { type: "BPE", vocab: { [END]: 0, a: 1, b: 2, Ġ: 3, "<": 4, u: 5, ">": 6 }, merges: [] },
};

async function loaded(beside: Record<string, unknown>, vocabSize: number, base: Record<string, string>) {
  const files = Object.entries(beside).map(([name, json]) => [name, JSON.stringify(json)] as const);
  return (await loadTokenizer(memoryFiles("m", { ...base, ...Object.fromEntries(files) }), vocabSize))!;
}

/** The small one, with other files beside it. */
function opened(beside: Record<string, unknown>, json: object = {}, vocabSize = 16): Promise<Tokenizer> {
  return loaded(beside, vocabSize, { "tokenizer.json": JSON.stringify({ ...small, ...json }) });
}

const parsed = (tokenizer: Tokenizer, text: string) =>
  tokenizer.encode(text, { parseSpecial: true, addSpecialTokens: false });
const settings = (config: object) => ({ "tokenizer_config.json": config });

describe("GPT-2's files", () => {
  let plain: Tokenizer;
  beforeAll(async () => {
    plain = await loaded({}, 50257, gpt2Files);
  });

  test("GPT2Tokenizer's own start, end and unknown token", () => {
    expect([plain.bosTokenId, plain.eosTokenId]).toEqual([50256, 50256]);
    expect(plain.namedTokens).toEqual({ bos_token: END, eos_token: END, unk_token: END });
    expect(plain.encode("Hello")).toEqual([15496]);
  });

  test("added_tokens.json adds a token beyond the vocabulary", async () => {
    const tokenizer = await loaded({ "added_tokens.json": { "<|user|>": 50257 } }, 50258, gpt2Files);
    expect(tokenizer.encode("<|user|>hello")).toEqual([50257, 31373]);
    expect(tokenizer.decode([50257, 31373])).toBe("<|user|>hello");
    expect(plain.encode("<|user|>hello")).toEqual([27, 91, 7220, 91, 29, 31373]);
  });
});

describe("a token beyond the model's ids", () => {
  test("fails with the text that uses it, and with no other", async () => {
    const tokenizer = await opened({ ...settings({ pad_token: "[PAD]", eos_token: "[PAD]" }) }, {}, 7);
    expect(tokenizer.encode(" ab")).toEqual([0, 3, 1, 2]);
    expect(() => parsed(tokenizer, "a[PAD]")).toThrow(
      expect.objectContaining({
        code: "token_out_of_range",
        message: expect.stringMatching(/"\[PAD\]".*token 7; this model's are 0 to 6/),
      }),
    );
    // It never comes, so it ends nothing.
    expect([tokenizer.eosTokenId, tokenizer.namedTokens.eos_token]).toEqual([null, "[PAD]"]);
    expect(() => tokenizer.decode([7])).toThrow(expect.objectContaining({ code: "token_out_of_range" }));
  });

  test("also where it is a piece of the vocabulary", async () => {
    const tokenizer = await opened({}, {}, 6);
    expect(tokenizer.encode("<u")).toEqual([0, 4, 5]);
    expect(() => tokenizer.encode("<u>")).toThrow(expect.objectContaining({ code: "token_out_of_range" }));
  });
});

describe("special tokens", () => {
  test("without an id of their own come behind the vocabulary, in the order of the files", async () => {
    const tokenizer = await opened({
      ...settings({
        tokenizer_class: "PreTrainedTokenizerFast",
        pad_token: "<p>",
        additional_special_tokens: ["<x>", { content: "<y>", lstrip: true }],
        image_token: "<i>",
        eos_token: "b",
      }),
    });
    expect(parsed(tokenizer, "<p><i><x> <y>b")).toEqual([7, 8, 9, 10, 2]);
    expect(tokenizer.specialTokens.map(({ content }) => content)).toEqual([
      END,
      "b",
      "<p>",
      "<i>",
      "<x>",
      "<y>",
    ]);
    expect(tokenizer.namedTokens).toEqual({ pad_token: "<p>", eos_token: "b", image_token: "<i>" });
    expect(tokenizer.decode([1, 2, 7])).toBe("a");
  });

  test.each<[string, object, object]>([
    ["extra_special_tokens", { extra_special_tokens: ["<u>"] }, {}],
    ["extra_special_tokens by name", { extra_special_tokens: { boi_token: "<u>" } }, { boi_token: "<u>" }],
    ["a name", { mask_token: { content: "<u>", lstrip: false } }, { mask_token: "<u>" }],
  ])("%s", async (_, config, named) => {
    const tokenizer = await opened(settings({ tokenizer_class: "PreTrainedTokenizerFast", ...config }));
    expect([parsed(tokenizer, "<u>"), tokenizer.namedTokens]).toEqual([[7], named]);
    expect(tokenizer.encode("a<u>", { addSpecialTokens: false })).toEqual([3, 1, 4, 5, 6]);
  });

  test("special_tokens_map.json goes before tokenizer_config.json", async () => {
    const tokenizer = await opened({
      ...settings({ eos_token: "a", pad_token: "a", additional_special_tokens: ["<u>"] }),
      "special_tokens_map.json": {
        eos_token: { content: "b", rstrip: true },
        pad_token: null,
        additional_special_tokens: [{ content: "<x>" }],
      },
    });
    expect(tokenizer.namedTokens).toEqual({ bos_token: END, unk_token: END, eos_token: "b" });
    expect(parsed(tokenizer, "b <u><x>a")).toEqual([2, 7, 8, 1]);
  });

  test("added_tokens.json: special where another file says so", async () => {
    const tokenizer = await opened({
      ...settings({ additional_special_tokens: ["<y>"], pad_token: "<p>" }),
      "added_tokens.json": { "<y>": 12, "<p>": 10, "<x>": 11, a: 1 },
    });
    expect(tokenizer.specialTokens.map(({ id }) => id).sort()).toEqual([0, 10, 12]);
    expect(tokenizer.encode("<x>", { addSpecialTokens: false })).toEqual([11]);
    expect(parsed(tokenizer, "<y><x><p>")).toEqual([12, 11, 10]);
  });

  test("added_tokens_decoder goes before both, and before tokenizer.json", async () => {
    const beside = {
      "special_tokens_map.json": { eos_token: "a" },
      "added_tokens.json": { "<x>": 12 },
    };
    const token = { content: "<x>", special: false, lstrip: false, rstrip: true, normalized: false };
    const decoder = { "0": { content: END, special: true, rstrip: true }, "9": token };
    const tokenizer = await opened({ ...settings({ added_tokens_decoder: decoder }), ...beside });
    expect([tokenizer.eosTokenId, tokenizer.namedTokens.eos_token]).toEqual([0, END]);
    expect(tokenizer.encode("<x>  a", { addSpecialTokens: false })).toEqual([9, 1]);
    expect(parsed(tokenizer, `a${END}  a`)).toEqual([1, 0, 1]);
    expect(parsed(await opened(beside), `a${END}  a`)).toEqual([1, 0, 3, 3, 1]);
  });

  test("a token with an id and a name is special, whatever its entry says; the vocabulary's id goes first", async () => {
    const token = { content: "<x>", special: false, normalized: true };
    const named = await opened(
      settings({ pad_token: "<x>", added_tokens_decoder: { "9": token, "12": { content: "a" } } }),
    );
    expect([named.isSpecial(9), named.isSpecial(1)]).toEqual([true, false]);
    expect(parsed(named, "a<x>")).toEqual([1, 9]);
  });

  test("a name that a file gives to none has none, a default neither", async () => {
    const tokenizer = await opened(settings({ eos_token: null, bos_token: "<u>" }));
    expect(tokenizer.namedTokens).toEqual({ bos_token: "<u>", unk_token: END });
    const without = await opened(
      {},
      { added_tokens: [], post_processor: null, model: { type: "BPE", vocab: { a: 0 }, merges: [] } },
    );
    expect([without.namedTokens, without.specialTokens]).toEqual([{}, []]);
  });
});

describe("what is put around a text", () => {
  const fast = { tokenizer_class: "PreTrainedTokenizerFast", bos_token: "a", eos_token: "b" };

  test.each<[object, number[]]>([
    [{}, [0, 3, 5]],
    [{ add_bos_token: true }, [1, 3, 5]],
    [{ add_eos_token: true }, [3, 5, 2]],
    [{ add_bos_token: true, add_eos_token: true }, [1, 3, 5, 2]],
    [{ add_bos_token: false }, [3, 5]],
    [{ add_bos_token: true, bos_token: null }, [3, 5]],
  ])("%j", async (config, expected) => {
    expect((await opened(settings({ ...fast, ...config }))).encode("u")).toEqual(expected);
  });

  test.each<[object | null, boolean, boolean]>([
    // GPT2Tokenizer, which is also meant where no class is named, makes its own pre-tokenizer.
    [null, true, false],
    [{ tokenizer_class: "GPT2TokenizerFast" }, true, false],
    [{ tokenizer_class: "GPT2Tokenizer", add_prefix_space: true }, false, true],
    [{ add_prefix_space: true }, false, true],
    // Others take what tokenizer.json has.
    [{ tokenizer_class: "PreTrainedTokenizerFast", add_prefix_space: false }, true, true],
    [{ tokenizer_class: "PreTrainedTokenizerFast", add_prefix_space: true }, false, false],
  ])("a space at the start: %j, %s in tokenizer.json", async (config, inFile, expected) => {
    const pre_tokenizer = { type: "ByteLevel", add_prefix_space: inFile };
    const tokenizer = await opened(config === null ? {} : settings(config), { pre_tokenizer });
    expect(tokenizer.encode("a", { addSpecialTokens: false })).toEqual(expected ? [3, 1] : [1]);
  });
});

describe("files that are wrong name themselves", () => {
  test.each<[string, unknown, RegExp]>([
    ["tokenizer_config.json", { eos_token: 5 }, /has 5 as eos_token/],
    ["tokenizer_config.json", { pad_token: { content: 3 } }, /as pad_token, but that must be a text or null/],
    ["tokenizer_config.json", { unk_token: { content: "a", lstrip: 1 } }, /has 1 as lstrip of "a"/],
    ["tokenizer_config.json", { additional_special_tokens: "a" }, /a list of tokens/],
    ["tokenizer_config.json", { extra_special_tokens: [7] }, /has 7 as extra_special_tokens/],
    ["tokenizer_config.json", { added_tokens_decoder: [] }, /an object of tokens by their ids/],
    [
      "tokenizer_config.json",
      { added_tokens_decoder: { x: { content: "a" } } },
      /token "x" of added_tokens_decoder/,
    ],
    [
      "tokenizer_config.json",
      { added_tokens_decoder: { "999999999": { content: "z" } } },
      /but ids are 0 to/,
    ],
    ["tokenizer_config.json", { add_bos_token: "yes" }, /has "yes" as add_bos_token/],
    ["tokenizer_config.json", { add_prefix_space: 1 }, /has 1 as add_prefix_space/],
    ["special_tokens_map.json", { eos_token: [] }, /as eos_token/],
    ["special_tokens_map.json", { pad_token: "x".repeat(1025) }, /over 1024 long/],
    ["special_tokens_map.json", [], /is not a JSON object/],
    ["added_tokens.json", { "<x>": "7" }, /has "7" as "<x>", but that must be a token's id/],
    ["added_tokens.json", { "<x>": 1 }, /gives "a" and "<x>" the same id 1/],
    ["added_tokens.json", { "": 9 }, /as a token/],
  ])("%s: %j", async (name, json, message) => {
    await expect(opened({ [name]: json })).rejects.toMatchObject({
      code: "tokenizer_invalid",
      message: expect.stringMatching(new RegExp(`^${name.replaceAll(".", "\\.")} .*${message.source}`)),
    });
  });
});

test("the embedded model's settings say what its tokenizer.json says", async () => {
  const [json, config] = await Promise.all(
    ["tokenizer.json", "tokenizer_config.json"].map((name) =>
      readFile(`${modelFolders.stories}/${name}`, "utf8"),
    ),
  );
  const tokenizer = await loaded({}, 2048, { "tokenizer.json": json, "tokenizer_config.json": config });
  expect(tokenizer.namedTokens).toEqual({ bos_token: END, eos_token: END, unk_token: END });
  expect(tokenizer.specialTokens.map(({ id }) => id)).toEqual([0]);
});
