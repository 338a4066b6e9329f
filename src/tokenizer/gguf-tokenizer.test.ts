/**
 * Tokenizers of the metadata of GGUF files, against those of the `tokenizer.json` files that the metadata was made of: the same
 * ids of any text, the same texts of any ids.
 */
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { ggufValue as value } from "../../scripts/gguf-writer.js";
import { type TokenizerJson, texts, tokenizerJson, vocabSizeOf } from "../../test/family-tokenizers.js";
import { type GgufVocabularyOptions, ggufVocabulary, metadataOf } from "../../test/gguf-vocabulary.js";
import { memoryFiles } from "../../test/memory-files.js";
import { type GgufTokenizer, ggufTokenizerFiles } from "./gguf-tokenizer.js";
import { loadTokenizer } from "./load-tokenizer.js";
import { tokenizerOf } from "./make-tokenizer.js";
import type { Tokenizer } from "./tokenizer.js";

/** What a `tokenizer.json` of the same vocabulary says, made of it the slow way. */
async function fromJson(json: TokenizerJson): Promise<Tokenizer> {
  const files = memoryFiles("json", {
    "tokenizer.json": JSON.stringify(json),
    "tokenizer_config.json": '{"tokenizer_class":"PreTrainedTokenizerFast"}',
  });
  return (await loadTokenizer(files, vocabSizeOf(json)))!;
}

function fromGguf(json: TokenizerJson, options: GgufVocabularyOptions): Tokenizer {
  const { files } = ggufTokenizerFiles(metadataOf(ggufVocabulary(json, options)));
  return tokenizerOf(files!, vocabSizeOf(json));
}

/**
 * A SentencePiece family with the merges that its pieces imply, as Hugging Face makes them: every way to every piece, the best
 * piece first. Gemma's runs of spaces go before all.
 */
function withImpliedMerges(name: string): TokenizerJson {
  const json = tokenizerJson(name);
  const { vocab, merges } = json.model;
  const added = new Set(json.added_tokens.map(({ content }: { content: string }) => content));
  const isRun = (piece: string) => /^▁+$/.test(piece);
  const isPart = (piece: string) =>
    Object.hasOwn(vocab, piece) && !/^<0x..>$/.test(piece) && (!added.has(piece) || isRun(piece));
  const rankOf = new Map<string, number>(
    merges.map((pair: [string, string], rank: number) => [pair.join(""), rank]),
  );
  const isGemma = name === "Gemma";
  const rank = (piece: string) => (isGemma ? vocab[piece] : (rankOf.get(piece) ?? rankOf.size));
  const ways = (piece: string) =>
    Array.from({ length: piece.length - 1 }, (_, i) => [piece.slice(0, i + 1), piece.slice(i + 1)])
      .filter(([left, right]) => isPart(left) && isPart(right))
      .sort((a, b) => vocab[a[0]] - vocab[b[0]] || vocab[a[1]] - vocab[b[1]]);
  const pieces = Object.keys(vocab)
    .filter((piece) => isPart(piece) && piece.length > 1)
    .sort((a, b) => rank(a) - rank(b) || vocab[a] - vocab[b]);
  const runs = pieces.filter((piece) => isGemma && isRun(piece)).flatMap(ways);
  runs.sort((a, b) => b[0].length - a[0].length || b[1].length - a[1].length);
  json.model.merges = [...runs, ...pieces.filter((piece) => !(isGemma && isRun(piece))).flatMap(ways)];
  return json;
}

