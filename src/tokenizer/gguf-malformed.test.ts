/**
 * Metadata that is not what a tokenizer needs: one sentence that names the file, the key or token, what was found and what was
 * expected; and metadata that was changed at random. Nothing hangs: the tests' time would run out.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ggufValue as value } from "../../scripts/gguf-writer.js";
import { tokenizerJson } from "../../test/family-tokenizers.js";
import { type GgufVocabularyOptions, ggufVocabulary, metadataOf } from "../../test/gguf-vocabulary.js";
import { LastrowError } from "../errors.js";
import type { GgufValue } from "../formats/gguf/gguf-metadata.js";
import { ggufTokenizerFiles } from "./gguf-tokenizer.js";
import { tokenizerOf } from "./make-tokenizer.js";

type Values = Map<string, GgufValue>;

const T = "tokenizer.ggml.";
const byteLevel = (options: Partial<GgufVocabularyOptions> = {}) =>
  ggufVocabulary(tokenizerJson("Qwen 2 and 3"), {
    ...{ architecture: "qwen2", pre: "qwen2", roles: { bos: 324, eos: 758 } },
    ...options,
  });
const pieces = () =>
  ggufVocabulary(tokenizerJson("Llama 2, TinyLlama, Mistral"), {
    ...{ architecture: "llama", pre: null, roles: { bos: 1, eos: 2, unknown: 0 } },
  });

function refusal(values: Values): LastrowError {
  try {
    const { files } = ggufTokenizerFiles(metadataOf(values));
    if (files !== null) tokenizerOf(files, 2000);
  } catch (error) {
    expect(error).toBeInstanceOf(LastrowError);
    return error as LastrowError;
  }
  throw new Error("nothing was refused");
}

/** A vocabulary with one of its lists changed. */
function changed(values: Values, key: string, change: (list: unknown[]) => void): Values {
  const found = values.get(T + key);
  if (found?.type !== "array") throw new Error(`${key} is no list`);
  const list: unknown[] = [...found.values];
  change(list);
  const made =
    found.elementType === "string"
      ? value.texts(list as string[])
      : found.elementType === "f32"
        ? value.f32s(list as number[])
        : value.i32s(list as number[]);
  return values.set(T + key, made);
}

const only = (tokens: readonly string[], model = "llama"): Values =>
  new Map([
    [`${T}model`, value.text(model)],
    [`${T}tokens`, value.texts(tokens)],
  ]);

