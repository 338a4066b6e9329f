/** The pipelines of published families, against the original (Hugging Face's tokenizers in Rust). */
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { families, familyTokenizer, texts, tokenizerJson } from "../../test/family-tokenizers.js";
import type { Tokenizer } from "./tokenizer.js";

/** Whole texts, and parts of them that cut words and tokens. */
const someText = fc
  .array(
    fc.oneof(
      fc.constantFrom(...texts, "<s>", "</s>", " <|user|> ", "<|end|>", "<unk>"),
      fc.constantFrom(...texts.join("")),
      fc.string({ unit: "grapheme", maxLength: 3 }),
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((parts) => parts.join(""));

/** For each of thirty families. */
const RUNS = { numRuns: 40 };

describe.each(Object.entries(families))("%s", (name, { ids, texts: decoded }) => {
  let tokenizer: Tokenizer;
  let anyIds: fc.Arbitrary<number[]>;
  beforeAll(async () => {
    tokenizer = await familyTokenizer(name);
    const added = tokenizerJson(name).added_tokens.map(({ id }: { id: number }) => id);
    const id = fc.nat({ max: tokenizer.vocabSize - 1 });
    // Bytes are the first 260 of either vocabulary.
    anyIds = fc.array(fc.oneof(id, id, fc.nat({ max: 260 }), fc.constantFrom(0, ...added)));
  });

  test("has the original's ids", () => {
    for (const [i, text] of texts.entries()) {
      expect([text, tokenizer.encode(text, { parseSpecial: true })]).toEqual([text, ids[i]]);
    }
  });

  test("has the original's texts", () => {
    for (const [some, text] of decoded) expect([some, tokenizer.decode(some)]).toEqual([some, text]);
  });

  test("streams what it decodes, whatever the ids, in whole characters", () => {
    fc.assert(
      fc.property(anyIds, fc.boolean(), (some, skipSpecialTokens) => {
        const stream = tokenizer.stream({ skipSpecialTokens });
        const pieces = [...some.map((id) => stream.push(id)), stream.flush()];
        expect(pieces.join("")).toBe(tokenizer.decode(some, { skipSpecialTokens }));
        for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u);
      }),
      RUNS,
    );
  });

  test("a text that goes on another is what it is within the whole", () => {
    fc.assert(
      fc.property(someText, anyIds, (prompt, some) => {
        const before = tokenizer.encode(prompt);
        fc.pre(tokenizer.continues(before));
        const stream = tokenizer.stream({ continues: true });
        const text = some.map((id) => stream.push(id)).join("") + stream.flush();
        expect(tokenizer.decode(before) + text).toBe(tokenizer.decode([...before, ...some]));
      }),
      RUNS,
    );
  });

  test("no text has special tokens unless it is asked for, but those of the post-processor, once", () => {
    const unknown = new Set(["<unk>"]);
    const special = new Set(
      tokenizer.specialTokens.filter(({ content }) => !unknown.has(content)).map(({ id }) => id),
    );
    const around = tokenizer.encode("").length;
    fc.assert(
      fc.property(someText, (text) => {
        const plain = tokenizer.encode(text, { addSpecialTokens: false });
        expect(plain.filter((id) => special.has(id))).toEqual([]);
        expect(tokenizer.encode(text).filter((id) => special.has(id))).toHaveLength(around);
      }),
      RUNS,
    );
  });
});
