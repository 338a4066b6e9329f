/** Against js-tiktoken on GPT-2's own vocabulary, against the embedded model's references, and streams against wholes. */
import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { Tiktoken } from "js-tiktoken/lite";
import gpt2Ranks from "js-tiktoken/ranks/gpt2";
import { beforeAll, describe, expect, test } from "vitest";
import { goldenCases, modelFolders } from "../../test/fixture-models.js";
import { gpt2VocabularyFiles } from "../../test/gpt2-vocabulary.js";
import { memoryFiles } from "../../test/memory-files.js";
import { folderFiles } from "../platform/node.js";
import { loadTokenizer } from "./load-tokenizer.js";
import type { Tokenizer } from "./tokenizer.js";

const STRANGE_TEXTS = [
  "",
  " ",
  "  ",
  "\n",
  "\n\n \n",
  "\t\tindented",
  "trailing   ",
  "   leading",
  "a\r\nb\rc",
  "Hello, world!",
  "don't you'll they've I'm he'd it's WE'RE",
  "1234567890 3.14159 1,000,000",
  "snake_case camelCase kebab-case",
  "你好,世界。今天天气很好",
  "こんにちは 안녕하세요 สวัสดี",
  "🙂 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪",
  "e\u0301 o\u0302\u0301 Z\u0351\u036b\u0343",
  "naïve café Ångström",
  "\u0000\u0001\u007f",
  "\ud800",
  "a\udc00b",
  "\ud83d",
  "ab\ud800\ud800cd",
  "\ufeffmark",
  "non\u00a0breaking\u2003spaces",
  "ﷺ ﬁ ½ ²",
  "العربية עברית",
  "<|endoftext|>",
  "x<|endoftext|>y",
  'if (a && b) { return "c\\n"; } // 100%',
  "a".repeat(3000),
  " ".repeat(200),
  "😀".repeat(100),
];

let gpt2: Tokenizer;
let tiktoken: Tiktoken;
let stories: Tokenizer;

async function loaded(files: Parameters<typeof loadTokenizer>[0], vocabSize: number): Promise<Tokenizer> {
  const tokenizer = await loadTokenizer(files, vocabSize);
  if (tokenizer === null) throw new Error("no tokenizer");
  return tokenizer;
}

beforeAll(async () => {
  gpt2 = await loaded(memoryFiles("gpt2", gpt2VocabularyFiles()), 50257);
  tiktoken = new Tiktoken(gpt2Ranks);
  stories = await loaded(folderFiles("stories", modelFolders.stories), 2048);
});