const someText = fc
  .array(
    fc.oneof(
      fc.constantFrom(...texts, "<s>", "</s>", " <|user|> ", "<|end|>\n", "<unk>", "<think>", "<0x0A>"),
      fc.constantFrom(
        " ",
        "  ",
        "   ",
        "\n\n",
        "\t",
        "1234567",
        "½",
        "ខ្មែរ",
        "👩‍👩‍👧",
        "e\u0301",
        "don'T",
        "▁",
      ),
      fc.constantFrom(...texts.join("")),
      fc.string({ unit: "grapheme", maxLength: 3 }),
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((parts) => parts.join(""));

const OWN = { bos: 324, eos: 758 };
const families: [name: string, options: GgufVocabularyOptions][] = [
  one("GPT-2", "gpt-2", "gpt2", { bos: 296, eos: 296 }),
  one("Llama 3, SmolLM3", "llama-bpe"),
  ["Llama 3, SmolLM3", { ...one("", "smaug-bpe", "smollm3")[1], keys: flags(true) }],
  one("SmolLM2, Granite 3, StarCoder", "smollm"),
  one("Qwen 2 and 3", "qwen2", "qwen3"),
  one("Qwen 3.5", "qwen35", "qwen35"),
  one("OLMo 2, Granite 4", "dbrx", "olmo2"),
  one("Phi-4-mini", "gpt-4o", "phi3"),
  one("Mistral Nemo", "tekken"),
  one("Pythia, StableLM", "olmo", "gptneox", { eos: 296 }),
  one("Llama 2, TinyLlama, Mistral", "default", "llama", {}),
  ["Phi-3", { ...one("", "default", "phi3")[1], roles: { bos: 1, unknown: 0 }, keys: flags(false) }],
  [
    "Gemma",
    {
      ...{ architecture: "gemma3", pre: "default", roles: { bos: 1, eos: 2, unknown: 0 } },
      keys: { "tokenizer.ggml.add_space_prefix": value.flag(false) },
    },
  ],
];

function one(
  name: string,
  pre: string,
  architecture = "llama",
  roles: Record<string, number> = OWN,
): [string, GgufVocabularyOptions] {
  return [name, { architecture, pre, roles }];
}

function flags(addsStart: boolean) {
  return { "tokenizer.ggml.add_bos_token": value.flag(addsStart) };
}

describe.each(families)("%s as %j", (name, options) => {
  let original: Tokenizer;
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    const isPieces = tokenizerJson(name).model.byte_fallback;
    const json = isPieces ? withImpliedMerges(name) : tokenizerJson(name);
    original = await fromJson(json);
    tokenizer = fromGguf(json, options);
  });

  test("the same ids of any text", () => {
    const check = (text: string) => {
      for (const parseSpecial of [false, true]) {
        const ids = tokenizer.encode(text, { parseSpecial });
        expect([text, parseSpecial, ids]).toEqual([
          text,
          parseSpecial,
          original.encode(text, { parseSpecial }),
        ]);
      }
    };
    for (const text of texts) check(text);
    fc.assert(fc.property(someText, check), { numRuns: 25 });
  });

  test("the same texts of any ids, as a whole and as they arrive", () => {
    const id = fc.nat({ max: original.vocabSize - 1 });
    const added = tokenizer.specialTokens.map((token) => token.id);
    const ids = fc.array(fc.oneof(id, fc.nat({ max: 260 }), fc.constantFrom(...added)));
    fc.assert(
      fc.property(ids, fc.boolean(), (some, skipSpecialTokens) => {
        const text = original.decode(some, { skipSpecialTokens });
        expect(tokenizer.decode(some, { skipSpecialTokens })).toBe(text);
        const stream = tokenizer.stream({ skipSpecialTokens });
        expect(some.map((one) => stream.push(one)).join("") + stream.flush()).toBe(text);
      }),
      { numRuns: 25 },
    );
  });

  test("another of its plain data is the same", () => {
    const again = tokenizerOf(structuredClone(tokenizer.portable()!), tokenizer.vocabSize);
    for (const text of texts) expect(again.encode(text)).toEqual(tokenizer.encode(text));
    expect(again.specialTokens).toEqual(tokenizer.specialTokens);
  });
});

