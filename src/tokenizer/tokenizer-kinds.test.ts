/** Tokenizers of other kinds than GPT-2's. */
import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { Tiktoken } from "js-tiktoken/lite";
import gpt2Ranks from "js-tiktoken/ranks/gpt2";
import { beforeAll, describe, expect, test } from "vitest";
import { modelFolders } from "../../test/fixture-models.js";
import { gpt2VocabularyFiles, withUnicodeSpace } from "../../test/gpt2-vocabulary.js";
import { memoryFiles } from "../../test/memory-files.js";
import { loadTokenizer } from "./load-tokenizer.js";
import type { Tokenizer } from "./tokenizer.js";

/** A parsed file, to be changed anywhere. */
type Json = { [key: string]: Json } & Json[];

const gpt2Files = gpt2VocabularyFiles();
let stories: Json;

beforeAll(async () => {
  stories = JSON.parse(await readFile(`${modelFolders.stories}/tokenizer.json`, "utf8"));
});

function open(json: unknown, vocabSize: number): Promise<Tokenizer | null> {
  const files: Record<string, string> = {
    "tokenizer.json": typeof json === "string" ? json : JSON.stringify(json),
  };
  return loadTokenizer(memoryFiles("m", files), vocabSize);
}

async function opened(...args: Parameters<typeof open>): Promise<Tokenizer> {
  const tokenizer = await open(...args);
  if (tokenizer === null) throw new Error("no tokenizer");
  return tokenizer;
}

const wordPiece = {
  added_tokens: [{ id: 5, content: "[SEP]", special: true }],
  pre_tokenizer: { type: "WhitespaceSplit" },
  decoder: { type: "WordPiece", prefix: "##" },
  model: {
    type: "WordPiece",
    vocab: { "[UNK]": 0, play: 1, "##ing": 2, ball: 3, S: 4, "[SEP]": 5 },
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
  },
};

const unigram = {
  added_tokens: [
    { id: 0, content: "<unk>", special: true },
    { id: 6, content: "</s>", special: true },
  ],
  pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
  decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
  model: {
    type: "Unigram",
    unk_id: 0,
    vocab: [
      ["<unk>", 0],
      ["▁a", -1],
      ["b", -2],
      ["▁ab", -2.5],
      ["c", -3],
      ["▁", -9],
      ["</s>", 0],
    ],
  },
};

