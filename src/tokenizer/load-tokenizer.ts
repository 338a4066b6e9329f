/**
 * From a model's files to a tokenizer. The files are untrusted: what they say is checked before the library sees it,
 * the library is given nothing else, and what it still throws is wrapped.
 */
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { LastrowError } from "../errors.js";
import type { ModelFiles } from "../formats/model-files.js";
import { quoteValue } from "../formats/quote-value.js";
import { readPieceDecoder } from "./piece-decoder.js";
import { readPostProcessor } from "./post-processor.js";
import { readTextSteps } from "./text-steps.js";
import { type PieceEncoder, Tokenizer } from "./tokenizer.js";
import { invalid, type JsonObject, messageOf, readTokenizerFiles } from "./tokenizer-files.js";
import { type AddedToken, readVocabulary, type Vocabulary } from "./vocabulary.js";

/**
 * Reads `tokenizer.json`, or `vocab.json` with `merges.txt`; and from `tokenizer_config.json`, if there, the start and
 * the end token.
 *
 * @param vocabSize the model's: ids are below it
 * @returns null when the model has no tokenizer
 * @throws LastrowError `tokenizer_invalid` naming the file and what is wrong with it; `model_unsupported` when the
 *   files are sound and ask for what is not done here
 */
export async function loadTokenizer(files: ModelFiles, vocabSize: number): Promise<Tokenizer | null> {
  const read = await readTokenizerFiles(files);
  if (read === null) return null;
  const { fileName, bosToken, eosToken } = read;
  const vocabulary = readVocabulary(read, vocabSize);
  const { idOf, addedTokens, pieceModel } = vocabulary;
  const steps = readTextSteps(read);
  const decoder = readPieceDecoder(read, vocabulary);

  const specials = addedTokens.filter(({ special }) => special);
  const encoder = (added: readonly AddedToken[], unreachable: readonly AddedToken[]) => {
    const model = pieceModel.without(new Set(unreachable.map(({ content }) => content)));
    return guarded(build(fileName, { ...steps, added_tokens: added, model }), fileName, vocabulary);
  };
  const plain = encoder(
    addedTokens.filter(({ special }) => !special),
    specials,
  );
  let parsing: PieceEncoder | null = null;
  return new Tokenizer({
    plain,
    parsing() {
      parsing ??= encoder(addedTokens, []);
      return parsing;
    },
    ...readPostProcessor(read, idOf),
    decoder,
    specialTokens: specials,
    bosTokenId: bosToken === null ? null : (idOf.get(bosToken) ?? null),
    eosTokenId: eosToken === null ? null : (idOf.get(eosToken) ?? null),
    vocabSize,
  });
}

/** The library's tokenizer, for encoding without its post-processor and without decoding. */
function build(fileName: string, parts: JsonObject): LibraryTokenizer {
  try {
    return new LibraryTokenizer({ ...parts, post_processor: null, decoder: null }, {});
  } catch (cause) {
    throw invalid(fileName, `cannot be used: ${quoteValue(messageOf(cause))}`, cause);
  }
}

/** The library's encoder, its failures wrapped and its ids checked. */
function guarded(
  encoder: LibraryTokenizer,
  fileName: string,
  { pieces, pieceModel: { maxTextLength } }: Vocabulary,
): PieceEncoder {
  return {
    encode(text) {
      if (text.length > maxTextLength) {
        throw new LastrowError(
          "invalid_argument",
          `The text has ${text.length} characters; with this kind of tokenizer it may have ${maxTextLength}.`,
        );
      }
      let ids: number[];
      try {
        ({ ids } = encoder.encode(text, { add_special_tokens: false }));
      } catch (cause) {
        throw invalid(fileName, `fails on this text: ${quoteValue(messageOf(cause))}`, cause);
      }
      if (ids.some((id) => !pieces.has(id))) {
        throw invalid(fileName, "has no token for a part of this text");
      }
      return ids;
    },
  };
}