describe("GPT-2's vocabulary from vocab.json and merges.txt", () => {
  test.each(STRANGE_TEXTS.map((text) => [text.length > 40 ? `${text.slice(0, 40)}…` : text, text]))(
    "encodes %j as tiktoken does",
    (_, text) => {
      const expected = tiktoken.encode(text.replace(/\p{Surrogate}/gu, "\ufffd"), [], []);
      expect(gpt2.encode(text)).toEqual(expected);
      expect(gpt2.decode(expected)).toBe(text.replace(/\p{Surrogate}/gu, "\ufffd"));
    },
  );

  test("encodes random text as tiktoken does, and decodes it back", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 60 }),
      fc.string({ unit: "grapheme", maxLength: 40 }),
      fc.lorem(),
    );
    fc.assert(
      fc.property(text, (input) => {
        const ids = gpt2.encode(input);
        expect(ids).toEqual(tiktoken.encode(input.replace(/\p{Surrogate}/gu, "\ufffd"), [], []));
        expect(gpt2.decode(ids)).toBe(input.replace(/\p{Surrogate}/gu, "\ufffd"));
      }),
      { numRuns: 500 },
    );
  });

  test("special tokens are plain text, or special when they are asked for", () => {
    expect(gpt2.encode("a<|endoftext|>b", { parseSpecial: true })).toEqual([64, 50256, 65]);
    const plain = gpt2.encode("a<|endoftext|>b");
    expect(plain).not.toContain(50256);
    expect(gpt2.decode(plain)).toBe("a<|endoftext|>b");
    expect(gpt2.decode([64, 50256, 65])).toBe("ab");
    expect(gpt2.decode([64, 50256, 65], { skipSpecialTokens: false })).toBe("a<|endoftext|>b");
    expect(gpt2.isSpecial(50256)).toBe(true);
    expect(gpt2.isSpecial(64)).toBe(false);
  });

  test("decodes any ids as all their bytes at once, and streams the same in whole characters", () => {
    // Ids that are single bytes or cut characters, among ordinary ones.
    const ids = fc.array(
      fc.oneof(
        fc.integer({ min: 0, max: 255 }),
        fc.constantFrom(50256, ...gpt2.encode("🙂世界é")),
        fc.integer({ min: 0, max: 50256 }),
      ),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(ids, fc.boolean(), (list, skipSpecialTokens) => {
        const whole = gpt2.decode(list, { skipSpecialTokens });
        const stream = gpt2.stream({ skipSpecialTokens });
        const pieces = [...list.map((id) => stream.push(id)), stream.flush()];
        expect(pieces.join("")).toBe(whole);
        for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u);
      }),
      { numRuns: 1000 },
    );
  });

  test("a stream waits for the rest of a character", () => {
    const ids = gpt2.encode("🙂");
    expect(ids.length).toBeGreaterThan(1);
    const stream = gpt2.stream();
    expect(ids.map((id) => stream.push(id))).toEqual([...ids.slice(1).map(() => ""), "🙂"]);
    const cut = gpt2.stream();
    expect(cut.push(ids[0]) + cut.push(64)).toBe("\ufffda");
    const unfinished = gpt2.stream();
    expect([unfinished.push(ids[0]), unfinished.flush()]).toEqual(["", "\ufffd"]);
  });

  test("a token's text shows bytes that are no character", () => {
    expect(gpt2.tokenText(64)).toBe("a");
    expect(gpt2.tokenText(50256)).toBe("<|endoftext|>");
    expect(gpt2.tokenText(gpt2.encode("🙂")[0])).toBe("\\xF0\\x9F");
  });

  test("ids outside the vocabulary are refused", () => {
    for (const id of [50257, -1, 0.5, Number.NaN]) {
      expect(() => gpt2.decode([id])).toThrow(expect.objectContaining({ code: "token_out_of_range" }));
      expect(() => gpt2.stream().push(id)).toThrow(expect.objectContaining({ code: "token_out_of_range" }));
    }
  });

  test("a megabyte is encoded, in words and in one unbroken piece", () => {
    const words = "The quick brown fox jumps over the lazy dog. ".repeat(22000);
    expect(gpt2.decode(gpt2.encode(words))).toBe(words);
    const unbroken = "a".repeat(200_000);
    expect(gpt2.decode(gpt2.encode(unbroken))).toBe(unbroken);
  });
});

describe("the embedded model's tokenizer", () => {
  test("encodes its reference prompts, start token first, and decodes its reference texts", async () => {
    for (const { prompt, ids, greedy, greedyText } of await goldenCases("stories")) {
      expect(stories.encode(prompt ?? "")).toEqual(ids);
      expect(stories.decode(greedy)).toBe(greedyText);
    }
  });

  test("its post-processor's token can be left out", () => {
    expect(stories.encode("Once upon a time", { addSpecialTokens: false })).toEqual([420, 428, 259, 394]);
    expect(stories.encode("")).toEqual([0]);
    expect([stories.bosTokenId, stories.eosTokenId, stories.vocabSize]).toEqual([0, 0, 2048]);
  });

  test("round trips any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
        expect(stories.decode(stories.encode(text))).toBe(text);
      }),
    );
  });
});

