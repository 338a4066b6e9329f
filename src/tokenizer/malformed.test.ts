/**
 * Tokenizers of each kind whose files were changed at random, with their structure in mind: whatever is done to them, what
 * comes out is a tokenizer that works or one sentence that names the file. Nothing hangs: the tests' time would run out.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { families, type TokenizerJson, tokenizerJson, vocabSizeOf } from "../../test/family-tokenizers.js";
import { memoryFiles } from "../../test/memory-files.js";
import { loadTokenizer } from "./load-tokenizer.js";
import type { Tokenizer } from "./tokenizer.js";

const MERGES = 40;

/** A family's file with few merges, and ids without gaps, so that thousands of changes are quick. */
function small(name: string): TokenizerJson {
  const json = tokenizerJson(name);
  const { model, added_tokens: added, post_processor: processor } = json;
  const made = new Set(model.merges.slice(MERGES).map((pair: string[]) => pair.join("")));
  model.merges = model.merges.slice(0, MERGES);
  const pieces = Object.keys(model.vocab).filter((piece) => !made.has(piece));
  model.vocab = Object.fromEntries(pieces.map((piece, id) => [piece, id]));
  const ids: Record<string, number> = { ...model.vocab };
  for (const token of added) {
    token.id = ids[token.content] ?? Object.keys(ids).length;
    ids[token.content] = token.id;
  }
  for (const step of [processor, ...(processor?.processors ?? [])]) {
    for (const entry of Object.values<{ id: string; ids: number[] }>(step?.special_tokens ?? {})) {
      entry.ids = [ids[entry.id]];
    }
  }
  return json;
}

const wordPiece: TokenizerJson = {
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

const unigram: TokenizerJson = {
  added_tokens: [{ id: 0, content: "<unk>", special: true }],
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
      ["▁", -9],
    ],
  },
};

const BASES = {
  ...Object.fromEntries(
    [
      "Llama 3, SmolLM3",
      "Qwen 2 and 3",
      "SmolLM2, Granite 3, StarCoder",
      "Phi-4-mini",
      "Llama 2, TinyLlama, Mistral",
      "Llama 2 as newer files have it",
      "Phi-3",
      "Gemma",
    ].map((name) => [name, small(name)] as const),
  ),
  WordPiece: wordPiece,
  Unigram: unigram,
};

/** All that has a type in all files: steps, and the steps within them. */
function steps(value: unknown): object[] {
  if (typeof value !== "object" || value === null) return [];
  const within = Object.values(value).flatMap(steps);
  return "type" in value ? [value, ...within] : within;
}

const published = [
  ...new Set(
    Object.values(families)
      .flatMap(({ file }) => steps({ ...file, model: null, added_tokens: null }))
      .map((step) => JSON.stringify(step)),
  ),
].map((step) => JSON.parse(step));

const values: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(
    -1,
    0,
    0.5,
    1e9,
    2 ** 53,
    "",
    "a",
    "▁",
    "__proto__",
    "\ud800",
    [],
    {},
    [[]],
    true,
    null,
  ),
  fc.constantFrom(
    "<unk>",
    "<s>",
    "<0x41>",
    "Ġ",
    "BPE",
    "Unigram",
    "WordPiece",
    "Sequence",
    "ByteFallback",
    "Strip",
  ),
  fc.constantFrom<unknown>(
    { type: "FixedLength", length: 0 },
    { type: "Split", pattern: { Regex: "(a*)*c" }, behavior: "Isolated", invert: false },
    { type: "Split", pattern: { String: "" }, behavior: "Removed", invert: true },
    { type: "Replace", pattern: { String: "a" }, content: "$`$`$`" },
    {
      type: "Sequence",
      normalizers: Array(30).fill({ type: "Replace", pattern: { String: "a" }, content: "aa" }),
    },
    {
      type: "Sequence",
      processors: Array(40).fill({ type: "BertProcessing", cls: ["<s>", 1], sep: ["<s>", 1] }),
    },
    { content: "", id: 0, special: true },
  ),
);

