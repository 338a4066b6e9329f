/** Against js-tiktoken on GPT-2's own vocabulary, against the embedded model's references, and streams against wholes. */
import fc from "fast-check";
import { Tiktoken } from "js-tiktoken/lite";
import { beforeAll, describe, expect, test } from "vitest";
import { anyCharacter } from "../../test/any-text.js";
import { goldenCases, modelFolders } from "../../test/fixture-models.js";
import { gpt2RanksOfUnicode, gpt2VocabularyFiles } from "../../test/gpt2-vocabulary.js";
import { memoryFiles } from "../../test/memory-files.js";
import { folderFiles } from "../platform/disk-files.js";
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
  " \ufeffHello",
  "next\u0085line \u0085 \ufeff",
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
  tiktoken = new Tiktoken(gpt2RanksOfUnicode);
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
      fc.string({ unit: anyCharacter, maxLength: 60 }),
      fc.string({ unit: "grapheme", maxLength: 40 }),
      fc.lorem(),
      // White space of all kinds, and what JavaScript alone takes for it.
      fc.string({ unit: fc.constantFrom(..." \n\t\u0085\ufeff\u00a0\u3000\u180e\u200ba1!"), maxLength: 12 }),
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

  test("white space is Unicode's", () => {
    expect(gpt2.encode(" \ufeffHello")).toEqual([27332, 119, 123, 15496]);
    expect(gpt2.encode("a\u0085\u0085b")).toEqual(tiktoken.encode("a\u0085\u0085b", [], []));
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
        // An independent reading of the joined bytes; the "a" in front because it drops a byte order mark at the start.
        const kept = skipSpecialTokens ? list.filter((id) => id !== 50256) : list;
        expect(`a${whole}`).toBe(tiktoken.decode([64, ...kept]));
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

  test("a byte order mark is text like any other", () => {
    const ids = gpt2.encode("\ufeffa\ufeff");
    const stream = gpt2.stream();
    expect(gpt2.decode(ids)).toBe("\ufeffa\ufeff");
    expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe("\ufeffa\ufeff");
  });

  test("no ids, no text", () => {
    expect(gpt2.decode([])).toBe("");
    expect(gpt2.stream().flush()).toBe("");
    expect(gpt2.encode("")).toEqual([]);
  });

  test("a token's bytes are those it adds to a text", () => {
    const ids = gpt2.encode(" naïve 🙂");
    const bytes = ids.flatMap((id) => [...gpt2.tokenBytes(id)]);
    expect(bytes).toEqual([...new TextEncoder().encode(" naïve 🙂")]);
  });

  test("a token's text shows bytes that are no character", () => {
    expect(gpt2.tokenText(64)).toBe("a");
    expect(gpt2.tokenText(50256)).toBe("<|endoftext|>");
    expect(gpt2.tokenText(gpt2.encode("🙂")[0])).toBe("\\xF0\\x9F");
  });

  test("ids outside the vocabulary are refused", () => {
    const [first, ...rest] = gpt2.encode("🙂");
    const outOfRange = expect.objectContaining({ code: "token_out_of_range" });
    for (const id of [50257, -1, 0.5, Number.NaN]) {
      expect(() => gpt2.decode([id])).toThrow(outOfRange);
      expect(() => gpt2.tokenText(id)).toThrow(outOfRange);
      // A failure changes nothing: the half character before it is completed after it.
      const stream = gpt2.stream();
      stream.push(first);
      expect(() => stream.push(id)).toThrow(outOfRange);
      expect(rest.map((other) => stream.push(other)).join("")).toBe("🙂");
    }
  });

  test("a megabyte is encoded, in words and in unbroken pieces of many tokens", () => {
    const words = "The quick brown fox jumps over the lazy dog. ".repeat(22_000);
    for (const text of [words, "\u0000".repeat(300_000), "a".repeat(30_000)]) {
      // Compared outside of expect, which would print a megabyte.
      expect(gpt2.decode(gpt2.encode(text)) === text).toBe(true);
    }
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