test.each<[string, () => Values, string]>([
  [
    "no tokens",
    () => new Map([[`${T}model`, value.text("llama")]]),
    "model.gguf has no tokens (tokenizer.ggml.tokens).",
  ],
  ["an empty list of them", () => only([]), "model.gguf has no tokens (tokenizer.ggml.tokens)."],
  [
    "tokens that are numbers",
    () => only([]).set(`${T}tokens`, value.i32s([1])),
    'model.gguf: key "tokenizer.ggml.tokens" is a list of 1 i32, but must be a list of texts.',
  ],
  [
    "two tokens alike",
    () => changed(byteLevel(), "tokens", (list) => (list[700] = list[699])),
    / twice, as tokens 699 and 700\.$/.source,
  ],
  [
    "a token of 64 kB",
    () => changed(byteLevel(), "tokens", (list) => (list[700] = "a".repeat(65_535))),
    /^model\.gguf has token 700, "a+"… \(65535 characters\), which is longer than 1024 characters\.$/.source,
  ],
  [
    "fewer types than tokens",
    () => changed(byteLevel(), "token_type", (list) => list.pop()),
    "model.gguf has 760 tokens, but 759 entries of tokenizer.ggml.token_type.",
  ],
  [
    "a type that is none",
    () => changed(byteLevel(), "token_type", (list) => (list[3] = 7)),
    'model.gguf: element 3 of key "tokenizer.ggml.token_type" is 7, but must be a whole number from 0 to 6.',
  ],
  [
    "more scores than tokens",
    () => changed(pieces(), "scores", (list) => list.push(0)),
    "model.gguf has 824 tokens, but 825 entries of tokenizer.ggml.scores.",
  ],
  [
    "a score that is no number",
    () => changed(pieces(), "scores", (list) => (list[5] = Number.NaN)),
    'model.gguf: element 5 of key "tokenizer.ggml.scores" is NaN, but must be a finite number.',
  ],
  [
    "a byte token that names no byte",
    () => changed(pieces(), "tokens", (list) => (list[list.indexOf("<0x41>")] = "<0x-1>")),
    /^model\.gguf has "<0x-1>" as token \d+ for a single byte, which is written as "<0x0A>"\.$/.source,
  ],
  [
    "a byte token among byte-level ones",
    () => {
      const values = changed(byteLevel(), "tokens", (list) => (list[759] = "<0x41>"));
      return changed(values, "token_type", (list) => (list[759] = 6));
    },
    'model.gguf has tokens for single bytes in a vocabulary of the kind "gpt2".',
  ],
  [
    "no merges",
    () => {
      const values = byteLevel();
      values.delete(`${T}merges`);
      return values;
    },
    "model.gguf has no merges (tokenizer.ggml.merges).",
  ],
  ...["", "a", " a", "a "].map((merge): [string, () => Values, string] => [
    `the merge ${JSON.stringify(merge)}`,
    () => changed(byteLevel(), "merges", (list) => (list[2] = merge)),
    `model.gguf has ${JSON.stringify(merge)} as merge 2, which must be two tokens.`,
  ]),
  [
    "a merge of what is no token",
    () => changed(byteLevel(), "merges", (list) => (list[2] = "zqx a")),
    'model.gguf merges "zqx" (merge 2), which is not one of its tokens.',
  ],
  [
    "a merge into what is no token",
    () => changed(byteLevel(), "merges", (list) => (list[2] = "z q")),
    'model.gguf merges "zq" (merge 2), which is not one of its tokens.',
  ],
  [
    "a start token that is asked for and not there",
    () => byteLevel({ roles: {}, keys: { [`${T}add_bos_token`]: value.flag(true) } }),
    "model.gguf says that a text has a bos token (tokenizer.ggml.add_bos_token), but has none.",
  ],
  [
    "a role that is a text",
    () => byteLevel({ keys: { [`${T}eos_token_id`]: value.text("</s>") } }),
    'model.gguf: key "tokenizer.ggml.eos_token_id" is the text "</s>", but must be a whole number from -1 to 4294967295.',
  ],
  [
    "a flag that is 2",
    () => byteLevel({ keys: { [`${T}add_bos_token`]: value.u8(2) } }),
    'model.gguf: key "tokenizer.ggml.add_bos_token" is 2 (u8), but must be true or false, or 1 or 0.',
  ],
])("%s", (_, values, message) => {
  const error = refusal(values());
  expect(["tokenizer_invalid", "model_unsupported"]).toContain(error.code);
  if (message.startsWith("^") || message.endsWith("$")) expect(error.message).toMatch(new RegExp(message));
  else expect(error.message).toBe(message);
});

test.each(["bert", "t5", "rwkv", "plamo2", "gemma4", "constructor", ""])(
  "the kind %j is refused by name",
  (model) => {
    const error = refusal(only(["a"], model));
    expect(error.code).toBe("model_unsupported");
    expect(error.message).toBe(
      `model.gguf has a tokenizer of the kind ${JSON.stringify(model)} (tokenizer.ggml.model); "gpt2" and "llama" are read.`,
    );
  },
);

test.each([
  ["remove_extra_whitespaces", value.flag(true), value.flag(false)],
  ["normalizer.lowercase", value.flag(true), value.flag(false)],
  ["normalizer.strip_accents", value.u8(1), value.u8(0)],
  ["precompiled_charsmap", { type: "array", elementType: "u8", values: Uint8Array.of(1) }, value.texts([])],
] as const)("%s is refused, unless it is off", (key, on, off) => {
  expect(refusal(pieces().set(T + key, on)).message).toBe(
    `model.gguf changes a text before it is cut (${T}${key}), which is not supported.`,
  );
  expect(ggufTokenizerFiles(metadataOf(pieces().set(T + key, off))).files).not.toBeNull();
});

describe("no vocabulary takes long, or much", () => {
  test("tokens that are parts of one another over and over", () => {
    // Every one of them is made in as many ways as it has characters: a hundred thousand merges of five hundred tokens.
    const nested = Array.from({ length: 512 }, (_, i) => "a".repeat(i + 1));
    expect(refusal(only(nested)).message).toBe("model.gguf has tokens that make more than 69632 merges.");
    expect(ggufTokenizerFiles(metadataOf(only(nested.slice(0, 64)))).files).not.toBeNull();
  });

  test("a thousand tokens of a thousand characters", () => {
    const long = Array.from({ length: 1000 }, (_, i) => `${i}`.padStart(1024, "ab"));
    const { files } = ggufTokenizerFiles(metadataOf(only(long)));
    expect(files!.json.model).toMatchObject({ merges: { merged: new Int32Array(0) } });
  });
});