describe("decoders that are not byte-level", () => {
  const base = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null };

  test("WordPiece: whole and stream agree", async () => {
    const vocab = { "[UNK]": 0, play: 1, "##ing": 2, "##ed": 3, ball: 4, "。": 5 };
    const json = {
      ...base,
      pre_tokenizer: { type: "BertPreTokenizer" },
      decoder: { type: "WordPiece", prefix: "##", cleanup: false },
      model: {
        type: "WordPiece",
        vocab,
        unk_token: "[UNK]",
        continuing_subword_prefix: "##",
        max_input_chars_per_word: 100,
      },
    };
    const tokenizer = await loaded(memoryFiles("wp", { "tokenizer.json": JSON.stringify(json) }), 6);
    expect(tokenizer.encode("playing ball")).toEqual([1, 2, 4]);
    expect(tokenizer.decode([1, 2, 4])).toBe("playing ball");
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 5 }), { maxLength: 12 }), (ids) => {
        const stream = tokenizer.stream();
        expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe(tokenizer.decode(ids));
      }),
    );
  });

  test("byte fallback: a stream waits for the rest of a character", async () => {
    const vocab = { "<unk>": 0, "▁a": 1, "<0xF0>": 2, "<0x9F>": 3, "<0x99>": 4, "<0x82>": 5, b: 6 };
    const decoder = {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
      ],
    };
    const json = {
      ...base,
      decoder,
      model: { type: "BPE", vocab, merges: [], unk_token: "<unk>", byte_fallback: true },
    };
    const tokenizer = await loaded(memoryFiles("bf", { "tokenizer.json": JSON.stringify(json) }), 7);
    const stream = tokenizer.stream();
    expect([1, 2, 3, 4, 5, 6].map((id) => stream.push(id))).toEqual([" a", "", "", "", "🙂", "b"]);
    expect(stream.flush()).toBe("");
  });
});

