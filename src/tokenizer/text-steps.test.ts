/** Normalizers and pre-tokenizers as Hugging Face's tokenizers (Rust) run them, and what bounds them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readTextSteps } from "./text-steps.js";

const read = (json: object) =>
  readTextSteps({ json: json as Record<string, unknown>, fileName: "tokenizer.json" });
const normalized = (normalizer: object, text: string) => read({ normalizer }).normalize!(text);
const cut = (pre_tokenizer: object, text: string, isStart = true) =>
  read({ pre_tokenizer }).cut(text, isStart);
const sequence = (...pretokenizers: object[]) => ({ type: "Sequence", pretokenizers });

const BERT = {
  type: "BertNormalizer",
  clean_text: true,
  handle_chinese_chars: true,
  strip_accents: null,
  lowercase: true,
};
const BOTH = { type: "Strip", strip_left: true, strip_right: true };

test.each<[object, string, string]>([
  // Unicode's White_Space, not JavaScript's \s: U+0085 is, U+FEFF is not.
  [BOTH, "\u0085\u2003 a \u0085", "a"],
  [BOTH, "\ufeff a \ufeff", "\ufeff a \ufeff"],
  [{ ...BOTH, strip_right: false }, " a ", "a "],
  [{ ...BOTH, strip_left: false }, " a ", " a"],
  [BOTH, " \n ", ""],
  // Code points: a character of two units is one, and Chinese if it is.
  [BERT, "𠮷1", " 𠮷 1"],
  [BERT, "世a🙂", " 世 a🙂"],
  [BERT, "Ça\u0000 \u00adb\ufffd\u0085\tÉΣ", "ca b eσ"],
  [{ ...BERT, strip_accents: false }, "ÇA", "ça"],
  [{ ...BERT, lowercase: false }, "Ça", "Ça"],
  [{ ...BERT, lowercase: false, strip_accents: true }, "Ça", "Ca"],
  [{ ...BERT, clean_text: false, handle_chinese_chars: false }, "\u0085世", "\u0085世"],
  // Each character by itself: no final sigma.
  [{ type: "Lowercase" }, "ΟΔΟΣ", "οδοσ"],
  [{ type: "StripAccents" }, "e\u0301a\u20dd", "ea"],
  [{ type: "NFKC" }, "ﬁ²", "fi2"],
  [{ type: "NFD" }, "é", "e\u0301"],
  [{ type: "Replace", pattern: { String: "a" }, content: "$&" }, "bab", "b$&b"],
  [{ type: "Replace", pattern: { Regex: "\\s+" }, content: "_" }, "a \u0085b\ufeffc", "a_b\ufeffc"],
  [{ type: "Replace", pattern: { Regex: " {2,}" }, content: "▁" }, "a  b c", "a▁b c"],
  [
    {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Sequence", normalizers: [BOTH] },
      ],
    },
    "a ",
    "▁a",
  ],
])("normalizer %j: %j becomes %j", (step, text, expected) => {
  expect(normalized(step, text)).toBe(expected);
});

test.each<[object, string, string[]]>([
  [{ type: "ByteLevel" }, "a b", ["a", "Ġb"]],
  [{ type: "ByteLevel", add_prefix_space: true }, "a", ["Ġa"]],
  [{ type: "ByteLevel", add_prefix_space: true }, " a", ["Ġa"]],
  [{ type: "ByteLevel", use_regex: false }, "a é", ["aĠÃ©"]],
  [{ type: "ByteLevel" }, " \ufeffa", ["Ġï»¿", "a"]],
  [{ type: "WhitespaceSplit" }, " a\u0085b\ufeffc  ", ["a", "b\ufeffc"]],
  [{ type: "WhitespaceSplit" }, "  ", []],
  [{ type: "BertPreTokenizer" }, "don't\u0085a\ufeffb!!", ["don", "'", "t", "a\ufeffb", "!", "!"]],
  [{ type: "Punctuation", behavior: "Contiguous" }, "a, b!!", ["a", ",", " b", "!!"]],
  [{ type: "Digits", individual_digits: false }, "a12٢b", ["a", "12٢", "b"]],
  [{ type: "Metaspace" }, "a b  c", ["▁a", "▁b", "▁", "▁c"]],
  [{ type: "Metaspace", split: false }, "a b", ["▁a▁b"]],
  [{ type: "Metaspace" }, " a", ["▁a"]],
  [{ type: "Metaspace", prepend_scheme: "never" }, "a b", ["a", "▁b"]],
  // Older files say it so.
  [{ type: "Metaspace", add_prefix_space: false }, "a b", ["a", "▁b"]],
  [{ type: "Metaspace", add_prefix_space: true }, "a b", ["▁a", "▁b"]],
  [{ type: "Metaspace", replacement: "-" }, "a b", ["-a", "-b"]],
  [{ type: "Metaspace", replacement: "]", split: true }, "a b]]c", ["]a", "]b", "]", "]c"]],
  // Only where the text begins.
  [sequence({ type: "WhitespaceSplit" }, { type: "Metaspace", prepend_scheme: "first" }), "a b", ["▁a", "b"]],
  [
    sequence(sequence({ type: "WhitespaceSplit" }), { type: "ByteLevel", add_prefix_space: true }),
    "a b",
    ["Ġa", "Ġb"],
  ],
])("pre-tokenizer %j cuts %j into %j", (step, text, expected) => {
  expect(cut(step, text)).toEqual(expected);
});

test("the first word has a prefix only where the text begins", () => {
  expect(cut({ type: "Metaspace", prepend_scheme: "first" }, "a b", false)).toEqual(["a", "▁b"]);
});

describe("no file makes a text grow without bound", () => {
  const replace = (from: string, content: string) => ({
    type: "Replace",
    pattern: { String: from },
    content,
  });
  const normalizers = (...steps: object[]) => ({ normalizer: { type: "Sequence", normalizers: steps } });

  test.each<[string, object]>([
    ["replacements of replacements", normalizers(replace("a", "aaaa"), replace("a", "aaaaa"))],
    ["sixty texts in front", normalizers(...Array(60).fill({ type: "Prepend", prepend: "a".repeat(16) }))],
    // ﷺ is one character, and eighteen in NFKC, some of which become ﷺ again.
    ["what normalisation makes longer", normalizers({ type: "NFKD" }, replace("ل", "ﷺ"), { type: "NFKD" })],
    ["a longer pattern than it seems", normalizers(replace("𝐀", "a".repeat(16)), replace("a", "aa"))],
    [
      "bytes of bytes",
      { pre_tokenizer: sequence(...Array(3).fill({ type: "ByteLevel", use_regex: false })) },
    ],
    [
      "spaces of several kinds",
      {
        pre_tokenizer: sequence(
          ..."-+*/=".split("").map((replacement) => ({ type: "Metaspace", replacement })),
        ),
      },
    ],
    ["spaces around spaces", normalizers(BERT, BERT, BERT)],
    ["65 steps", normalizers(...Array(65).fill({ type: "NFC" }))],
  ])("%s are refused", (_, json) => {
    expect(() => read(json)).toThrow(
      expect.objectContaining({
        code: "tokenizer_invalid",
        message: expect.stringMatching(/over 16 times as long|more than 64 steps/),
      }),
    );
  });

  test("what is let through grows as much as the bound says, whatever the text", () => {
    const character = fc.constantFrom("a", "b", " ", "ﷺ", "世", "é", "\ufb2c");
    const inserted = fc.string({ unit: character, maxLength: 3 });
    const step = fc.oneof(
      fc.record({ type: fc.constantFrom("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "BertNormalizer") }),
      fc.record({ type: fc.constant("Prepend"), prepend: inserted }),
      fc.record({
        type: fc.constant("Replace"),
        pattern: fc.record({ String: fc.string({ unit: character, minLength: 1, maxLength: 2 }) }),
        content: inserted,
      }),
    );
    let accepted = 0;
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 6 }),
        fc.string({ unit: character, minLength: 1 }),
        (steps, text) => {
          try {
            const { normalize, cut } = read({
              ...normalizers(...steps),
              pre_tokenizer: { type: "Metaspace" },
            });
            const length = cut(normalize!(text) || "a", true).join("").length;
            expect(length).toBeLessThanOrEqual(16 * text.normalize("NFKD").length);
            accepted++;
          } catch (error) {
            expect(error).toMatchObject({ code: "tokenizer_invalid" });
          }
        },
      ),
      { numRuns: 1000 },
    );
    expect(accepted).toBeGreaterThan(50);
  });
});

test.each<[object, RegExp]>([
  [{ normalizer: { type: "constructor" } }, /normalizer of type "constructor"/],
  [{ normalizer: { type: "ByteLevel" } }, /normalizer of type "ByteLevel"/],
  [{ pre_tokenizer: { type: "NFC" } }, /pre_tokenizer of type "NFC"/],
  [{ normalizer: { type: "Strip", strip_left: "x" } }, /"x" as strip_left of "Strip"/],
  [{ pre_tokenizer: { type: "ByteLevel", use_regex: 0 } }, /0 as use_regex/],
  [{ pre_tokenizer: { type: "Metaspace", prepend_scheme: "last" } }, /"last" as prepend_scheme/],
  [{ pre_tokenizer: { type: "Metaspace", replacement: "ab" } }, /"ab" as replacement/],
  [{ normalizer: { type: "Prepend", prepend: "\ud800" } }, /as prepend of "Prepend"/],
])("%j is wrong", (json, message) => {
  expect(() => read(json)).toThrow(message);
});