describe("what a file says, and what it leaves out", () => {
  const json = tokenizerJson("Qwen 2 and 3");
  const pieces = tokenizerJson("Llama 2, TinyLlama, Mistral");
  const ggml = (keys: GgufVocabularyOptions["keys"], roles = {}) =>
    ggufTokenizerFiles(
      metadataOf(ggufVocabulary(json, { architecture: "qwen2", pre: "qwen2", roles, keys: keys ?? {} })),
    );
  const tokenizerFrom = ({ files }: GgufTokenizer) => tokenizerOf(files!, vocabSizeOf(json));

  test("no tokenizer", () => {
    const none = { files: null, eosTokenIds: [], numTokens: 0, notice: null };
    expect(ggufTokenizerFiles(metadataOf(new Map()))).toEqual(none);
    for (const model of ["none", "no_vocab"]) {
      expect(ggufTokenizerFiles(metadataOf(new Map([["tokenizer.ggml.model", value.text(model)]])))).toEqual(
        none,
      );
    }
  });

  test("end tokens are eos, eot and eom, each once", () => {
    expect(ggml({}, { eos: 758, eot: 296, eom: 758 }).eosTokenIds).toEqual([758, 296]);
    expect(ggml({}, { eot: 296 }).eosTokenIds).toEqual([296]);
    expect(ggml({}).eosTokenIds).toEqual([]);
    expect(tokenizerFrom(ggml({}, { eos: 758, eot: 296 })).eosTokenId).toBe(758);
  });

  test("ids outside of the vocabulary are none, as converters have written them", () => {
    const roles = { eos: 760, eot: 2 ** 32 - 1, padding: 99_999, bos: 324 };
    const { files, eosTokenIds } = ggml({}, roles);
    expect(eosTokenIds).toEqual([]);
    expect(files!.namedTokens).toEqual({ bos_token: "<s>" });
  });

  test("named tokens, for templates", () => {
    const { files } = ggml({}, { bos: 324, eos: 758, unknown: 296, padding: 328, eot: 655 });
    expect(files!.namedTokens).toEqual({
      ...{ bos_token: "<s>", eos_token: "</s>", unk_token: "<|end|>", pad_token: "<|user|>" },
    });
  });

  test.each<[string, GgufVocabularyOptions["keys"], string, number[]]>([
    ["qwen2 has no start token by itself", {}, "qwen2", []],
    ["llama-bpe has one", {}, "llama-bpe", [324]],
    ["unless the file says otherwise", flags(false), "llama-bpe", []],
    ["the file's word", flags(true), "qwen2", [324]],
    ["both ends", { ...flags(true), "tokenizer.ggml.add_eos_token": value.flag(true) }, "qwen2", [324, 758]],
    ["an integer for a truth value", { "tokenizer.ggml.add_bos_token": value.u8(1) }, "qwen2", [324]],
  ])("%s", (_, keys, pre, around) => {
    const { files } = ggufTokenizerFiles(
      metadataOf(ggufVocabulary(json, { architecture: "llama", pre, roles: OWN, keys: keys ?? {} })),
    );
    expect(tokenizerOf(files!, 800).encode("")).toEqual(around);
  });

  test("a llama vocabulary has a start token and a space in front unless it says otherwise", () => {
    const make = (keys: GgufVocabularyOptions["keys"]) =>
      fromGguf(pieces, { architecture: "llama", pre: null, keys: keys ?? {} });
    const usual = make({});
    expect(usual.encode("")).toEqual([1]);
    expect(usual.encode("a")).toEqual(
      usual.encode(" a").filter((_, i) => i !== 1).length > 0 ? usual.encode("a") : [],
    );
    const plain = make({ ...flags(false), "tokenizer.ggml.add_space_prefix": value.flag(false) });
    expect(plain.encode("")).toEqual([]);
    const options = { addSpecialTokens: false };
    expect(usual.encode("a", options)).toEqual(plain.encode(" a", options));
    expect(usual.decode(usual.encode("a b", options))).toBe("a b");
    expect(plain.decode(plain.encode(" a b", options))).toBe(" a b");
    expect(plain.encode("a", options)).not.toEqual(usual.encode("a", options));
  });

  test("a start token that is only usual is left out where there is none", () => {
    expect(fromGguf(json, { architecture: "llama", pre: "llama-bpe" }).encode("")).toEqual([]);
  });

  test("tokens without a text, unused ones and those of no type stand for nothing", () => {
    const values = ggufVocabulary(json, { architecture: "qwen2", pre: "qwen2", vocabSize: 764 });
    const metadata = metadataOf(values);
    const tokens = [...metadata.texts("tokenizer.ggml.tokens")!];
    const types = metadata.wholeNumbers("tokenizer.ggml.token_type", { from: 0, to: 6 })!;
    expect(tokens.slice(760)).toEqual(["[PAD760]", "[PAD761]", "[PAD762]", "[PAD763]"]);
    expect(types.slice(760)).toEqual([5, 5, 5, 5]);
    // Alike, empty, of no type: none of them is a token.
    [tokens[761], tokens[762], types[762], types[763]] = ["[PAD760]", "", 1, 0];
    values.set("tokenizer.ggml.tokens", value.texts(tokens));
    values.set("tokenizer.ggml.token_type", value.i32s(types));
    const tokenizer = tokenizerOf(ggufTokenizerFiles(metadataOf(values)).files!, 764);
    const options = { skipSpecialTokens: false };
    for (const id of [760, 761, 762, 763]) expect(tokenizer.decode([id], options)).toBe("");
    const padded = tokenizer.encode("[PAD760]", { parseSpecial: true });
    expect(padded.length).toBeGreaterThan(1);
  });

  test("without types, what has a role and is written like it is special", () => {
    const values = ggufVocabulary(json, {
      ...{ architecture: "qwen2", pre: "qwen2" },
      // 0 is "!", which a careless converter names as padding.
      roles: { eos: 758, eot: 655, padding: 0 },
    });
    values.delete("tokenizer.ggml.token_type");
    const tokenizer = tokenizerFrom(ggufTokenizerFiles(metadataOf(values)));
    expect(tokenizer.specialTokens.map(({ content }) => content).sort()).toEqual(["</s>", "<|assistant|>"]);
    expect(tokenizer.decode(tokenizer.encode("Hi!"))).toBe("Hi!");
  });

  test("an end token that the file has as user-defined cannot be written by people", () => {
    const { files } = ggufTokenizerFiles(
      metadataOf(ggufVocabulary(json, { architecture: "qwen2", pre: "qwen2", roles: { eot: 643 } })),
    );
    const tokenizer = tokenizerOf(files!, 800);
    expect(tokenizer.isSpecial(643)).toBe(true);
    expect(tokenizer.encode("<think>")).not.toContain(643);
    // And the one beside it, which is only user-defined, can.
    expect(tokenizer.encode("</think>")).toEqual([619]);
  });

  test("control tokens that old converters stored as user-defined, or as texts like others, are special", () => {
    const values = ggufVocabulary(json, { architecture: "qwen2", pre: "qwen2", vocabSize: 761 });
    const tokens = [...metadataOf(values).texts("tokenizer.ggml.tokens")!];
    const types = metadataOf(values).wholeNumbers("tokenizer.ggml.token_type", { from: 0, to: 6 })!;
    [types[328], tokens[760], types[760]] = [4, "<end_of_turn>", 1];
    values.set("tokenizer.ggml.tokens", value.texts(tokens));
    values.set("tokenizer.ggml.token_type", value.i32s(types));
    const tokenizer = tokenizerOf(ggufTokenizerFiles(metadataOf(values)).files!, 761);
    expect([328, 760, 759].map((id) => tokenizer.isSpecial(id))).toEqual([true, true, false]);
    const plain = tokenizer.encode("<|user|>Hi<end_of_turn><tool>");
    expect([328, 760, 759].map((id) => plain.includes(id))).toEqual([false, false, true]);
    const parsed = tokenizer.encode("<|user|>Hi<end_of_turn>", { parseSpecial: true });
    expect([parsed[0], parsed.at(-1)]).toEqual([328, 760]);
  });

  test("a character that is no token by itself is reached through its byte", () => {
    const copy = structuredClone(pieces);
    const tab = copy.model.vocab["<0x09>"];
    delete copy.model.vocab["\t"];
    copy.model.vocab["\t\t"] = vocabSizeOf(copy);
    copy.model.merges = [];
    const tokenizer = fromGguf(copy, { architecture: "llama", pre: null });
    const options = { addSpecialTokens: false };
    expect(tokenizer.encode("\t\t\t", options).slice(-2)).toEqual([copy.model.vocab["\t\t"], tab]);
    expect(tokenizer.decode(tokenizer.encode("\t\t\t a", options))).toBe("\t\t\t a");
    expect(tokenizer.encode("<0x09>", options)).not.toContain(tab);
  });

  test("merges of a llama vocabulary: the best token first, of equal ones that with the lower id; halves by their ids", () => {
    const tokens = ["aa", "a", "aaa", "b", "ab", "aab"];
    const merges = (scores: readonly number[]) => {
      const values = new Map([
        ["tokenizer.ggml.model", value.text("llama")],
        ["tokenizer.ggml.tokens", value.texts(tokens)],
        ["tokenizer.ggml.scores", value.f32s(scores)],
      ]);
      const { left, right, merged } = (
        ggufTokenizerFiles(metadataOf(values)).files!.json.model as TokenizerJson
      ).merges;
      return Array.from(merged as Int32Array, (id, i) =>
        [left[i], right[i], id].map((one) => tokens[one]).join(" "),
      );
    };
    const [aa, aaa, ab, aab] = [["a a aa"], ["aa a aaa", "a aa aaa"], ["a b ab"], ["aa b aab", "a ab aab"]];
    expect(merges([0, 0, 0, 0, 0, 0])).toEqual([...aa, ...aaa, ...ab, ...aab]);
    expect(merges([-1, 0, -3, 0, -3, -0.5])).toEqual([...aab, ...aa, ...aaa, ...ab]);
  });

  test("merges that a llama vocabulary has go before what its scores say, unless they are of no tokens", () => {
    const original = tokenizerJson("Llama 2, TinyLlama, Mistral");
    const { merges } = original.model;
    const written = (list: readonly string[]) =>
      fromGguf(original, {
        ...{ architecture: "llama", pre: null },
        keys: {
          "tokenizer.ggml.merges": value.texts(list),
          "tokenizer.ggml.scores": value.f32s(new Float32Array(vocabSizeOf(original))),
        },
      });
    const pairs = merges.map((pair: [string, string]) => pair.join(" "));
    const mergesOf = (of: Tokenizer) => (of.portable()!.json.model as TokenizerJson).merges.merged.length;
    expect(mergesOf(written(pairs))).toBe(pairs.length);
    expect(mergesOf(written([...pairs, "zqx a"]))).toBeGreaterThan(pairs.length + 1);
    const reference = tokenizerOf({ ...written(pairs).portable()!, json: original }, vocabSizeOf(original));
    for (const text of texts) expect(written(pairs).encode(text)).toEqual(reference.encode(text));
  });

  describe("a guess is said", () => {
    const noticeOf = (architecture: string, pre: string | null, vocabSize = 760) =>
      ggufTokenizerFiles(metadataOf(ggufVocabulary(json, { architecture, pre, vocabSize }))).notice;

    test.each([
      ["qwen2", 760, "qwen2"],
      ["qwen3", 760, "qwen2"],
      ["gpt2", 760, "gpt-2"],
      ["gptneox", 760, "olmo"],
      ["llama", 760, "gpt-2"],
      ["llama", 128_256, "llama-bpe"],
      ["smollm3", 128_256, "smaug-bpe"],
      ["granite", 49_155, "refact"],
      ["granite", 100_352, "dbrx"],
      ["olmo2", 100_352, "dbrx"],
      ["stablelm", 50_304, "olmo"],
      ["stablelm", 100_352, "stablelm2"],
      ["phi3", 200_064, "gpt-4o"],
      ["constructor", 760, "gpt-2"],
    ])("%s with %d tokens: %s", (architecture, vocabSize, guess) => {
      expect(noticeOf(architecture, null, vocabSize)).toBe(
        `model.gguf does not say how it cuts a text into words (tokenizer.ggml.pre); "${guess}" is assumed. If that is wrong, its answers are worse than they could be.`,
      );
    });

    test("an unknown name", () => {
      expect(noticeOf("qwen2", "new\u001b[31m")).toBe(
        'model.gguf names "new\\u001b[31m" as how it cuts a text into words (tokenizer.ggml.pre), which is not known here; "qwen2" is assumed. If that is wrong, its answers are worse than they could be.',
      );
      expect(noticeOf("qwen2", "toString")).toContain("is assumed");
    });

    test("llama.cpp's default, which no model has", () => {
      expect(noticeOf("llama", "default")).toContain('names "default"');
    });

    test("nothing is said of what is known", () => {
      expect(noticeOf("llama", "llama-bpe")).toBeNull();
      expect(
        ggufTokenizerFiles(metadataOf(ggufVocabulary(pieces, { architecture: "llama", pre: null }))).notice,
      ).toBeNull();
    });
  });
});