/** Llama's way: no words, spaces as `▁`, bytes for what has no piece. */
const byteFallback = {
  added_tokens: [{ id: 0, content: "<s>", special: true }],
  normalizer: {
    type: "Sequence",
    normalizers: [
      { type: "Prepend", prepend: "▁" },
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ],
  },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    special_tokens: { "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] } },
  },
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  model: {
    type: "BPE",
    vocab: Object.fromEntries([
      ...["<s>", "▁", "a", "▁a", "<", "s", ">"].map((piece, id) => [piece, id]),
      ...Array.from({ length: 256 }, (_, byte) => [
        `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
        7 + byte,
      ]),
    ]),
    merges: [["▁", "a"]],
    byte_fallback: true,
    fuse_unk: true,
    unk_token: null,
  },
};

describe("other kinds", () => {
  test("WordPiece", async () => {
    const tokenizer = await opened(wordPiece, 6);
    expect(tokenizer.encode("playing  ball xyz")).toEqual([1, 2, 3, 0]);
    expect(tokenizer.decode([1, 2, 3])).toBe("playing ball");
    expect(tokenizer.encode("[SEP]")).toEqual([0]);
    expect(tokenizer.encode("[SEP]", { parseSpecial: true })).toEqual([5]);
  });

  test("Unigram: the likeliest pieces, special tokens out of reach", async () => {
    const tokenizer = await opened(unigram, 7);
    expect(tokenizer.encode("ab")).toEqual([3]);
    expect(tokenizer.encode("abc a")).toEqual([3, 4, 1]);
    expect(tokenizer.encode("</s>")).not.toContain(6);
    expect(tokenizer.encode("</s>", { parseSpecial: true })).toEqual([6]);
    expect(tokenizer.decode([3, 4, 1])).toBe("abc a");
    // Unknown characters are one token within a word, and not across two.
    expect(tokenizer.encode("xyz")).toEqual([5, 0]);
    const cut = {
      ...unigram,
      pre_tokenizer: { type: "Split", pattern: { String: "-" }, behavior: "Removed" },
    };
    expect(
      (await opened({ ...cut, pre_tokenizer: { ...cut.pre_tokenizer, invert: false } }, 7)).encode("bxy-xyc"),
    ).toEqual([2, 0, 0, 4]);
    expect(() => tokenizer.encode("a".repeat(100_001))).toThrow(
      expect.objectContaining({ code: "invalid_argument" }),
    );
  });

  test("BPE with bytes for what has no piece", async () => {
    const tokenizer = await opened(byteFallback, 263);
    expect(tokenizer.encode("a a")).toEqual([0, 3, 3]);
    expect(tokenizer.encode("<s>", { addSpecialTokens: false })).toEqual([1, 4, 5, 6]);
    expect(tokenizer.encode("a<s>", { parseSpecial: true })).toEqual([0, 3, 0]);
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1 }), (text) => {
        // The character for a space does not survive as itself.
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.replaceAll("▁", " "));
      }),
    );
  });

  test("words that are matched whole do not match special tokens", async () => {
    const model = { type: "BPE", vocab: { "<s>": 0, "<": 1, s: 2, ">": 3, "<s": 4 }, ignore_merges: true };
    const json = {
      added_tokens: [{ id: 0, content: "<s>", special: true }],
      decoder: { type: "ByteLevel" },
      model: {
        ...model,
        merges: [
          ["<", "s"],
          ["<s", ">"],
        ],
      },
    };
    const tokenizer = await opened(json, 5);
    expect(tokenizer.encode("<s>")).toEqual([4, 3]);
    expect(() => tokenizer.encode("\ud800<s>")).toThrow(
      expect.objectContaining({ code: "tokenizer_invalid" }),
    );
    expect(tokenizer.encode("<s>", { parseSpecial: true })).toEqual([0]);
  });

  test("merges as texts and as pairs are the same", async () => {
    const asTexts = structuredClone(stories);
    asTexts.model.merges = (stories.model.merges as unknown as string[][]).map((pair) =>
      pair.join(" "),
    ) as unknown as Json;
    const [one, other] = [await opened(stories, 2048), await opened(asTexts, 2048)];
    const text = "Once upon a time, Lily's café was open.";
    expect(other.encode(text)).toEqual(one.encode(text));
  });

  test("published patterns cut words as tiktoken does", async () => {
    const vocab = JSON.parse(gpt2Files["vocab.json"]);
    const merges = gpt2Files["merges.txt"].trim().split("\n").slice(1);
    const contraction = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
    const rest = String.raw`|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
    const tokenizer = await opened(
      {
        pre_tokenizer: {
          type: "Sequence",
          pretokenizers: [
            {
              type: "Split",
              pattern: { Regex: `(?i:'s|'t|'re|'ve|'m|'ll|'d)${rest}` },
              behavior: "Isolated",
              invert: false,
            },
            { type: "ByteLevel", add_prefix_space: false, use_regex: false },
          ],
        },
        decoder: { type: "ByteLevel" },
        model: { type: "BPE", vocab, merges },
      },
      50257,
    );
    const tiktoken = new Tiktoken({ ...gpt2Ranks, pat_str: withUnicodeSpace(contraction + rest) });
    for (const text of [
      "I'LL pay 12345.67 (twice)!\r\n\n  é 世界",
      " a\n \n\tb  c",
      "x1y22z333 ₤½",
      "a \ufeff\u0085b\u0085 \ufeff",
    ]) {
      expect(tokenizer.encode(text)).toEqual(tiktoken.encode(text, [], []));
    }
  });

  test.each([true, false])(
    "a prefix for the first word only: none behind an added token (normalized: %s)",
    async (normalized) => {
      const json = {
        added_tokens: [{ id: 3, content: "<x>", special: false, normalized }],
        normalizer: { type: "NFC" },
        pre_tokenizer: { type: "Metaspace", prepend_scheme: "first" },
        model: { type: "BPE", vocab: { a: 0, "▁": 1, "▁a": 2 }, merges: ["▁ a"] },
      };
      const tokenizer = await opened(json, 4);
      expect(tokenizer.encode("a<x>a<x> a")).toEqual([2, 3, 0, 3, 2]);
      expect(tokenizer.encode("<x>a")).toEqual([3, 0]);
    },
  );

  test("an added token is found in the text as the normalizer makes it, if it says so", async () => {
    const json = {
      added_tokens: [
        { id: 1, content: "Ab", special: false, normalized: true },
        { id: 2, content: "Cd", special: false, normalized: false },
      ],
      normalizer: { type: "Lowercase" },
      model: { type: "BPE", vocab: { a: 0, c: 3, d: 4 }, merges: [] },
    };
    expect((await opened(json, 5)).encode("aBaCdcd")).toEqual([1, 0, 2, 3, 4]);
  });

  test("digits of any script are digits", async () => {
    const json = {
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [{ type: "Digits", individual_digits: true }],
      },
      model: { type: "BPE", vocab: { "1": 0, "٢": 1, "٢٢": 2, "11": 3, a: 4 }, merges: ["٢ ٢", "1 1"] },
    };
    expect((await opened(json, 5)).encode("٢٢11a")).toEqual([1, 1, 0, 0, 4]);
  });

  test("replacements are literal", async () => {
    const json = {
      normalizer: { type: "Replace", pattern: { String: "€" }, content: "$&" },
      model: { type: "BPE", vocab: { $: 0, "&": 1, "€": 2 }, merges: [] },
    };
    expect((await opened(json, 3)).encode("€")).toEqual([0, 1]);
  });

  test.each([
    [{ type: "RobertaProcessing", cls: ["a", 0], sep: ["b", 1] }, [0, 2, 1]],
    [{ type: "ByteLevel" }, [2]],
    [
      {
        type: "Sequence",
        processors: [
          { type: "BertProcessing", cls: ["a", 0], sep: ["b", 1] },
          {
            type: "TemplateProcessing",
            single: [
              { SpecialToken: { id: "d" } },
              { Sequence: { id: "A" } },
              { SpecialToken: { id: "d" } },
              { SpecialToken: { id: "a" } },
            ],
          },
        ],
      },
      [3, 0, 2, 1, 3, 0],
    ],
  ])("post-processor %j", async (post_processor, expected) => {
    const model = { type: "BPE", vocab: { a: 0, b: 1, c: 2, d: 3 }, merges: [] };
    const tokenizer = await opened({ post_processor, model }, 4);
    expect(tokenizer.encode("c")).toEqual(expected);
    expect(tokenizer.encode("c", { addSpecialTokens: false })).toEqual([2]);
  });
});
