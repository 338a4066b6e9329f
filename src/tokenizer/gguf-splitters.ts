/**
 * How the byte-level vocabularies of GGUF files cut a text into words. A file only names it (`tokenizer.ggml.pre`); what a
 * name means is in llama.cpp's `llama-vocab.cpp`, and what its approximations stand for in the `tokenizer.json` of the models
 * that are converted under that name.
 */
import { quoteValue } from "../quote-value.js";
import { WORD_PATTERNS as WORDS } from "./word-patterns.js";

export interface Splitter {
  /** Applied one after the other: each cuts the pieces that the ones before have left. */
  readonly patterns: readonly string[];
  /** Whether these models normalise a text to NFC, which a GGUF file does not say. */
  readonly isNfc: boolean;
  /** Whether a word that is a token is that token, whatever the merges say. */
  readonly ignoresMerges: boolean;
  /** Whether a start token goes before a text where a file does not say it. */
  readonly addsStart: boolean;
}

const PLAIN = { isNfc: false, ignoresMerges: false, addsStart: false };

const GPT2: Splitter = { ...PLAIN, patterns: [WORDS.gpt2] };
const GPT2_NFC: Splitter = { ...GPT2, isNfc: true };
const DIGITS_GPT2: Splitter = { ...PLAIN, patterns: [WORDS.digit, WORDS.gpt2] };
const CL100K: Splitter = { ...PLAIN, patterns: [WORDS.cl100k] };
const LLAMA3: Splitter = { ...CL100K, ignoresMerges: true, addsStart: true };
const QWEN2: Splitter = { ...PLAIN, patterns: [WORDS.qwen2] };
const QWEN2_NFC: Splitter = { ...QWEN2, isNfc: true };
const O200K: Splitter = { ...PLAIN, patterns: [WORDS.o200k] };

/** Names of vocabularies, and how they cut. */
const SPLITTERS: ReadonlyMap<string, Splitter> = new Map<string, Splitter>([
  ...named(["gpt-2", "phi-2", "jais", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de"], GPT2),
  ...named(["gigachat", "a.x-4.0", "mellum", "modern-bert", "exaone4", "trillion", "granite-docling"], GPT2),
  // The vocabulary of GPT-NeoX: Pythia, OLMo, StableLM 3B.
  ...named(["olmo", "mpt"], GPT2_NFC),
  ...named(["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"], DIGITS_GPT2),
  ...named(
    ["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
    LLAMA3,
  ),
  // Llama 3's vocabulary without its start token: SmolLM3, and many conversions of Llama 3.
  ["smaug-bpe", { ...CL100K, ignoresMerges: true }],
  ...named(["dbrx", "glm4", "chatglm-bpe"], CL100K),
  ["minicpm5", { ...CL100K, patterns: [WORDS.upToThreeDigits, WORDS.cl100k], ignoresMerges: true }],
  ["qwen2", QWEN2_NFC],
  ["qwen35", { ...PLAIN, patterns: [WORDS.qwen35], isNfc: true }],
  ...named(["deepseek-r1-qwen", "megrez", "kormo", "f2llmv2", "stablelm2", "hunyuan", "grok-2"], QWEN2),
  ...named(["gpt-4o", "llama4", "kanana2"], O200K),
  ["tekken", { ...PLAIN, patterns: [WORDS.nemo], ignoresMerges: true, addsStart: true }],
  [
    "deepseek-coder",
    {
      ...PLAIN,
      patterns: [
        ...[WORDS.lineEnd, WORDS.spacedLetters, WORDS.spacedPunctuation],
        ...[WORDS.eastAsian, WORDS.digit],
      ],
    },
  ],
  ["falcon", { ...PLAIN, patterns: [WORDS.falconPunctuation, WORDS.gpt2, WORDS.threeDigits] }],
  ["default", { ...PLAIN, patterns: [WORDS.punctuation, WORDS.gpt2, WORDS.digits, WORDS.threeDigits] }],
]);

/** Vocabularies of the architectures, by their least number of tokens, for a file that names none that is known. */
const USUAL: Readonly<Record<string, readonly (readonly [leastTokens: number, name: string])[]>> = {
  llama: [
    [128_000, "llama-bpe"],
    [0, "gpt-2"],
  ],
  stablelm: [
    [100_000, "stablelm2"],
    [0, "olmo"],
  ],
  qwen2: [[0, "qwen2"]],
  qwen3: [[0, "qwen2"]],
  smollm3: [[0, "smaug-bpe"]],
  granite: [
    [100_000, "dbrx"],
    [0, "refact"],
  ],
  olmo2: [[0, "dbrx"]],
  phi3: [[0, "gpt-4o"]],
  gptneox: [[0, "olmo"]],
};

const KEY = "tokenizer.ggml.pre";

export interface VocabularyName {
  readonly fileName: string;
  /** `tokenizer.ggml.pre`; null where there is none. */
  readonly name: string | null;
  readonly architecture: string | null;
  readonly numTokens: number;
}

/** @returns how it cuts, and a sentence for people where that is a guess */
export function splitterOf(vocabulary: VocabularyName): { splitter: Splitter; notice: string | null } {
  const { fileName, name, architecture, numTokens } = vocabulary;
  const known = name === null ? undefined : SPLITTERS.get(name);
  if (known !== undefined) {
    const notice =
      name === "default"
        ? `${fileName} names "default" as its way to cut a text into words (${KEY}), which no model was trained with: its answers may be worse than they could be.`
        : null;
    return { splitter: known, notice };
  }
  const usual = (architecture !== null && Object.hasOwn(USUAL, architecture) && USUAL[architecture]) || [];
  const guess = usual.find(([leastTokens]) => numTokens >= leastTokens)?.[1] ?? "gpt-2";
  const what = "how it cuts a text into words";
  const problem =
    name === null
      ? `${fileName} does not say ${what} (${KEY})`
      : `${fileName} names ${quoteValue(name)} as ${what} (${KEY}), which is not known here`;
  return {
    splitter: SPLITTERS.get(guess)!,
    notice: `${problem}; "${guess}" is assumed. If that is wrong, its answers are worse than they could be.`,
  };
}

function named(names: readonly string[], splitter: Splitter): (readonly [string, Splitter])[] {
  return names.map((name) => [name, splitter]);
}
