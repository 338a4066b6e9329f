/** Tokenizers of published families' pipelines on small vocabularies of this project (`fixtures/tokenizers/README.md`). */
import { readFileSync } from "node:fs";
import { loadTokenizer } from "../src/tokenizer/load-tokenizer.js";
import type { Tokenizer } from "../src/tokenizer/tokenizer.js";
import { memoryFiles } from "./memory-files.js";

/** A parsed `tokenizer.json`, to be changed anywhere. */
// biome-ignore lint/suspicious/noExplicitAny: any part of it may be anything
export type TokenizerJson = Record<string, any>;

interface Family {
  readonly file: TokenizerJson;
  /** Ids of each of the texts, special tokens in them parsed, those of the post-processor around them. */
  readonly ids: readonly (readonly number[])[];
  /** Some ids, and their text without special tokens. */
  readonly texts: readonly (readonly [ids: number[], text: string])[];
}

interface Vocabulary {
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (readonly [string, string])[];
}

const FOLDER = new URL("./fixtures/tokenizers/", import.meta.url);
const read = (name: string) => JSON.parse(readFileSync(new URL(name, FOLDER), "utf8"));

const vocabularies: Readonly<Record<string, Vocabulary>> = read("vocabularies.json");

/** What the original makes of the texts, by the family's name. */
export const { texts, families } = read("families.json") as {
  readonly texts: readonly string[];
  readonly families: Readonly<Record<string, Family>>;
};

/** A family's `tokenizer.json`, a copy of its own. */
export function tokenizerJson(name: string): TokenizerJson {
  const { model, ...file } = structuredClone(families[name].file);
  const { vocab: vocabulary, without, ...options } = model;
  const { vocab, merges } = structuredClone(vocabularies[vocabulary]);
  const kept = Object.entries(vocab).filter(([piece]) => !without.includes(piece));
  return { ...file, model: { ...options, vocab: Object.fromEntries(kept), merges } };
}

/** One more than the highest id of a `tokenizer.json`. */
export function vocabSizeOf({ model, added_tokens }: TokenizerJson): number {
  const added: number[] = added_tokens.map(({ id }: { id: number }) => id);
  return Math.max(...added, ...(Object.values(model.vocab) as number[])) + 1;
}

export async function familyTokenizer(name: string): Promise<Tokenizer> {
  const json = tokenizerJson(name);
  const files = memoryFiles(name, {
    "tokenizer.json": JSON.stringify(json),
    // Without it GPT-2's class is meant, which never puts a space in front.
    "tokenizer_config.json": '{"tokenizer_class":"PreTrainedTokenizerFast"}',
  });
  return (await loadTokenizer(files, vocabSizeOf(json)))!;
}
