/**
 * From what a model's files say to a tokenizer. The files are untrusted: what they say is checked before the library sees it,
 * the library is given nothing else, and what it still throws is wrapped.
 */
import { LastrowError } from "../errors.js";
import { quoteValue } from "../quote-value.js";
import { AddedTokenSplitter } from "./added-tokens.js";
import { findInfillTokens } from "./infill-tokens.js";
import { invalid, type JsonObject, messageOf } from "./json-objects.js";
import { readPieceDecoder } from "./piece-decoder.js";
import { readPostProcessor } from "./post-processor.js";
import { readTextSteps, type TextSteps } from "./text-steps.js";
import { type InfillEncoders, type PieceEncoder, Tokenizer } from "./tokenizer.js";
import type { TokenizerFiles } from "./tokenizer-files.js";
import { type AddedToken, readVocabulary, type Vocabulary } from "./vocabulary.js";

/**
 * Makes a tokenizer of what was read of its files, or of a tokenizer's `portable()`.
 * @throws LastrowError as `loadTokenizer`
 */
export function tokenizerOf(read: TokenizerFiles, vocabSize: number): Tokenizer {
  const { fileName, namedTokens } = read;
  const vocabulary = readVocabulary(read);
  const { idOf, addedTokens } = vocabulary;
  const steps = readTextSteps(read);
  // Read at once: a function that does so later would hold on to all of `read`.
  const behind = readTextSteps(read, { prepends: false });
  const decoder = readPieceDecoder(read, vocabulary);

  const specials = addedTokens.filter(({ special }) => special);
  const specialTexts = specials.map(({ content }) => content);
  const encoder = (added: readonly AddedToken[], unreachable: readonly string[], ofText = steps) =>
    pieceEncoder({ fileName, vocabulary, steps: ofText, added, unreachable });
  const texts = addedTokens.filter(({ special }) => !special);
  const plain = encoder(texts, specialTexts);
  let parsing: PieceEncoder | null = null;
  let infilling: InfillEncoders | null = null;
  /** A token that the model cannot take does not count as its own. */
  const ownId = (token: string) => {
    const id = idOf(token);
    return id === undefined || id >= vocabSize ? undefined : id;
  };
  const namedId = (token: string | undefined) => (token === undefined ? null : (ownId(token) ?? null));
  const infill = findInfillTokens(ownId, read.infill);
  const infillEncoders = (): InfillEncoders => {
    const { contents } = infill;
    const added = texts.filter(({ content }) => !contents.includes(content));
    const unreachable = [...specialTexts, ...contents];
    return { before: encoder(added, unreachable), after: encoder(added, unreachable, behind) };
  };
  const portable = portableFiles(read, vocabulary);
  return new Tokenizer({
    portable,
    plain,
    parsing() {
      parsing ??= encoder(addedTokens, []);
      return parsing;
    },
    infill,
    infilling() {
      infilling ??= infillEncoders();
      return infilling;
    },
    ...readPostProcessor(read, idOf),
    decoder,
    specialTokens: specials,
    bosTokenId: namedId(namedTokens.bos_token),
    eosTokenId: namedId(namedTokens.eos_token),
    namedTokens,
    vocabSize,
  });
}

/** What `tokenizerOf` needs, plain data that crosses threads; of a BPE model with ids in place of its many texts. */
function portableFiles(
  read: TokenizerFiles,
  { modelIds, pieceModel: { merges } }: Vocabulary,
): () => TokenizerFiles {
  if (merges === null) return wholeFiles(read);
  const { fileName, namedTokens, infill, declared, json } = withoutLists(read);
  const model = json.model as JsonObject;
  return () => ({
    ...{ fileName, namedTokens, infill, declared },
    json: { ...json, model: { ...model, vocab: modelIds, merges: merges.ids() } },
  });
}

// Apart, since all functions that are made in one call hold on to whatever any of them needs.
function wholeFiles(read: TokenizerFiles): () => TokenizerFiles {
  return () => read;
}

/** Without the lists that are most of a tokenizer: nothing must hold on to them. */
function withoutLists({ json, ...rest }: TokenizerFiles): TokenizerFiles {
  const { vocab: _, merges: __, ...model } = json.model as JsonObject;
  return { ...rest, json: { ...json, model } };
}

interface EncoderParts {
  readonly fileName: string;
  readonly vocabulary: Vocabulary;
  readonly steps: TextSteps;
  /** The tokens that are looked for in a text. */
  readonly added: readonly AddedToken[];
  /** Texts of tokens that no text may reach. */
  readonly unreachable: readonly string[];
}

/**
 * The way from a text to ids, in the order of Hugging Face's tokenizers: added tokens as they are written, normalizer,
 * added tokens as it writes them, pre-tokenizer, model.
 */
function pieceEncoder({ fileName, vocabulary, steps, added, unreachable }: EncoderParts): PieceEncoder {
  const { pieces, pieceModel } = vocabulary;
  const { normalize, cut } = steps;
  const guarded = <T>(what: string, run: () => T): T => {
    try {
      return run();
    } catch (cause) {
      throw invalid(fileName, `${what}: ${quoteValue(messageOf(cause))}`, cause);
    }
  };
  const encodeWords = guarded("cannot be used", () => pieceModel.without(new Set(unreachable)));
  const written = ({ content }: AddedToken) => content;
  const normal = ({ content }: AddedToken) => (normalize === null ? content : normalize(content));
  const asWritten = splitter(
    added.filter(({ normalized }) => !normalized),
    written,
  );
  const asNormal = guarded("cannot be used", () =>
    splitter(
      added.filter(({ normalized }) => normalized),
      normal,
    ),
  );

  /** @param isStart whether the text that is encoded begins with it */
  function encodePlain(text: string, isStart: boolean): (number | undefined)[] {
    const sections = asNormal.split(normalize === null ? text : normalize(text));
    return sections.flatMap((section) =>
      section.token === null
        ? encodeWords(cut(section.text, isStart && section.at === 0))
        : [section.token.id],
    );
  }

  return {
    encode(text, continues) {
      const { maxTextLength } = pieceModel;
      if (text.length > maxTextLength) {
        throw new LastrowError(
          "invalid_argument",
          `The text has ${text.length} characters; with this kind of tokenizer it may have ${maxTextLength}.`,
        );
      }
      const ids = guarded("fails on this text", () =>
        asWritten
          .split(text)
          .flatMap((section) =>
            section.token === null
              ? encodePlain(section.text, !continues && section.at === 0)
              : [section.token.id],
          ),
      );
      if (ids.some((id) => id === undefined || !pieces.has(id))) {
        throw invalid(fileName, "has no token for a part of this text");
      }
      return ids as number[];
    },
  };
}

/** Special tokens go before others that are written alike, as in Hugging Face's tokenizers. */
function splitter(
  tokens: readonly AddedToken[],
  form: (token: AddedToken) => string,
): AddedTokenSplitter<AddedToken> {
  const inOrder = [...tokens].sort((a, b) => Number(b.special) - Number(a.special));
  return new AddedTokenSplitter(inOrder.map((token) => [form(token), token] as const));
}