describe("files that cannot be used", () => {
  const good = async () => JSON.parse(await readFile(`${modelFolders.stories}/tokenizer.json`, "utf8"));
  const load = (json: unknown, vocabSize = 2048) =>
    loadTokenizer(
      memoryFiles("m", { "tokenizer.json": typeof json === "string" ? json : JSON.stringify(json) }),
      vocabSize,
    );

  test("no files: no tokenizer", async () => {
    expect(await loadTokenizer(memoryFiles("m", {}), 10)).toBeNull();
  });

  const cases: [string, (json: Awaited<ReturnType<typeof good>>) => unknown, RegExp][] = [
    ["not JSON", () => "{", /tokenizer\.json is not JSON/],
    ["not an object", () => [1], /is not a JSON object/],
    ["no model", (json) => ({ ...json, model: null }), /has no model/],
    ["no vocabulary", (json) => ({ ...json, model: { ...json.model, vocab: 3 } }), /has no vocabulary/],
    ["no merges", (json) => ({ ...json, model: { ...json.model, merges: {} } }), /has no list of merges/],
    [
      "a merge that is no pair",
      (json) => ({ ...json, model: { ...json.model, merges: [["a"]] } }),
      /merge \(number 0\) that is not a pair/,
    ],
    [
      "a merge of unknown pieces",
      (json) => ({ ...json, model: { ...json.model, merges: [["a", "qqq"]] } }),
      /merges "qqq" \(merge 0\), which the vocabulary does not have/,
    ],
    [
      "an id that is too large",
      (json) => ({ ...json, model: { ...json.model, vocab: { ...json.model.vocab, zz: 2048 } } }),
      /gives "zz" the id 2048; the model's ids are 0 to 2047/,
    ],
    [
      "two pieces of one id",
      (json) => ({ ...json, model: { ...json.model, vocab: { ...json.model.vocab, zz: 1500 } } }),
      /the same id 1500/,
    ],
    [
      "an unknown model",
      (json) => ({ ...json, model: { ...json.model, type: "Magic" } }),
      /a model of type "Magic"; BPE, WordPiece, Unigram are read/,
    ],
    ["an unknown decoder", (json) => ({ ...json, decoder: { type: "Magic" } }), /cannot be used/],
    ["added tokens of no list", (json) => ({ ...json, added_tokens: 7 }), /added_tokens that are no list/],
    [
      "an added token without an id",
      (json) => ({ ...json, added_tokens: [{ content: "x" }] }),
      /added token \(number 0\)/,
    ],
    [
      "a post-processor's unknown token",
      (json) => ({ ...json, added_tokens: [], model: { ...json.model, vocab: { a: 0 }, merges: [] } }),
      /adds "<\|endoftext\|>", which is no token/,
    ],
  ];
  test.each(cases)("%s", async (_, change, message) => {
    await expect(load(change(await good()))).rejects.toMatchObject({
      code: "tokenizer_invalid",
      message: expect.stringMatching(message),
    });
  });

  test("one of the two older files without the other", async () => {
    await expect(loadTokenizer(memoryFiles("m", { "vocab.json": "{}" }), 10)).rejects.toMatchObject({
      message: expect.stringMatching(/vocab\.json but no merges\.txt/),
    });
    await expect(loadTokenizer(memoryFiles("m", { "merges.txt": "" }), 10)).rejects.toMatchObject({
      message: expect.stringMatching(/merges\.txt but no vocab\.json/),
    });
  });

  test("hostile keys are pieces like any other", async () => {
    const json =
      '{"added_tokens":[],"decoder":{"type":"ByteLevel"},"pre_tokenizer":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{"__proto__":0,"constructor":1,"a":2},"merges":[]}}';
    const tokenizer = await loadTokenizer(memoryFiles("m", { "tokenizer.json": json }), 3);
    expect(tokenizer?.decode([0, 1, 2])).toBe("__proto__constructora");
    expect(({} as Record<string, unknown>).a).toBeUndefined();
  });

  test("text that no token covers is an error, not a hole", async () => {
    const json = {
      added_tokens: [],
      decoder: { type: "WordPiece", prefix: "##" },
      pre_tokenizer: { type: "BertPreTokenizer" },
      model: {
        type: "WordPiece",
        vocab: { a: 0 },
        unk_token: "[UNK]",
        continuing_subword_prefix: "##",
        max_input_chars_per_word: 9,
      },
    };
    const tokenizer = await load(json, 1);
    expect(tokenizer?.encode("a a")).toEqual([0, 0]);
    expect(() => tokenizer?.encode("a b")).toThrow(expect.objectContaining({ code: "tokenizer_invalid" }));
  });

  test("whatever is done to the file, only our error comes out", async () => {
    const json = await good();
    // Small, so that thousands of changes are quick.
    json.model.merges = json.model.merges.slice(0, 40);
    const kept = new Set<string>([
      ...Object.keys(json.model.vocab).slice(0, 257),
      ...json.model.merges.map((merge: string[] | string) =>
        (Array.isArray(merge) ? merge : merge.split(" ")).join(""),
      ),
    ]);
    json.model.vocab = Object.fromEntries(
      Object.entries(json.model.vocab).filter(([piece]) => kept.has(piece)),
    );
    const text = JSON.stringify(json);
    const paths = [
      "model",
      "model.type",
      "model.vocab",
      "model.merges",
      "model.merges.0",
      "added_tokens",
      "added_tokens.0",
      "added_tokens.0.id",
      "decoder",
      "pre_tokenizer",
      "pre_tokenizer.type",
      "post_processor",
      "post_processor.single",
      "post_processor.single.0",
      "normalizer",
    ];
    const change = fc.oneof(
      fc.record({
        kind: fc.constant("cut" as const),
        at: fc.nat({ max: text.length }),
        value: fc.constant(null as unknown),
      }),
      fc.record({
        kind: fc.constant("replace" as const),
        at: fc.nat({ max: paths.length - 1 }),
        value: fc.jsonValue() as fc.Arbitrary<unknown>,
      }),
    );
    await fc.assert(
      fc.asyncProperty(change, async ({ kind, at, value }) => {
        let changed = text;
        if (kind === "cut") changed = text.slice(0, at);
        else {
          const copy = JSON.parse(text);
          const keys = paths[at].split(".");
          const last = keys.pop() ?? "";
          const parent = keys.reduce((object, key) => object?.[key], copy);
          if (parent !== null && typeof parent === "object") parent[last] = value;
          changed = JSON.stringify(copy);
        }
        try {
          const tokenizer = await load(changed);
          tokenizer?.decode(tokenizer.encode("Once upon a time <|endoftext|> é"));
        } catch (error) {
          expect(error).toMatchObject({ name: "LastrowError" });
        }
      }),
      { numRuns: 500 },
    );
  });
});
