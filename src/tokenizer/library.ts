/**
 * What is used of Hugging Face's JavaScript tokenizers: the models WordPiece and Unigram, the rewriting of their regular
 * expressions as JavaScript's, and its reading of precompiled normalisations. The rest of the way from a text to ids is
 * ours, since the library's differs from the original in white space, added tokens, characters of two units, bytes and
 * unknown characters, and since its byte pairs are slow where nothing cuts a text into words.
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
  readonly WordPiece: new (config: object) => LibraryModel;
  readonly Unigram: new (config: object) => LibraryModel;
  readonly SplitPreTokenizer: new (config: object) => { readonly pattern: RegExp };
  readonly PrecompiledNormalizer: new (config: object) => { normalize(text: string): string };
}

// One by one: bundlers then leave the rest of the library out.
export const WordPiece = (library as unknown as Library).WordPiece;
export const Unigram = (library as unknown as Library).Unigram;
export const SplitPreTokenizer = (library as unknown as Library).SplitPreTokenizer;
export const PrecompiledNormalizer = (library as unknown as Library).PrecompiledNormalizer;
