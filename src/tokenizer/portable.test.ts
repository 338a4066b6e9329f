/** A tokenizer that is made in another thread of another's plain data is the same, of each kind. */
import { describe, expect, test } from "vitest";
import { families, familyTokenizer, texts } from "../../test/family-tokenizers.js";
import { modelFolders } from "../../test/fixture-models.js";
import { memoryFiles } from "../../test/memory-files.js";
import { folderFiles } from "../platform/disk-files.js";
import { loadTokenizer } from "./load-tokenizer.js";
import { tokenizerOf } from "./make-tokenizer.js";
import type { Tokenizer } from "./tokenizer.js";

const kinds = {
  WordPiece: {
    added_tokens: [{ id: 4, content: "[SEP]", special: true }],
    pre_tokenizer: { type: "WhitespaceSplit" },
    decoder: { type: "WordPiece", prefix: "##" },
    model: { type: "WordPiece", vocab: { "[UNK]": 0, play: 1, "##ing": 2, ball: 3, "[SEP]": 4 } },
  },
  Unigram: {
    added_tokens: [{ id: 0, content: "<unk>", special: true }],
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
    model: {
      ...{ type: "Unigram", unk_id: 0 },
      vocab: [
        ["<unk>", 0],
        ["▁play", -1],
        ["ing", -2],
        ["▁ball", -3],
      ],
    },
  },
};

function expectSame(tokenizer: Tokenizer, more: readonly string[] = []): void {
  const { vocabSize } = tokenizer;
  // As a thread is given it; and once more from there.
  const copy = tokenizerOf(structuredClone(tokenizer.portable()!), vocabSize);
  const second = tokenizerOf(structuredClone(copy.portable()!), vocabSize);
  for (const other of [copy, second]) {
    expect(other.specialTokens).toEqual(tokenizer.specialTokens);
    expect(other.namedTokens).toEqual(tokenizer.namedTokens);
    expect([other.bosTokenId, other.eosTokenId]).toEqual([tokenizer.bosTokenId, tokenizer.eosTokenId]);
    const ids = Array.from({ length: vocabSize }, (_, id) => id);
    expect(ids.map((id) => other.tokenText(id))).toEqual(ids.map((id) => tokenizer.tokenText(id)));
    for (const text of [...texts, ...more]) {
      for (const parseSpecial of [false, true]) {
        expect(other.encode(text, { parseSpecial })).toEqual(tokenizer.encode(text, { parseSpecial }));
      }
    }
  }
}

test.each(Object.keys(families))("%s", async (name) => expectSame(await familyTokenizer(name)));

test("of the embedded model", async () => {
  const stories = folderFiles("stories", modelFolders.stories);
  expectSame((await loadTokenizer(stories, 4096))!, ["Once upon a time", "<|endoftext|>"]);
});

describe.each(Object.entries(kinds))("%s", (_, json) => {
  test("as well", async () => {
    const files = memoryFiles("m", { "tokenizer.json": JSON.stringify(json) });
    expectSame((await loadTokenizer(files, 5))!, ["playing ball", "[SEP] ball"]);
  });
});

test("has no texts of merges, which would be half of it", async () => {
  const [name] = Object.keys(families);
  const { model } = (await familyTokenizer(name)).portable()!.json as { model: Record<string, unknown> };
  expect(model.vocab).toBeInstanceOf(Map);
  expect((model.merges as { left: unknown }).left).toBeInstanceOf(Int32Array);
});
