/** Decoders that are not GPT-2's: by hand, and streams against wholes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readPieceDecoder } from "./piece-decoder.js";
import { Tokenizer } from "./tokenizer.js";

/** A tokenizer that only decodes: piece number i has the id i. */
function decoding(decoder: unknown, pieces: readonly string[], added: readonly number[] = []): Tokenizer {
  const addedTokens = added.map((id) => ({
    id,
    content: pieces[id],
    special: false,
    lstrip: false,
    rstrip: false,
    singleWord: false,
    normalized: false,
  }));
  const vocabulary = { pieces: new Map(pieces.entries()), addedTokens };
  const encode = () => [];
  return new Tokenizer({
    plain: { encode },
    parsing: () => ({ encode }),
    infilling: () => ({ before: { encode }, after: { encode } }),
    infill: { tokens: null, missing: "has none", contents: [] },
    prefix: [],
    suffix: [],
    decoder: readPieceDecoder({ json: { decoder }, fileName: "tokenizer.json" }, vocabulary),
    specialTokens: [],
    bosTokenId: null,
    eosTokenId: null,
    namedTokens: {},
    vocabSize: pieces.length + 1,
  });
}

const growing = (content: string) => ({ type: "Replace", pattern: { String: "a" }, content });

const LLAMA = {
  type: "Sequence",
  decoders: [
    { type: "Replace", pattern: { String: "▁" }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
    { type: "Strip", content: " ", start: 1, stop: 0 },
  ],
};

const decoders: [string, unknown, string[], [number[], string][]][] = [
  [
    "WordPiece, without its clean-up",
    { type: "WordPiece", prefix: "##", cleanup: true },
    ["play", "##ing", "ball", ".", "n't"],
    [
      [[0, 1, 2], "playing ball"],
      [[2, 3], "ball ."],
      [[0, 4, 3], "play n't ."],
      [[1, 1], "##inging"],
    ],
  ],
  [
    "Metaspace",
    { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
    ["▁a", "b", "▁"],
    [
      [[0, 1, 0], "ab a"],
      [[2, 2, 0], "  a"],
    ],
  ],
  [
    "Metaspace that prepends nothing",
    { type: "Metaspace", replacement: "▁", prepend_scheme: "never" },
    ["▁a", "b"],
    [[[0, 1, 0], " ab a"]],
  ],
  [
    "Metaspace of older files that prepends nothing",
    { type: "Metaspace", replacement: "▁", add_prefix_space: false },
    ["▁a", "b"],
    [[[0, 1, 0], " ab a"]],
  ],
  [
    "Llama's sequence",
    LLAMA,
    ["▁a", "▁", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "b", "<0x20>"],
    [
      [[0, 2, 3, 4, 5, 6], "a🙂b"],
      [[1, 0], " a"],
      [[7, 0], " a"],
      [[6, 0], "b a"],
      // One for each byte, as in the original.
      [[2, 3, 6], "\ufffd\ufffdb"],
      [[2, 2, 3, 4, 5], "\ufffd🙂"],
    ],
  ],
  [
    "byte-level, added tokens literal",
    { type: "Sequence", decoders: [{ type: "ByteLevel" }] },
    ["Ã", "©", "Ġé", "Ġx", "<é>"],
    [
      [[0, 1], "é"],
      [[0, 3], "\ufffd x"],
      [[0, 4, 1], "\ufffd<é>\ufffd"],
      [[2], "Ġé"],
    ],
  ],
  ["none: pieces with spaces between", null, ["a", "b"], [[[0, 1, 1], "a b b"]]],
];

describe.each(decoders)("%s", (_, decoder, pieces, cases) => {
  const tokenizer = decoding(
    decoder,
    pieces,
    [2, 4].filter((id) => pieces[id]?.includes("é")),
  );

  test.each(cases)("decodes %j as %j", (ids, text) => {
    expect(tokenizer.decode(ids)).toBe(text);
  });

  test("streams what it decodes", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: pieces.length }), { maxLength: 12 }), (ids) => {
        const stream = tokenizer.stream();
        expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe(tokenizer.decode(ids));
      }),
      { numRuns: 300 },
    );
  });
});

test("a stream waits for the bytes of a character, and no longer", () => {
  const stream = decoding(LLAMA, ["▁a", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "b"]).stream();
  expect([0, 1, 2, 3, 4, 5].map((id) => stream.push(id))).toEqual(["a", "", "", "", "🙂", "b"]);
  expect(stream.flush()).toBe("");
});

test("replacements may make a piece sixteen times as long, one after the other", () => {
  const decoders = [growing("aaaa"), growing("aaaa"), { type: "Fuse" }];
  expect(decoding({ type: "Sequence", decoders }, ["a"]).decode([0])).toBe("a".repeat(16));
});

test("one token is shown as within a text", () => {
  expect(decoding(LLAMA, ["▁a", "<0xF0>"]).tokenText(0)).toBe(" a");
  expect(decoding(LLAMA, ["▁a", "<0xF0>"]).tokenText(1)).toBe("\\xF0");
  expect(decoding({ type: "WordPiece" }, ["##ing"]).tokenText(0)).toBe("ing");
});

test.each([
  ["model_unsupported", { type: "CTC" }],
  ["model_unsupported", { type: "BPEDecoder", suffix: "</w>" }],
  ["model_unsupported", { type: "Strip", content: " ", start: 1, stop: 0 }],
  ["model_unsupported", { type: "Sequence", decoders: [{ type: "Fuse" }, { type: "ByteLevel" }] }],
  [
    "model_unsupported",
    { type: "Sequence", decoders: [{ type: "Fuse" }, { type: "Strip", content: " ", start: 0, stop: 1 }] },
  ],
  ["model_unsupported", { type: "Replace", pattern: { Regex: "(a+)+b" }, content: "" }],
  ["tokenizer_invalid", 7],
  ["tokenizer_invalid", { type: "Sequence", decoders: {} }],
  ["tokenizer_invalid", { type: "Replace", pattern: { String: "" }, content: "x" }],
  ["tokenizer_invalid", { type: "Replace", pattern: { String: "a" }, content: "x".repeat(17) }],
  // Each may be long, all of them together may not.
  ["tokenizer_invalid", { type: "Sequence", decoders: [growing("aaaa"), growing("aaaa"), growing("aa")] }],
  ["tokenizer_invalid", { type: "Sequence", decoders: Array(7).fill(growing("a".repeat(16))) }],
  ["tokenizer_invalid", { type: "Sequence", decoders: Array(65).fill({ type: "Fuse" }) }],
  ["tokenizer_invalid", { type: "WordPiece", prefix: 5 }],
  [
    "tokenizer_invalid",
    { type: "Sequence", decoders: [{ type: "Fuse" }, { type: "Strip", content: " ", start: 1e9, stop: 0 }] },
  ],
])("%s: %j", (code, decoder) => {
  expect(() => decoding(decoder, ["a"])).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining("tokenizer.json") }),
  );
});
