/**
 * What is used of Hugging Face's JavaScript tokenizers: the models that cut words into pieces, the rewriting of their
 * regular expressions as JavaScript's, and its reading of precompiled normalisations. The rest of the way from a text to
 * ids is ours, since the library's differs from the original in white space, added tokens and characters of two units.
 * Its type declarations name files that TypeScript does not find; so what is used of it is stated here.
 */
import * as library from "@huggingface/tokenizers";

export interface LibraryModel {
  readonly tokens_to_ids: ReadonlyMap<string, number>;
  readonly unk_token_id?: number;
  /** The pieces of words. */
  _call(words: string[]): string[];
}

interface Library {
  readonly BPE: new (config: object) => LibraryModel;
  readonly WordPiece: new (config: object) => LibraryModel;
  readonly Unigram: new (config: object) => LibraryModel;
  readonly SplitPreTokenizer: new (config: object) => { pre_tokenize_text(text: string): string[] };
  readonly PrecompiledNormalizer: new (config: object) => { normalize(text: string): string };
}

export const { BPE, WordPiece, Unigram, SplitPreTokenizer, PrecompiledNormalizer } =
  library as unknown as Library;