const changes = fc.oneof(
  fc.record({ kind: fc.constant("set" as const), at: fc.nat(), value: values }),
  fc.record({
    kind: fc.constant("set" as const),
    at: fc.nat(),
    value: fc.constantFrom<unknown>(...published),
  }),
  fc.record({
    kind: fc.constantFrom("delete" as const, "twice" as const, "reverse" as const, "cut" as const),
    at: fc.nat(),
  }),
  fc.record({
    kind: fc.constant("insert" as const),
    at: fc.nat(),
    value: fc.constantFrom(
      '"__proto__":{"type":"BPE"},',
      '"constructor":0,',
      "9",
      "-",
      '"',
      "[",
      "{",
      "\\ud800",
    ),
  }),
);

type Change = typeof changes extends fc.Arbitrary<infer Value> ? Value : never;

/** Every place in a JSON value, as the keys that lead to it; of a vocabulary or a list of merges the first few. */
function places(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [[...path]];
  const within = Object.entries(value).slice(0, 14);
  return [[...path], ...within.flatMap(([key, member]) => places(member, [...path, key]))];
}

function changed(base: string, change: Change): string {
  if (change.kind === "cut") return base.slice(0, change.at % base.length);
  if (change.kind === "insert") {
    // Mostly inside the first part of the file, where its structure is.
    const at = change.at % Math.min(base.length, 1500);
    const key = /[{,]/.exec(base.slice(at));
    const place = change.value.endsWith(",") && key !== null ? at + key.index + 1 : at;
    return base.slice(0, place) + change.value + base.slice(place);
  }
  const copy = JSON.parse(base);
  const all = places(copy).slice(1);
  const path = all[change.at % all.length];
  const last = path.at(-1)!;
  const parent = path.slice(0, -1).reduce((object, key) => object[key], copy);
  if (change.kind === "set") parent[last] = change.value;
  else if (change.kind === "delete") delete parent[last];
  else if (Array.isArray(parent[last])) {
    parent[last] = change.kind === "twice" ? [...parent[last], ...parent[last]] : parent[last].toReversed();
  } else if (change.kind === "twice") parent[`${last}2`] = parent[last];
  return JSON.stringify(copy);
}

function use(tokenizer: Tokenizer | null, vocabSize: number): void {
  if (tokenizer === null) return;
  const stream = tokenizer.stream();
  const ids = Array.from({ length: vocabSize }, (_, id) => id);
  expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe(tokenizer.decode(ids));
  for (const id of ids) tokenizer.tokenText(id);
  for (const parseSpecial of [false, true]) {
    for (const text of ["Once <|end|> upon é 12½ </s> ballaaaaaaaaaaaaaaaaaaaa", " ", "世🙂\u0000"]) {
      const some = tokenizer.encode(text, { parseSpecial });
      for (const id of some) expect(Number.isInteger(id) && id >= 0 && id < vocabSize).toBe(true);
    }
  }
}

test.each(Object.entries(BASES))("%s", async (_, json) => {
  const base = JSON.stringify(json);
  const vocabSize = Array.isArray(json.model.vocab) ? json.model.vocab.length : vocabSizeOf(json);
  const keys = Object.getOwnPropertyNames(Object.prototype);
  let usable = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(changes, { minLength: 1, maxLength: 2 }), async ([change, next]) => {
      let text = changed(base, change);
      if (next !== undefined && change.kind !== "cut" && change.kind !== "insert") text = changed(text, next);
      const files = memoryFiles("m", {
        "tokenizer.json": text,
        "tokenizer_config.json": '{"tokenizer_class":"PreTrainedTokenizerFast"}',
      });
      try {
        use(await loadTokenizer(files, vocabSize), vocabSize);
        usable++;
      } catch (error) {
        expect(error).toMatchObject({
          name: "LastrowError",
          code: expect.stringMatching(/^(tokenizer_invalid|model_unsupported|token_out_of_range)$/),
          // One sentence on one line, with nothing of the file but what is quoted.
          message: expect.stringMatching(/^(tokenizer\.json |The text uses )[^\p{Cc}]{1,400}\.$/u),
        });
      }
      expect(files.openFiles).toEqual([]);
    }),
    { numRuns: 150 },
  );
  expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(keys);
  // Some changes leave a tokenizer that works.
  expect(usable).toBeGreaterThan(0);
});
