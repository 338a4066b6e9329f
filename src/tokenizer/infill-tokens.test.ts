/** How each family is asked for a middle: its tokens, their order, and that no text becomes one of them. */
import { describe, expect, test } from "vitest";
import { ggufValue as value } from "../../scripts/gguf-writer.js";
import { type TokenizerJson, tokenizerJson, vocabSizeOf } from "../../test/family-tokenizers.js";
import { ggufVocabulary, metadataOf } from "../../test/gguf-vocabulary.js";
import { memoryFiles } from "../../test/memory-files.js";
import { ggufTokenizerFiles } from "./gguf-tokenizer.js";
import { loadTokenizer } from "./load-tokenizer.js";
import { tokenizerOf } from "./make-tokenizer.js";
import type { Tokenizer } from "./tokenizer.js";

const BYTES = "Qwen 2 and 3";
const PIECES = "Llama 2, TinyLlama, Mistral";

/** A family's vocabulary with more tokens, from 900 on. */
function withTokens(family: string, tokens: readonly string[], special: boolean): TokenizerJson {
  const json = tokenizerJson(family);
  const flags = { normalized: false, lstrip: false, rstrip: false, single_word: false };
  json.added_tokens.push(...tokens.map((content, i) => ({ id: 900 + i, content, special, ...flags })));
  return json;
}

async function tokenizerWith(json: TokenizerJson, vocabSize = vocabSizeOf(json)): Promise<Tokenizer> {
  const files = memoryFiles("infill", {
    "tokenizer.json": JSON.stringify(json),
    "tokenizer_config.json": '{"tokenizer_class":"PreTrainedTokenizerFast"}',
  });
  return (await loadTokenizer(files, vocabSize))!;
}

const BEFORE = "def f(a):\n    ";
const AFTER = "\nreturn a\n";

/** The tokens' names, in the order of the ids that they get; the prompt, with B and A for the two texts; what ends a middle. */
const FORMS: readonly [
  name: string,
  family: string,
  tokens: string[],
  prompt: (number | "B" | "A")[],
  ends: number[],
][] = [
  [
    ...(["Qwen's coders", BYTES] as const),
    [
      "<|fim_prefix|>",
      "<|fim_middle|>",
      "<|fim_suffix|>",
      "<|fim_pad|>",
      "<|repo_name|>",
      "<|file_sep|>",
      "<|im_end|>",
    ],
    [900, "B", 902, "A", 901],
    [900, 901, 902, 903, 904, 905, 906],
  ],
  [
    ...(["StarCoder", BYTES] as const),
    ["<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<|endoftext|>"],
    [900, "B", 902, "A", 901],
    [900, 901, 902, 903, 904],
  ],
  [
    ...(["SantaCoder", BYTES] as const),
    ["<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>"],
    [900, "B", 902, "A", 901],
    [900, 901, 902, 903],
  ],
  [
    ...(["CodeLlama", PIECES] as const),
    ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"],
    [900, "B", 901, "A", 902],
    [900, 901, 902, 903],
  ],
  [
    ...(["DeepSeek", BYTES] as const),
    ["<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>", "<|EOT|>"],
    [901, "B", 900, "A", 902],
    [900, 901, 902, 903],
  ],
  [
    ...(["Codestral", PIECES] as const),
    ["[PREFIX]", "[MIDDLE]", "[SUFFIX]"],
    [902, "A", 900, "B"],
    [900, 901, 902],
  ],
];

describe.each(FORMS)("%s", (_, family, tokens, prompt, ends) => {
  // Some families have them as special tokens, some as text.
  test.each([true, false])("special: %s", async (special) => {
    const tokenizer = await tokenizerWith(withTokens(family, tokens, special));
    const plain = { addSpecialTokens: false };
    const start = tokenizer.encode("");
    const expected = (before: number[], after: number[]) => [
      ...start,
      ...prompt.flatMap((part) => (part === "B" ? before : part === "A" ? after : [part])),
    ];
    // Nothing is in front of it, not even where a step of the file always puts a space there.
    const after = tokenizer.encode(AFTER, { ...plain, continues: true }).slice(family === PIECES ? 1 : 0);
    expect(tokenizer.decode(after, { skipSpecialTokens: false })).toBe(AFTER);
    expect(tokenizer.encodeInfill(BEFORE, AFTER)).toEqual(expected(tokenizer.encode(BEFORE, plain), after));
    expect(tokenizer.encodeInfill("", AFTER)).toEqual(expected([], after));
    expect([...tokenizer.infillTokens!.ends].sort()).toEqual(ends);

    // What is written of the tokens is text, and comes back as it was.
    const written = tokens.join(" x ").replaceAll("▁", " ");
    const ids = tokenizer.encodeInfill(written, written);
    const inTexts = ids.slice(start.length).filter((id) => ends.includes(id));
    expect(inTexts).toEqual(prompt.filter((part) => typeof part === "number"));
    const parts = tokenizer
      .encodeInfill(written, "x")
      .slice(start.length)
      .filter((id) => !ends.includes(id));
    expect(tokenizer.decode(parts)).toContain(written.trim());
  });
});

test("the middle goes on the text before it, and keeps its space", async () => {
  const llama = await tokenizerWith(withTokens(PIECES, ["▁<PRE>", "▁<SUF>", "▁<MID>"], true));
  // As the model writes it: its first token is "▁the".
  const middle = llama.encode("the", { addSpecialTokens: false });
  expect(llama.decode(middle)).toBe("the");
  const asked = llama.encodeInfill("in", " end");
  const stream = llama.stream({ continues: llama.continues(asked) });
  expect(middle.map((id) => stream.push(id)).join("") + stream.flush()).toBe(" the");
  expect(llama.continues([900])).toBe(false);
});