describe("changed at random", () => {
  const originals: readonly Values[] = [
    byteLevel(),
    byteLevel({ architecture: "llama", pre: "llama-bpe" }),
    pieces(),
    ggufVocabulary(tokenizerJson("Gemma"), {
      ...{ architecture: "gemma3", pre: "default", roles: { bos: 1, eos: 2 } },
      keys: { [`${T}add_space_prefix`]: value.flag(false) },
    }),
  ];
  const odd = fc.constantFrom<GgufValue>(
    ...[
      value.u32(0),
      value.u32(2 ** 32 - 1),
      value.i32(-1),
      value.u64(2n ** 64n - 1n),
      value.f32(Number.NaN),
    ],
    ...[value.flag(true), value.flag(false), value.text(""), value.text("\u0000"), value.text("llama")],
    ...[value.text("gpt2"), value.text("__proto__"), value.texts([]), value.texts(["", " ", "a"])],
    ...[value.i32s([]), value.i32s([1, -1, 2 ** 31 - 1]), value.f32s([Number.POSITIVE_INFINITY])],
  );
  const piece = fc.oneof(
    fc.constantFrom(
      "",
      " ",
      "▁",
      "▁▁",
      "a",
      "<0x41>",
      "<0x4g>",
      "Ġ",
      "<s>",
      "\ufffd",
      "a b",
      "😀",
      "a".repeat(1025),
    ),
    fc.string({ unit: "grapheme", maxLength: 4 }),
  );
  const key = fc.constantFrom(
    ...["tokens", "token_type", "merges", "scores", "model", "pre", "bos_token_id", "eos_token_id"],
    ...["eot_token_id", "unknown_token_id", "padding_token_id", "add_bos_token", "add_eos_token"],
    ...["add_space_prefix", "remove_extra_whitespaces"],
  );
  const change = fc.oneof(
    fc.record({ kind: fc.constant("value" as const), key, odd }),
    fc.record({ kind: fc.constant("drop" as const), key }),
    fc.record({
      kind: fc.constant("entry" as const),
      key: fc.constantFrom("tokens", "token_type", "merges", "scores"),
      at: fc.nat({ max: 850 }),
      piece,
      number: fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, -1, 1e30),
    }),
    fc.record({
      kind: fc.constant("length" as const),
      key: fc.constantFrom("tokens", "token_type", "merges", "scores"),
      length: fc.nat({ max: 1000 }),
    }),
  );

  type Change = typeof change extends fc.Arbitrary<infer One> ? One : never;

  function apply(values: Values, changes: readonly Change[]): void {
    for (const one of changes) {
      if (one.kind === "value") values.set(T + one.key, one.odd);
      else if (one.kind === "drop") values.delete(T + one.key);
      else {
        const found = values.get(T + one.key);
        if (found?.type !== "array") continue;
        changed(values, one.key, (list) => {
          if (one.kind === "length") list.length = Math.min(list.length, one.length);
          else if (one.at < list.length)
            list[one.at] = found.elementType === "string" ? one.piece : one.number;
        });
      }
    }
  }

  test("a tokenizer that works, or one sentence", () => {
    const outcomes = { works: 0, refused: 0 };
    fc.assert(
      fc.property(
        fc.constantFrom(...originals),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.string({ unit: "grapheme", maxLength: 12 }),
        (original, changes, text) => {
          const values = new Map(original);
          apply(values, changes);
          try {
            const { files, eosTokenIds } = ggufTokenizerFiles(metadataOf(values));
            for (const id of eosTokenIds) expect(id).toBeLessThan(1000);
            if (files === null) return;
            const tokenizer = tokenizerOf(files, 900);
            const ids = tokenizer.encode(text, { parseSpecial: true });
            for (const id of ids) expect(id).toBeLessThan(900);
            tokenizer.decode(ids);
            outcomes.works++;
          } catch (error) {
            if (!(error instanceof LastrowError)) throw error;
            expect(error.message).toMatch(/^model\.gguf[: ].*\.$/s);
            expect(error.message.length).toBeLessThan(400);
            outcomes.refused++;
          }
        },
      ),
      { numRuns: 200 },
    );
    expect(outcomes.works).toBeGreaterThan(20);
    expect(outcomes.refused).toBeGreaterThan(20);
  });
});