test("a text does not reach them through the vocabulary's own merges either", async () => {
  const json = withTokens(PIECES, ["▁<PRE>", "▁<SUF>", "▁<MID>"], false);
  const { vocab, merges } = json.model;
  let piece = "▁";
  let next = 950;
  for (const character of "<PRE>") {
    if (vocab[character] === undefined) vocab[character] = next++;
    merges.unshift([piece, character]);
    piece += character;
    vocab[piece] ??= piece === "▁<PRE>" ? 900 : next++;
  }
  json.model.merges = merges;
  const tokenizer = await tokenizerWith(json);
  const ids = tokenizer.encodeInfill("a <PRE> b", "<PRE> c <PRE>");
  expect(ids.filter((id) => id === 900)).toEqual([900]);
});

test("a text of a pieces' vocabulary begins with a space before, and with none behind", async () => {
  const tokenizer = await tokenizerWith(withTokens(PIECES, ["[PREFIX]", "[SUFFIX]"], true));
  const spelled = tokenizer.encodeInfill("a", "b").map((id) => tokenizer.tokenText(id));
  expect(spelled).toEqual(["<s>", "[SUFFIX]", "b", "[PREFIX]", " ", "a"]);
});

test.each([
  [
    [],
    /^There is no way .*: the tokenizer has no tokens for that, such as <\|fim_prefix\|>, <\|fim_suffix\|> and <\|fim_middle\|>\.$/,
  ],
  [["<fim_prefix>"], /has <fim_prefix>, but not <fim_suffix> and <fim_middle>\.$/],
  [
    ["<|fim_prefix|>", "<|fim_suffix|>", "<fim_prefix>"],
    /has <\|fim_prefix\|> and <\|fim_suffix\|>, but not <\|fim_middle\|>\.$/,
  ],
  [["[SUFFIX]"], /has \[SUFFIX\], but not \[PREFIX\]\.$/],
])("refuses where only %j are there", async (tokens, message) => {
  const tokenizer = await tokenizerWith(withTokens(BYTES, tokens, true));
  expect(tokenizer.infillTokens).toBeNull();
  expect(() => tokenizer.encodeInfill("a", "b")).toThrow(message);
});

test("tokens that the model cannot take are not there", async () => {
  const json = withTokens(BYTES, ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"], true);
  expect((await tokenizerWith(json, 903)).infillTokens?.ends).toEqual([900, 901, 902]);
  expect((await tokenizerWith(json, 902)).missingInfill).toBe(
    "has <fim_prefix> and <fim_suffix>, but not <fim_middle>",
  );
});

test("of several forms the first that is whole", async () => {
  const tokens = ["<|fim_prefix|>", "<|fim_suffix|>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>"];
  const { infillTokens } = await tokenizerWith(withTokens(BYTES, tokens, true));
  expect(infillTokens).toEqual({ prefix: 902, suffix: 903, middle: 904, ends: [902, 903, 904] });
});

describe("GGUF", () => {
  const gguf = (tokens: readonly string[], roles: Readonly<Record<string, number>>) => {
    const json = withTokens(BYTES, tokens, true);
    const keys = Object.fromEntries(
      Object.entries(roles).map(([role, id]) => [`tokenizer.ggml.${role}_token_id`, value.u32(id)]),
    );
    const metadata = metadataOf(ggufVocabulary(json, { architecture: "qwen2", pre: "qwen2", keys }));
    return tokenizerOf(ggufTokenizerFiles(metadata).files!, vocabSizeOf(json));
  };

  test.each([
    [{ fim_pre: 902, fim_suf: 900, fim_mid: 901, fim_pad: 903 }, [900, 901, 902, 903]],
    [{ prefix: 902, suffix: 900, middle: 901, fim_sep: 903 }, [900, 901, 902, 903]],
    [{ fim_pre: 902, prefix: 1, fim_suf: 900, suffix: 1, fim_mid: 901, middle: 1 }, [900, 901, 902]],
  ])("the keys %j name tokens of any name", (roles, ends) => {
    const tokenizer = gguf(["<|one|>", "<|two|>", "<|three|>", "<|four|>"], roles);
    const { infillTokens } = tokenizerOf(tokenizer.portable()!, tokenizer.vocabSize);
    expect({ ...infillTokens, ends: [...infillTokens!.ends].sort() }).toEqual({
      ...{ prefix: 902, suffix: 900, middle: 901, ends },
    });
    const text = tokenizer.encode("x");
    expect(tokenizer.encodeInfill("x", "x")).toEqual([902, ...text, 900, ...text, 901]);
  });

  test("known tokens keep their order, and need no keys; ids that are no tokens' count for nothing", () => {
    const mistral = ["[PREFIX]", "[SUFFIX]", "[MIDDLE]"];
    const tokens = { prefix: 900, suffix: 901, middle: null, ends: [900, 901, 902] };
    expect(gguf(mistral, { fim_pre: 900, fim_suf: 901, fim_mid: 902 }).infillTokens).toEqual(tokens);
    expect(gguf(mistral, {}).infillTokens).toEqual(tokens);
    expect(gguf(mistral, { fim_pre: 99_999 }).infillTokens).toEqual(tokens);
  });
});
